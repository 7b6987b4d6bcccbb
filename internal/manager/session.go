package manager

import (
	"context"
	"database/sql"
	"slices"
	"sync/atomic"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// session is the backup manager of one session, owned by the one worker that reads its mail
// (line.go). It takes an event, lets the task decide, writes the outcome in one transaction, shows
// it, and then carries out what was ordered.
type session struct {
	m     *Manager
	row   catalog.Session
	plan  plan
	tasks []*task
	mail  inbox
	live  atomic.Pointer[keepwardv1.Session] // what is shown of it
	seen  showing
	timer *time.Timer // of the next deadline; nil before the first

	calling context.Context // of calls to nodes; nil before the first
	hangUp  context.CancelFunc
	stopAge map[string]context.CancelFunc // by task: ends what the server does itself; none before it
}

// letter is something for a session: an event of one task, or of all.
type letter struct {
	task string // empty: all
	ev   any
	done chan<- error // answered when the outcome is written; nil: nobody waits
}

// Letters that are no events of a task alone.
type (
	// evGrantNote: the broker has given the task its set.
	evGrantNote struct{}
	// evQueueNote: what a Queued task waits for may be over.
	evQueueNote struct{}
	// evProgress: a node's progress; it is shown, and written with the next change.
	evProgress struct {
		attempt  string
		part     part
		progress *keepwardv1.Progress
	}
	// evLines: a node's lines for the log.
	evLines struct {
		attempt string
		part    part
		lines   []*keepwardv1.Event
	}
)

// writeAgain is the pause before a failed write is tried again. Nothing is ordered or shown
// before it is written.
const writeAgain = time.Second

// writesToldAgain is after how many tries the log tells of it again.
const writesToldAgain = 60

// post hands the session an event, and tells whether it still takes any.
func (s *session) post(taskID string, ev any) bool { return s.send(letter{task: taskID, ev: ev}) }

// ask hands the session an event and waits until its outcome is written. false: it is over.
func (s *session) ask(ctx context.Context, taskID string, ev any) (bool, error) {
	done := make(chan error, 1) // the session must not wait for who asked
	if !s.send(letter{task: taskID, ev: ev, done: done}) {
		return false, nil
	}
	select {
	case err := <-done:
		return true, err
	case <-ctx.Done():
		return true, ctx.Err()
	}
}

// deliver gives a letter to the tasks it is for. Who waits for its outcome sees it; that of others
// is shown when the worker is done.
func (s *session) deliver(ctx context.Context, l letter) {
	var err error
	for _, t := range s.tasks {
		if l.task == "" || l.task == t.row.ID {
			err = s.turn(ctx, t, l.ev)
		}
	}
	if l.done != nil {
		s.publish(true) // who is answered looks at it now
		l.done <- err
	}
}

// turn is one event of one task, from the decision to the orders. Its error is that of ctx, for a
// write that fails is tried again, since nothing may happen that is not written; or it is why what a
// user asked for is not done.
func (s *session) turn(ctx context.Context, t *task, ev any) error {
	x := &turn{now: time.Now(), set: s.m.settings()}
	before := t.row.Status
	switch ev.(type) {
	case evProgress, evEnd:
		s.loadPace(ctx, t, x.now)
	}
	switch e := ev.(type) {
	case evGrantNote:
		if why := s.m.setUpAgain(t); !why.Zero() {
			t.queueAgain(x, why)
			break
		}
		granted, err := s.grantValues(ctx, t)
		if err != nil {
			return err
		}
		if granted == nil {
			s.m.reconsider(t)
		}
		t.handle(x, granted)
	case evQueueNote:
		t.handle(x, s.look(t))
	case evCleared:
		e.open = s.m.openSession(t.unsettled)
		t.handle(x, e)
	case evPriority:
		s.row.Priority = e.priority
		t.handle(x, e)
		s.m.reprioritise(t)
	case evProgress:
		t.onProgress(x, e)
	case evLines:
		if err := s.onLines(ctx, x, t, e); err != nil {
			return err
		}
	case evHeartbeat:
		if e.named && t.holds {
			s.m.broker.Renew(t.row.ID)
		}
		t.handle(x, ev)
	case evLease:
		s.m.answerLease(t)
	default:
		t.handle(x, ev)
	}
	switch {
	case x.dirty || len(x.events) > 0:
		if err := s.write(ctx, t, x); err != nil {
			return err
		}
		s.m.noteWritten(s, t)
	case x.heard:
		s.derive(x.now)
		s.m.noteWritten(s, t)
	}
	if looksAgain(before, t.row.Status) {
		s.post(t.row.ID, evQueueNote{})
	}
	s.noteNews(x, ev)
	for _, o := range x.orders {
		s.carryOut(ctx, o)
	}
	if now := t.standing(); t.holds && now != t.stood {
		t.stood = now
		s.m.dispatch(s.m.broker.Update(t.row.ID, now))
	}
	return x.refused
}

func (s *session) write(ctx context.Context, t *task, x *turn) error {
	s.derive(x.now)
	s.planRetry(x, t)
	if p := mergeProgress(t.progress); p != nil {
		t.row.Progress = p
	}
	for _, e := range x.events {
		s.row.LastSeq++
		e.Seq = s.row.LastSeq
	}
	for try := 0; ; try++ {
		err := s.m.deps.DB.Write(ctx, func(tx *sql.Tx) error { return s.save(ctx, tx, t, x) })
		if err == nil {
			t.paceSaved(x.now)
			s.m.failing.over()
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.m.failing.note(err, x.now)
		if try%writesToldAgain == 0 { // the log may lie on the disk that is full
			s.m.log.Error("session not written, will try again until it is", "session", s.row.ID, "task", t.row.ID, "error", err)
		}
		if err := sleep(ctx, writeAgain); err != nil {
			return err
		}
		if s.row.Ended.Equal(x.now) {
			x.now = time.Now() // others go by the ends of sessions, and must not have looked past this one
			s.row.Ended = x.now
		}
	}
}

func (s *session) save(ctx context.Context, tx *sql.Tx, t *task, x *turn) error {
	t.row.Holds = t.holds
	if err := catalog.PutTask(ctx, tx, &t.row); err != nil {
		return err
	}
	if x.chosen {
		if err := catalog.PutHolds(ctx, tx, t.row.ID, t.keptHolds()); err != nil {
			return err
		}
	}
	if t.att != nil {
		a := &t.att.row
		a.MoverOrdered, a.AgentOrdered = t.att.mover.ordered, t.att.agent.ordered
		if err := catalog.PutAttempt(ctx, tx, a); err != nil {
			return err
		}
	}
	if err := t.savePace(ctx, tx); err != nil {
		return err
	}
	if err := saveScripts(ctx, tx, t); err != nil {
		return err
	}
	if x.point != nil {
		if err := catalog.AddPoint(ctx, tx, x.point); err != nil {
			return err
		}
	}
	for _, id := range x.purged {
		if err := catalog.ForgetPoint(ctx, tx, id); err != nil {
			return err
		}
	}
	if err := catalog.AddEvents(ctx, tx, x.events); err != nil {
		return err
	}
	if !x.retryAt.IsZero() {
		if err := catalog.PlanRetry(ctx, tx, s.row.ID, x.retryAt); err != nil {
			return err
		}
	}
	return catalog.PutSession(ctx, tx, &s.row)
}

// derive sums the session up from its tasks.
func (s *session) derive(now time.Time) {
	var statuses []job.Status // each once: there may be thousands of tasks
	for _, t := range s.tasks {
		if !slices.Contains(statuses, t.row.Status) {
			statuses = append(statuses, t.row.Status)
		}
		s.row.Started = earliest(s.row.Started, t.row.Started)
	}
	s.row.Status = job.SessionStatus(statuses)
	s.row.Reason, s.row.Failure = nil, nil
	speaker := slices.IndexFunc(s.tasks, func(t *task) bool { return t.row.Status == s.row.Status })
	if speaker >= 0 {
		s.row.Phase, s.row.Reason = s.tasks[speaker].row.Phase, s.tasks[speaker].row.Reason
	}
	for _, t := range s.tasks {
		if t.row.Failure != nil && s.row.Failure == nil {
			s.row.Failure = t.row.Failure
		}
	}
	if s.row.Status.Final() && s.row.Ended.IsZero() {
		s.row.Ended = now
	}
}

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
