package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// The statements of this file are asked by every scrape of the metrics: each is answered from an
// index, in work that does not grow with the number of sessions and points that are kept.

// ActiveCount is how many sessions that are not over are alike.
type ActiveCount struct {
	Type   job.Type
	Status job.Status
	Reason string // code of the reason for delay; empty: none
	Count  int64
	Oldest time.Time // when the first of them was submitted
}

// CountActive counts the sessions that are not over.
func CountActive(ctx context.Context, q Queryer) ([]ActiveCount, error) {
	rows, err := q.QueryContext(ctx, `SELECT type, status, CASE reason_json WHEN '' THEN '' ELSE coalesce(json_extract(reason_json, '$.code'), '') END AS reason,
		count(*), min(created) FROM sessions WHERE ended = 0 GROUP BY type, status, reason`)
	out, err := collect(rows, err, func(r *sql.Rows) (c ActiveCount, err error) {
		var oldest int64
		err = r.Scan(&c.Type, &c.Status, &c.Reason, &c.Count, &oldest)
		c.Oldest = timeOf(oldest)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("count active sessions: %w", err)
	}
	return out, nil
}

// EndedSession is what is counted of a session that is over.
type EndedSession struct {
	ID             int64
	Job            string
	Type           job.Type
	Status         job.Status
	Started, Ended time.Time // started: zero if it never was
}

func scanEnded(r *sql.Rows) (s EndedSession, err error) {
	var started, ended int64
	err = r.Scan(&s.ID, &s.Job, &s.Type, &s.Status, &started, &ended)
	s.Started, s.Ended = timeOf(started), timeOf(ended)
	return s, err
}

// EndedSince lists the sessions that ended at or after a moment, which must not be the zero time.
func EndedSince(ctx context.Context, q Queryer, since time.Time) ([]EndedSession, error) {
	rows, err := q.QueryContext(ctx, `SELECT id, job, type, status, started, ended FROM sessions WHERE ended >= ?`, max(nanos(since), 1))
	out, err := collect(rows, err, scanEnded)
	if err != nil {
		return nil, fmt.Errorf("list sessions that ended: %w", err)
	}
	return out, nil
}

// EndedOfJob lists those of the newest sessions of a job that are over, the newest first.
func EndedOfJob(ctx context.Context, q Queryer, jobName string, newest int) ([]EndedSession, error) {
	rows, err := q.QueryContext(ctx, `SELECT id, job, type, status, started, ended FROM
		(SELECT * FROM sessions WHERE job = ? ORDER BY id DESC LIMIT ?) WHERE ended > 0 ORDER BY id DESC`, jobName, newest)
	out, err := collect(rows, err, scanEnded)
	if err != nil {
		return nil, fmt.Errorf("list sessions of job %s that ended: %w", jobName, err)
	}
	return out, nil
}

// Newest is one of the newest sessions of a job.
type Newest struct {
	Job   string
	ID    int64
	Ended time.Time // zero: it is not over
}

// NewestSessions has up to so many sessions of each job that there is, the newest first.
func NewestSessions(ctx context.Context, q Queryer, each int) ([]Newest, error) {
	rows, err := q.QueryContext(ctx, newestSessions, each-1)
	out, err := collect(rows, err, func(r *sql.Rows) (n Newest, err error) {
		var ended int64
		err = r.Scan(&n.Job, &n.ID, &ended)
		n.Ended = timeOf(ended)
		return n, err
	})
	if err != nil {
		return nil, fmt.Errorf("list the newest sessions of jobs: %w", err)
	}
	return out, nil
}

const newestSessions = `SELECT jobs.name, sessions.id, sessions.ended FROM jobs JOIN sessions ON sessions.job = jobs.name
	AND sessions.id >= coalesce((SELECT id FROM sessions AS older WHERE older.job = jobs.name ORDER BY id DESC LIMIT 1 OFFSET +?1), 0)
	ORDER BY jobs.name, sessions.id DESC`

// CountersOf are the counters of the tasks of a session.
func CountersOf(ctx context.Context, q Queryer, session int64) ([]*keepwardv1.Counters, error) {
	rows, err := q.QueryContext(ctx, `SELECT progress_json FROM tasks WHERE session = ?`, session)
	out, err := collect(rows, err, func(r *sql.Rows) (*keepwardv1.Counters, error) {
		var text string
		if err := r.Scan(&text); err != nil {
			return nil, err
		}
		p, err := fromJSON(text, &keepwardv1.Progress{})
		return p.GetCounters(), err
	})
	if err != nil {
		return nil, fmt.Errorf("read counters of session %d: %w", session, err)
	}
	return out, nil
}

// NewestPoint is when the newest point of a computer was made that is whole and not deleted; zero:
// it has none.
type NewestPoint struct {
	Computer string
	Time     time.Time
}

// NewestPoints has a row for every computer.
func NewestPoints(ctx context.Context, q Queryer) ([]NewestPoint, error) {
	rows, err := q.QueryContext(ctx, `SELECT name, coalesce((SELECT time FROM points
		WHERE computer = computers.name AND partial = 0 AND deleted = 0 ORDER BY time DESC LIMIT 1), 0) FROM computers ORDER BY name`)
	out, err := collect(rows, err, func(r *sql.Rows) (p NewestPoint, err error) {
		var at int64
		err = r.Scan(&p.Computer, &at)
		p.Time = timeOf(at)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("list newest restore points: %w", err)
	}
	return out, nil
}
