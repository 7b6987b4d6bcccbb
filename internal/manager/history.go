package manager

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"keepward/internal/catalog"
)

// This file forgets what has been over for long. How long is two settings, session_history and
// log_history; zero keeps all.

const (
	// forgetEvery is how often it is looked for.
	forgetEvery = 24 * time.Hour
	// forgetBatch bounds one transaction: sessions that run wait for it.
	forgetBatch = 200
)

// forgetOld deletes the sessions, and the logs of sessions, whose time is over.
func (m *Manager) forgetOld(ctx context.Context) {
	if jump, err := m.checkClock(ctx); err != nil || jump != 0 {
		return // nothing is deleted by a clock that nobody believes
	}
	sessions, logs, err := m.forgetBefore(ctx, time.Now())
	if err != nil && ctx.Err() == nil {
		m.log.Error("old sessions not forgotten, will try again", "error", err)
	}
	if sessions+logs > 0 {
		m.log.Info("old history forgotten", "sessions", sessions, "logs", logs)
	}
	if _, err := m.forgetDays(ctx, time.Now()); err != nil && ctx.Err() == nil {
		m.log.Error("old days of computers not forgotten, will try again", "error", err)
	}
}

func (m *Manager) forgetBefore(ctx context.Context, now time.Time) (sessions, logs int64, err error) {
	counted, err := m.countedJobs(ctx)
	if err != nil {
		return 0, 0, err
	}
	if keep := m.knobs().Duration("session_history"); keep > 0 {
		sessions, err = m.inBatches(ctx, func(tx *sql.Tx) (int64, error) {
			return catalog.ForgetSessions(ctx, tx, now.Add(-keep), counted, forgetBatch)
		})
		if err != nil {
			return sessions, 0, err
		}
	}
	keep := m.knobs().Duration("log_history")
	if keep <= 0 {
		return sessions, 0, nil
	}
	logs, err = m.inBatches(ctx, func(tx *sql.Tx) (int64, error) {
		n, err := catalog.ForgetLogs(ctx, tx, now.Add(-keep), forgetBatch)
		return int64(n), err
	})
	return sessions, logs, err
}

// inBatches repeats a deletion until it finds less than a batch.
func (m *Manager) inBatches(ctx context.Context, forget func(tx *sql.Tx) (int64, error)) (sum int64, err error) {
	for {
		var n int64
		err := m.deps.DB.Write(ctx, func(tx *sql.Tx) (err error) { n, err = forget(tx); return err })
		if err != nil {
			return sum, err
		}
		if sum += n; n < forgetBatch {
			return sum, nil
		}
	}
}

// countedJobs are the jobs whose runs are counted up to the next that reads everything, as JSON.
func (m *Manager) countedJobs(ctx context.Context) (string, error) {
	jobs, err := catalog.Jobs(ctx, m.deps.DB.Read())
	if err != nil {
		return "", err
	}
	names := []string{}
	for _, j := range jobs {
		if j.GetFullReadEvery() > 0 {
			names = append(names, j.GetName())
		}
	}
	text, err := json.Marshal(names)
	return string(text), err
}
