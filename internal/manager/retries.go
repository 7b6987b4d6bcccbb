package manager

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// byRetry is who starts the sessions that try failed tasks again.
const byRetry = "retry"

// failedOnly are the tasks that are tried again without being asked: what somebody ended stays so.
var failedOnly = []job.Status{job.Failed, job.FailedToStart}

// undone are the tasks that are tried again when somebody asks for it: those that have not done all
// they were to.
var undone = []job.Status{job.Failed, job.FailedToStart, job.Killed, job.Committed}

// forSomebody tells whether a failure stays until somebody has changed something: trying again by
// itself has a database lock out its user.
func forSomebody(f *keepwardv1.Failure) bool { return f.GetCode() == "application.denied" }

// newerMost is how many sessions of a job are looked through for newer ones: more than start while
// one waits for its retry.
const newerMost = 200

// planRetry has the failed tasks of a scheduled session tried again, when its last task is over.
func (s *session) planRetry(x *turn, t *task) {
	if !s.row.Status.Final() || !s.row.Ended.Equal(x.now) || !x.retryAt.IsZero() {
		return // it goes on, or was over before
	}
	if s.row.Type != job.Backup || s.row.StartedBy != bySchedule && s.row.StartedBy != byRetry {
		return
	}
	most := s.m.knobs().Int("session_retries")
	failed := func(t *task) bool { return slices.Contains(failedOnly, t.row.Status) }
	if !slices.ContainsFunc(s.tasks, func(t *task) bool { return failed(t) && !forSomebody(t.row.Failure) }) {
		if slices.ContainsFunc(s.tasks, failed) {
			x.line(t, levelInfo, partServer, "session.not-retried",
				fmt.Sprintf("it is not tried again by itself, since that takes somebody first; afterwards: keepward session retry %d", s.row.ID))
		}
		return
	}
	if s.row.Retry >= most {
		return
	}
	x.retryAt = x.now.Add(s.m.knobs().Duration("session_retry_after"))
	s.row.RetryAt = x.retryAt
	x.line(t, levelInfo, partServer, "session.retry", fmt.Sprintf("what has failed is tried again at %s, retry %d of %d",
		x.retryAt.UTC().Format(time.RFC3339), s.row.Retry+1, most))
}

// noteRetry has the next retry looked for.
func (m *Manager) noteRetry() {
	select {
	case m.retries <- struct{}{}:
	default:
	}
}

// runRetries starts the retries of sessions when their moment comes.
func (m *Manager) runRetries(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.retries:
		case <-timer.C:
		}
		next, err := m.retryDue(ctx, time.Now())
		switch {
		case err != nil && ctx.Err() == nil:
			m.log.Error("failed sessions not retried, will try again", "error", err)
			timer.Reset(lookAgain)
		case next.IsZero():
			timer.Stop()
		default:
			timer.Reset(max(0, min(lookAgain, time.Until(next))))
		}
	}
}

// retryDue starts what is due, and answers when the next is; zero: there is none.
func (m *Manager) retryDue(ctx context.Context, now time.Time) (time.Time, error) {
	list, err := catalog.Retries(ctx, m.deps.DB.Read())
	if err != nil {
		return time.Time{}, err
	}
	for _, row := range list {
		if row.RetryAt.After(now) {
			return row.RetryAt, nil
		}
		if err := m.retryBySelf(ctx, row); err != nil {
			return time.Time{}, err
		}
	}
	return time.Time{}, nil
}

// retryBySelf tries the failed tasks of a session again. Computers that a newer session of the job
// has taken on are left to it, and a job that is gone or disabled is left alone.
func (m *Manager) retryBySelf(ctx context.Context, row catalog.Session) error {
	j, err := catalog.GetJob(ctx, m.deps.DB.Read(), row.Job)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return err
	}
	var computers []string
	if err == nil && !j.GetDisabled() {
		if computers, err = m.stillFailed(ctx, row, j); err != nil {
			return err
		}
	}
	if len(computers) == 0 {
		m.log.Info("failed session not retried: nothing of it is left to do", "session", row.ID, "job", row.Job)
		return m.dropRetry(ctx, row.ID)
	}
	id, err := m.submit(ctx, request{
		typ: job.Backup, job: row.Job, repository: j.GetRepository(), full: row.Full, by: byRetry, computers: computers,
		priority: int(j.GetPriority()), high: j.GetHighPriority(), definition: j, origin: row.ID, retry: row.Retry + 1,
		remark: fmt.Sprintf("retry %d of what failed in session %d", row.Retry+1, row.ID),
	})
	if errs.CodeOf(err) == codeNotSubmitted { // its next run will come in the window
		m.log.Info("failed session not retried", "session", row.ID, "job", row.Job, "reason", err)
		return m.dropRetry(ctx, row.ID)
	}
	if err == nil {
		m.log.Info("failed session retried", "session", row.ID, "job", row.Job, "retry", id)
	}
	return err
}

