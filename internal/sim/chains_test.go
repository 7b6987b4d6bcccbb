package sim

import (
	"context"
	"database/sql"
	"slices"
	"testing/synctest"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/manager"
	"keepward/internal/schedule"
)

// This file is what starts by itself: jobs by the calendar, jobs that follow others, and the retries
// of what has failed; and sessions that somebody had wait for those of another job.

// The names that the manager gives to who starts a session.
const (
	bySchedule = "schedule"
	byRetry    = "retry"
)

// chain are jobs of backups that stand in the catalog. Each but the first follows the one before it.
var chain = []*keepwardv1.Job{
	{Name: "nightly", Type: "backup", Repository: mainRepo, Computers: computers[:2], Schedule: "every 20m"},
	{Name: "mail", Type: "backup", Repository: second, Computers: computers[1:2], Schedule: "after nightly"},
	{Name: "books", Type: "backup", Repository: mainRepo, Computers: computers[2:], Schedule: "after mail if completed"},
}

// startJobs has the jobs of the chain start by themselves from now on.
func (s *site) startJobs() {
	s.mu.Lock()
	for _, j := range chain {
		s.places[j.GetName()] = onDisk(j.GetRepository(), j.GetRepository())
	}
	s.mu.Unlock()
	s.began = time.Now()
	s.putJobs(chain)
}

// stopJobs takes the calendar from the job that goes by it: what follows another goes on to.
func (s *site) stopJobs() {
	if s.began.IsZero() {
		return
	}
	s.ended = time.Now()
	s.putJobs([]*keepwardv1.Job{{Name: chain[0].GetName(), Type: "backup", Repository: chain[0].GetRepository(), Computers: chain[0].GetComputers()}})
}

func (s *site) putJobs(list []*keepwardv1.Job) {
	s.t.Helper()
	s.must(s.db.Write(context.Background(), func(tx *sql.Tx) error {
		for _, j := range list {
			if err := catalog.PutJob(context.Background(), tx, j, time.Now()); err != nil {
				return err
			}
		}
		return nil
	}))
	s.changed()
}

// someChained runs a job of the chain by hand, perhaps behind what there is of another.
func (s *site) someChained() {
	if len(s.activeIDs()) >= most {
		return
	}
	name, after := chain[s.rnd.IntN(len(chain))].GetName(), ""
	if s.rnd.IntN(3) > 0 {
		after = chain[s.rnd.IntN(len(chain))].GetName()
	}
	s.runChained(name, after)
}

func (s *site) runChained(name, after string) int64 {
	s.t.Helper()
	id, err := s.m.RunJobWith(context.Background(), name, manager.RunOptions{After: after})
	s.must(err)
	s.known[id] = &known{typ: job.Backup, job: name, after: after}
	s.count.sessions++
	s.note("session %d is submitted: job %s, after %q", id, name, after)
	synctest.Wait()
	return id
}

// someRefusal makes a task fail for good whose session is retried then.
func (s *site) someRefusal() {
	for _, n := range s.sorted() {
		for _, id := range n.attempts() {
			if s.refuses(n, id) {
				return
			}
		}
	}
}

// refuses has an attempt fail for good, perhaps, if its session was asked for by nobody.
func (s *site) refuses(n *node, attempt string) bool {
	k := s.known[n.work[attempt].session]
	if k == nil || !k.itself || s.rnd.IntN(2) == 0 {
		return false
	}
	k.spoiled = true
	s.finish(n, attempt, &keepwardv1.Failure{Kind: string(errs.Denied), Message: "the seed has it so"})
	return true
}

// adopt takes up the sessions that started by themselves, and answers all there are, the oldest
// first.
func (s *site) adopt() []catalog.Session {
	s.t.Helper()
	rows, err := catalog.Sessions(context.Background(), s.db.Read(), catalog.SessionFilter{})
	s.must(err)
	slices.Reverse(rows)
	for _, r := range rows {
		if s.known[r.ID] != nil {
			continue
		}
		switch r.StartedBy {
		case bySchedule:
			if r.Job != chain[0].GetName() {
				s.count.chained++
			}
		case byRetry:
			s.count.retries++
		default:
			continue // it is found missing where sessions are looked at
		}
		s.known[r.ID] = &known{typ: r.Type, job: r.Job, itself: true}
		s.count.sessions++
		s.note("session %d has started: job %s, by %s", r.ID, r.Job, r.StartedBy)
	}
	return rows
}

// checkChains: whatever a job goes by (a moment of the calendar, the end of a session) has started a
// session of it, and each of its sessions was started by something that no earlier one was.
func (s *site) checkChains(rows []catalog.Session) {
	s.t.Helper()
	if s.began.IsZero() {
		return
	}
	for _, j := range chain {
		calls := s.calls(j, rows)
		before := s.began.Add(-1) // what ends in the same moment counts
		var last catalog.Session
		for _, r := range rows {
			if r.Job != j.GetName() || r.StartedBy != bySchedule {
				continue
			}
			called := func(at time.Time) bool { return at.After(before) && !at.After(r.Created) }
			if !slices.ContainsFunc(calls, called) {
				s.fail("session %d of job %s (%s) was started by nothing; it goes by %v", r.ID, r.Job, j.GetSchedule(), calls)
			}
			before, last = r.Created, r
		}
		for _, at := range calls {
			if at.After(before) && !s.heldFrom(last.ID, at) {
				s.fail("job %s (%s) has not run for %v; its last session is %d, of %v", j.GetName(), j.GetSchedule(), at, last.ID, last.Created)
			}
		}
	}
}

