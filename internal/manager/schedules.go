package manager

import (
	"context"
	"database/sql"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/schedule"
)

// bySchedule is who starts the sessions of schedules.
const bySchedule = "schedule"

// seenKey is the setting that keeps up to when all schedules have been served, so that a
// start of the server finds what was missed.
const seenKey = "schedules.seen"

// lookAgain bounds the sleep to the next run: a timer does not follow a wall clock that is
// set, or a host that was suspended.
const lookAgain = time.Minute

const missedSkip = "skip"

// due is a run whose moment has come.
type due struct {
	job    string
	at     time.Time
	missed bool // it came before the server was there
	skip   bool
}

// dueRuns lists the runs in (seen, now], one for each job however many there were, and the
// moment of the next one after now. started is when this server began to look.
func dueRuns(jobs []*keepwardv1.Job, seen, started, now time.Time) (runs []due, next time.Time) {
	for _, j := range jobs {
		s, ok := scheduleOf(j)
		if !ok {
			continue
		}
		if at, ok := s.Next(seen); ok && !at.After(now) {
			missed := at.Before(started)
			runs = append(runs, due{j.GetName(), at, missed, missed && j.GetMissed() == missedSkip})
		}
		if at, ok := s.Next(now); ok {
			next = earliest(next, at)
		}
	}
	return runs, next
}

// scheduleOf is the schedule of a job that runs by one.
func scheduleOf(j *keepwardv1.Job) (schedule.Schedule, bool) {
	if j.GetDisabled() || j.GetSchedule() == "" {
		return schedule.Schedule{}, false
	}
	s, err := schedule.Parse(j.GetSchedule(), time.Local)
	return s, err == nil // what cannot be read is refused when a job is written
}

// runSchedules starts sessions when their moment comes.
func (m *Manager) runSchedules(ctx context.Context) error {
	started := time.Now()
	seen, err := m.schedulesSeen(ctx, started)
	if err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.changed:
			changed = true
		case <-timer.C:
		}
		next := lookAgain
		now := time.Now()
		if ran, at, err := m.runDue(ctx, seen, started, now); err != nil {
			m.log.Error("schedules not read, will try again", "error", err)
		} else {
			if seen = now; changed || ran {
				m.keepSeen(ctx, seen)
			}
			if !at.IsZero() {
				next = min(next, time.Until(at))
			}
		}
		timer.Reset(max(next, 0))
	}
}

// runDue starts what is due in (seen, now], and answers whether there was anything and when the
// next is.
func (m *Manager) runDue(ctx context.Context, seen, started, now time.Time) (ran bool, next time.Time, err error) {
	if _, err := m.checkClock(ctx); err != nil {
		return false, next, err
	}
	jobs, err := catalog.Jobs(ctx, m.deps.DB.Read())
	if err != nil {
		return false, next, err
	}
	repositories, err := catalog.Repositories(ctx, m.deps.DB.Read())
	if err != nil {
		return false, next, err
	}
	runs, at := dueRuns(jobs, seen, started, now)
	m.startDue(ctx, runs)
	upkeep, atUpkeep := dueRuns(upkeepSchedules(repositories), seen, started, now)
	m.startUpkeep(ctx, upkeep)
	m.startIdle(ctx, repositories, now)
	return len(runs)+len(upkeep) > 0, earliest(at, atUpkeep), nil
}

func (m *Manager) startDue(ctx context.Context, runs []due) {
	for _, r := range runs {
		if r.skip {
			m.log.Info("missed run skipped", "job", r.job, "at", r.at)
			continue
		}
		// A server that died between the start of the session and the note of it starts it once.
		last, ok, err := catalog.LastSession(ctx, m.deps.DB.Read(), r.job)
		if err == nil && ok && last.StartedBy == bySchedule && !last.Created.Before(r.at) {
			continue
		}
		if err == nil && ok && stillHeld(last) {
			m.log.Info("scheduled session not started: the last one is still kept in the queue", "job", r.job, "at", r.at, "session", last.ID, "reason", last.Reason.GetText())
			continue
		}
		id, err := m.runJob(ctx, r.job, false, bySchedule)
		if errs.CodeOf(err) == codeNotSubmitted {
			m.log.Info("scheduled session not submitted", "job", r.job, "at", r.at, "reason", err)
			continue
		}
		if err != nil {
			m.log.Error("scheduled session not started", "job", r.job, "at", r.at, "error", err)
			continue
		}
		m.log.Info("scheduled session started", "job", r.job, "at", r.at, "session", id, "missed", r.missed)
	}
}

func (m *Manager) schedulesSeen(ctx context.Context, now time.Time) (time.Time, error) {
	v, err := catalog.Setting(ctx, m.deps.DB.Read(), seenKey)
	if err != nil {
		return now, err
	}
	if seen, err := time.Parse(time.RFC3339Nano, string(v)); err == nil {
		return seen, nil
	}
	m.keepSeen(ctx, now) // the first start: nothing can have been missed
	return now, nil
}

func (m *Manager) keepSeen(ctx context.Context, seen time.Time) {
	err := m.deps.DB.Write(ctx, func(tx *sql.Tx) error {
		return catalog.SetSetting(ctx, tx, seenKey, []byte(seen.UTC().Format(time.RFC3339Nano)))
	})
	if err != nil && ctx.Err() == nil {
		m.log.Error("progress of schedules not kept", "error", err)
	}
}

// DescribeJob fills in when a job runs next and how it ran last.
func (m *Manager) DescribeJob(ctx context.Context, j *keepwardv1.Job) error {
	j.NextRun, j.LastRun, j.LastResult, j.LastSession = nil, nil, "", 0
	if s, ok := scheduleOf(j); ok {
		if at, ok := s.Next(time.Now()); ok {
			j.NextRun = timestamppb.New(at)
		}
	}
	last, ok, err := catalog.LastSession(ctx, m.deps.DB.Read(), j.GetName())
	if err != nil || !ok {
		return err
	}
	j.LastRun, j.LastSession, j.LastResult = stamp(last.Created), last.ID, string(last.Status)
	return nil
}