// dropRetry notes that the failed tasks of a session are not tried again.
func (m *Manager) dropRetry(ctx context.Context, id int64) error {
	return m.deps.DB.Write(ctx, func(tx *sql.Tx) error { return catalog.EndRetry(ctx, tx, id) })
}

// stillFailed are the computers that failed in a session, that the job still names, and that no
// newer session of the job has taken on.
func (m *Manager) stillFailed(ctx context.Context, row catalog.Session, j *keepwardv1.Job) ([]string, error) {
	computers, _, err := m.tasksIn(ctx, row, failedOnly, forSomebody)
	if err != nil {
		return nil, err
	}
	now, err := m.expandedJob(ctx, j)
	if err != nil {
		return nil, err
	}
	computers = slices.DeleteFunc(computers, func(c string) bool { return !slices.Contains(now.GetComputers(), c) })
	newer, err := catalog.Sessions(ctx, m.deps.DB.Read(), catalog.SessionFilter{Job: row.Job, Limit: newerMost})
	if err != nil {
		return nil, err
	}
	for _, s := range newer { // the newest first
		if s.ID <= row.ID || len(computers) == 0 {
			break
		}
		tasks, err := catalog.Tasks(ctx, m.deps.DB.Read(), s.ID)
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			computers = slices.DeleteFunc(computers, func(c string) bool { return c == t.Computer && t.Status != job.FailedToStart })
		}
	}
	return computers, nil
}

// tasksIn are the computers of a session's tasks that are in one of the statuses, and the point
// that these read. but, where it is set, leaves some out by their failure.
func (m *Manager) tasksIn(ctx context.Context, row catalog.Session, statuses []job.Status, but func(*keepwardv1.Failure) bool) (computers []string, point string, err error) {
	tasks, err := catalog.Tasks(ctx, m.deps.DB.Read(), row.ID)
	if err != nil {
		return nil, "", err
	}
	for _, t := range tasks {
		if !slices.Contains(statuses, t.Status) || but != nil && but(t.Failure) {
			continue
		}
		computers = append(computers, t.Computer)
		if row.Type == job.Restore {
			point = t.Point
		}
	}
	return computers, point, nil
}

// RetrySession starts a session of what a session that is over has left undone.
func (m *Manager) RetrySession(ctx context.Context, req *connect.Request[keepwardv1.RetrySessionRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	id := req.Msg.GetId()
	row, err := catalog.GetSession(ctx, m.deps.DB.Read(), id)
	if err != nil {
		return nil, err
	}
	if !row.Status.Final() {
		return nil, errs.New(errs.Busy, "session.not-over", "retry session %d: it is %s", id, row.Status).
			WithHint("what fails in it is tried again by itself; to begin anew, end it first: keepward session kill %d", id)
	}
	r := request{
		typ: row.Type, job: row.Job, repository: row.Repository, full: row.Full, by: m.user(ctx), priority: row.Priority,
		origin: row.ID, written: row.Definition, remark: fmt.Sprintf("retry of what session %d left undone", id),
	}
	if r.computers, r.point, err = m.tasksIn(ctx, row, undone, nil); err != nil {
		return nil, err
	}
	if len(r.computers) == 0 {
		return nil, errs.New(errs.Invalid, "session.nothing-to-retry", "retry session %d: none of its tasks failed or was ended early", id)
	}
	if row.Type == job.Backup {
		switch j, err := catalog.GetJob(ctx, m.deps.DB.Read(), row.Job); {
		case err == nil: // as the job is now: it may have been put right
			r.repository, r.definition, r.written = j.GetRepository(), j, ""
			r.priority, r.high = int(j.GetPriority()), j.GetHighPriority()
			if err := m.stillMembers(ctx, j, &r); err != nil {
				return nil, err
			}
		case errs.KindOf(err) != errs.NotFound:
			return nil, err
		}
	}
	started, err := m.submit(ctx, r)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.StartSessionResponse{Session: started}), nil
}