// calls are the moments that want a run of a job, up to now.
func (s *site) calls(j *keepwardv1.Job, rows []catalog.Session) (list []time.Time) {
	s.t.Helper()
	rule, err := schedule.Parse(j.GetSchedule(), time.Local)
	s.must(err)
	if rule.Kind() == schedule.Calendar {
		end := time.Now()
		if !s.ended.IsZero() {
			end = s.ended
		}
		for at, ok := rule.Next(s.began); ok && !at.After(end); at, ok = rule.Next(at) {
			list = append(list, at)
		}
		return list
	}
	other, completed := rule.After()
	for _, r := range rows {
		ended := r.Status.Final() && r.Status != job.Killed && r.Status != job.FailedToStart
		if r.Job == other && ended && (!completed || r.Status.LeftResult()) {
			list = append(list, r.Ended)
		}
	}
	return list
}

// heldFrom tells whether a session was still in the queue at a moment or came back there: no other
// is started beside it, for it would do nothing more.
func (s *site) heldFrom(id int64, at time.Time) bool {
	s.t.Helper()
	if id == 0 {
		return false
	}
	queued := map[string]bool{} // by task
	for _, e := range s.events(id) {
		if e.GetTo() == "" {
			continue
		}
		if queued[e.GetTask()] && !e.GetTime().AsTime().Before(at) {
			return true
		}
		queued[e.GetTask()] = job.Status(e.GetTo()) == job.Queued
	}
	for _, q := range queued {
		if q {
			return true
		}
	}
	return false
}

// checkRetries: what has failed of a session that nobody asked for is tried again, once, at its
// time, and nothing else is; unless a newer session has taken it on.
func (s *site) checkRetries(rows []catalog.Session) {
	s.t.Helper()
	retried, byID := map[int64]int64{}, map[int64]catalog.Session{}
	for _, r := range rows {
		if byID[r.ID] = r; r.StartedBy != byRetry {
			continue
		}
		o := byID[r.Origin]
		if other := retried[o.ID]; other != 0 {
			s.fail("session %d is retried by session %d and by session %d", o.ID, other, r.ID)
		}
		retried[o.ID] = r.ID
		if r.Retry != o.Retry+1 || r.Retry > job.DefaultSessionRetries || r.Created.Before(o.Ended.Add(job.DefaultSessionRetryAfter)) {
			s.fail("session %d is retry %d of session %d, which is retry %d and ended at %v", r.ID, r.Retry, o.ID, o.Retry, o.Ended)
		}
		failed := s.computersOf(o.ID, isFailed)
		for _, c := range s.computersOf(r.ID, anyStatus) {
			if !slices.Contains(failed, c) {
				s.fail("session %d tries %s again, which has not failed in session %d: %v have", r.ID, c, o.ID, failed)
			}
		}
	}
	for _, o := range rows {
		itself := o.StartedBy == bySchedule || o.StartedBy == byRetry
		if by := retried[o.ID]; by != 0 && !o.RetryAt.IsZero() {
			s.fail("session %d was retried by session %d, and is to be retried at %v", o.ID, by, o.RetryAt)
		}
		if !itself || !o.Status.Final() || retried[o.ID] != 0 || o.Retry >= job.DefaultSessionRetries {
			continue
		}
		failed := s.computersOf(o.ID, isFailed)
		if !o.RetryAt.IsZero() && (len(failed) == 0 || !o.RetryAt.After(time.Now())) {
			s.fail("session %d, of which %v have failed, is to be retried at %v", o.ID, failed, o.RetryAt)
		}
		if !o.RetryAt.IsZero() {
			continue
		}
		for _, r := range rows {
			if r.Job == o.Job && r.ID > o.ID {
				taken := s.computersOf(r.ID, func(st job.Status) bool { return st != job.FailedToStart })
				failed = slices.DeleteFunc(failed, func(c string) bool { return slices.Contains(taken, c) })
			}
		}
		if len(failed) > 0 {
			s.fail("%v have failed in session %d, and nobody tries them again\n%s", failed, o.ID, s.log(o.ID))
		}
	}
}

func anyStatus(job.Status) bool { return true }

func isFailed(st job.Status) bool { return st == job.Failed || st == job.FailedToStart }

// computersOf are those of a session's tasks that stand so.
func (s *site) computersOf(id int64, which func(job.Status) bool) (list []string) {
	s.t.Helper()
	tasks, err := catalog.Tasks(context.Background(), s.db.Read(), id)
	s.must(err)
	for _, t := range tasks {
		if which(t.Status) {
			list = append(list, t.Computer)
		}
	}
	return list
}

// retriesAhead tells whether failed tasks have yet to be tried again.
func (s *site) retriesAhead() bool {
	list, err := catalog.Retries(context.Background(), s.db.Read())
	s.must(err)
	return len(list) > 0
}

// checkBehind: who was told to wait for the sessions of a job has not begun while an older one of
// them is there.
func (s *site) checkBehind(p *picture, id int64, t *keepwardv1.Task) {
	s.t.Helper()
	after := s.known[id].after
	if after == "" || job.Status(t.GetStatus()).Class() != job.Active {
		return
	}
	for older := range p.active {
		if older < id && s.known[older].job == after {
			s.fail("session %d is %s, and was to wait for session %d of job %s\n%s", id, t.GetStatus(), older, after, s.log(id))
		}
	}
}
