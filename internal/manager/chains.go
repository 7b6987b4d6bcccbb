package manager

import (
	"context"
	"sync"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/schedule"
)

// This file is what begins when a session ends: jobs that follow another, continuous jobs, and
// sessions that were told to wait.

// chains knows whose end matters to somebody.
type chains struct {
	mu     sync.Mutex
	wanted map[string]bool                  // jobs whose end a schedule goes by
	held   map[string]map[*session]struct{} // by job: sessions that wait for its older ones
	// starting is one token: who has it may start sessions of computers that come online.
	starting chan struct{}
}

func newChains() *chains {
	return &chains{wanted: map[string]bool{}, held: map[string]map[*session]struct{}{}, starting: make(chan struct{}, 1)}
}

func (c *chains) want(jobs map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = jobs
}

// add notes a session that waits for the older ones of a job.
func (c *chains) add(s *session) {
	other := s.plan.after
	if other == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[other] == nil {
		c.held[other] = map[*session]struct{}{}
	}
	c.held[other][s] = struct{}{}
}

// over takes out a session that is over, and answers those that may have waited for it, and
// whether a schedule goes by its end.
func (c *chains) over(s *session) (waiting []*session, wanted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := s.plan.after; other != "" {
		delete(c.held[other], s)
		if len(c.held[other]) == 0 {
			delete(c.held, other)
		}
	}
	if s.row.Job == "" {
		return nil, false
	}
	for other := range c.held[s.row.Job] {
		waiting = append(waiting, other)
	}
	return waiting, c.wanted[s.row.Job]
}

// followUp tells those who wait for the end of a session that it is there.
func (m *Manager) followUp(s *session) {
	waiting, wanted := m.chains.over(s)
	for _, other := range waiting {
		other.post("", evQueueNote{})
	}
	if wanted {
		m.lookAtSchedules()
	}
}

// lookAtSchedules has the schedules read anew.
func (m *Manager) lookAtSchedules() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// endsLate is how long after its time the end of a session may show in the catalog. What was
// started for it already is known there too, so looking twice does no harm.
const endsLate = time.Minute

// chained lists the runs of jobs that go by the ends of sessions, and the next moment at which one
// may be due.
func (m *Manager) chained(ctx context.Context, jobs []*keepwardv1.Job, seen, started, now time.Time) (runs []due, next time.Time, err error) {
	wanted := map[string]bool{}
	for _, j := range jobs {
		s, ok := scheduleOf(j)
		if !ok {
			continue
		}
		var at time.Time
		switch s.Kind() {
		case schedule.AfterJob:
			after, completed := s.After()
			wanted[after] = true
			at, err = m.endOf(ctx, after, completed, seen.Add(-endsLate), now)
		case schedule.Continuously:
			wanted[j.GetName()] = true
			if at, err = m.againAt(ctx, j.GetName(), s, now); at.After(now) {
				next, at = earliest(next, at), time.Time{}
			} else if !at.IsZero() {
				next = earliest(next, now.Add(s.Gap())) // should it fail to start
			}
		default:
			continue
		}
		if err != nil {
			return nil, next, err
		}
		if !at.IsZero() {
			missed := s.Kind() == schedule.AfterJob && at.Before(started)
			runs = append(runs, due{job: j.GetName(), at: at, missed: missed, skip: missed && j.GetMissed() == missedSkip})
		}
	}
	m.chains.want(wanted)
	return runs, next, nil
}

// endOf is the newest end of a session of a job in (from, to] that others follow; zero: none. Who
// kills a session ends its chain, and one that was refused at its start has not been.
func (m *Manager) endOf(ctx context.Context, jobName string, completed bool, from, to time.Time) (time.Time, error) {
	rows, err := catalog.Sessions(ctx, m.deps.DB.Read(), catalog.SessionFilter{Job: jobName, EndedAfter: from.Add(1)})
	if err != nil {
		return time.Time{}, err
	}
	var newest time.Time
	for _, row := range rows {
		follows := row.Status != job.Killed && row.Status != job.FailedToStart && (!completed || row.Status.LeftResult())
		if follows && !row.Ended.After(to) && row.Ended.After(newest) {
			newest = row.Ended
		}
	}
	return newest, nil
}

// againAt is when a continuous job runs next; zero: a session of it is not over.
func (m *Manager) againAt(ctx context.Context, jobName string, s schedule.Schedule, now time.Time) (time.Time, error) {
	last, ok, err := catalog.LastSession(ctx, m.deps.DB.Read(), jobName)
	if err != nil || ok && last.Ended.IsZero() {
		return time.Time{}, err
	}
	from := now
	if at := last.Ended.Add(s.Gap()); ok && at.After(now) {
		from = at
	}
	at, _ := s.Allowed(from)
	return at, nil
}

// startOnline starts what is to run when a computer comes online.
func (m *Manager) startOnline(ctx context.Context, computer string) {
	select {
	case m.chains.starting <- struct{}{}:
		defer func() { <-m.chains.starting }()
	case <-ctx.Done():
		return
	}
	jobs, err := catalog.JobsWith(ctx, m.deps.DB.Read(), computer)
	for _, j := range jobs {
		if e := m.startOnlineJob(ctx, j, computer, time.Now()); e != nil {
			err = e
		}
	}
	if err != nil && ctx.Err() == nil {
		m.log.Error("sessions of a computer that came online not started", "computer", computer, "error", err)
	}
}

func (m *Manager) startOnlineJob(ctx context.Context, j *keepwardv1.Job, computer string, now time.Time) error {
	s, ok := scheduleOf(j)
	if !ok || s.Kind() != schedule.WhenOnline {
		return nil
	}
	if again, err := m.onlineAgain(ctx, j.GetName(), computer, s.Gap(), now); err != nil || !again {
		return err
	}
	r := due{job: j.GetName(), at: now, computers: []string{computer}}
	id, err := m.runJobFrom(ctx, r.job, r.request(now))
	if errs.CodeOf(err) == codeNotSubmitted {
		m.log.Info("session of a computer that came online not submitted", "job", r.job, "computer", computer, "reason", err)
		return nil
	}
	if err != nil {
		return err
	}
	m.log.Info("session of a computer that came online started", "job", r.job, "computer", computer, "session", id)
	return nil
}

// onlineAgain tells whether a computer was not backed up by a job for long enough. A session whose
// task of it is still open goes on by itself.
func (m *Manager) onlineAgain(ctx context.Context, jobName, computer string, gap time.Duration, now time.Time) (bool, error) {
	last, ok, err := catalog.LastOfComputer(ctx, m.deps.DB.Read(), jobName, computer)
	if err != nil || !ok {
		return err == nil, err
	}
	if now.Before(last.Created.Add(gap)) {
		return false, nil
	}
	tasks, err := catalog.Tasks(ctx, m.deps.DB.Read(), last.ID)
	if err != nil {
		return false, err
	}
	for _, t := range tasks {
		if t.Computer == computer && !t.Status.Final() {
			return false, nil
		}
	}
	return true, nil
}
