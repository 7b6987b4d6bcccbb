package manager

import (
	"context"
	"errors"
	"slices"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// KillSession asks a session, or one task of it, to end. It answers when that is on its way;
// the end itself may take until everything has let go. One that is over is left as it is. With
// commit what a backup has written becomes a partial restore point.
func (m *Manager) KillSession(ctx context.Context, req *connect.Request[keepwardv1.KillSessionRequest]) (*connect.Response[keepwardv1.KillSessionResponse], error) {
	id := req.Msg.GetId()
	if err := m.waitReady(ctx); err != nil { // else it would be told to nobody
		return nil, err
	}
	s, err := m.currentSession(ctx, id)
	if err != nil {
		return nil, err
	}
	task, err := taskNamed(s, req.Msg.GetTask())
	if err != nil {
		return nil, err
	}
	if job.Status(s.GetStatus()).Final() || task != nil && job.Status(task.GetStatus()).Final() {
		return connect.NewResponse(&keepwardv1.KillSessionResponse{Session: s, Over: true}), nil
	}
	var ev any = evKill{actor: m.user(ctx)}
	if req.Msg.GetCommit() {
		if job.Type(s.GetType()) != job.Backup {
			return nil, errs.New(errs.Invalid, "session.no-commit", "end session %d and keep what is written: a session of type %s leaves no restore point", id, s.GetType()).
				WithHint("end it with: keepward session kill %d", id)
		}
		ev = evCommit{actor: m.user(ctx)}
	}
	told := false
	if live := m.liveSession(id); live != nil {
		if told, err = m.demand(ctx, live, task.GetId(), ev); err != nil {
			return nil, err
		}
	}
	if s, err = m.currentSession(ctx, id); err != nil {
		return nil, err
	}
	over := !told && job.Status(s.GetStatus()).Final() // it has ended before it was told
	if !told && !over {
		return nil, notTold(id)
	}
	return connect.NewResponse(&keepwardv1.KillSessionResponse{Session: s, Over: over}), nil
}

// SuspendSession asks a session, or one task of it, to pause. It answers when that is on its way.
// Of a session of which only some tasks can pause, those do.
func (m *Manager) SuspendSession(ctx context.Context, req *connect.Request[keepwardv1.SuspendSessionRequest]) (*connect.Response[keepwardv1.SuspendSessionResponse], error) {
	s, err := m.tellTasks(ctx, req.Msg.GetId(), req.Msg.GetTask(), whyTaskNotSuspended, evSuspend{actor: m.user(ctx)})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.SuspendSessionResponse{Session: s}), nil
}

// ResumeSession ends the pause of a session, or of one task of it.
func (m *Manager) ResumeSession(ctx context.Context, req *connect.Request[keepwardv1.ResumeSessionRequest]) (*connect.Response[keepwardv1.ResumeSessionResponse], error) {
	s, err := m.tellTasks(ctx, req.Msg.GetId(), req.Msg.GetTask(), whyTaskNotResumed, evResume{actor: m.user(ctx)})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ResumeSessionResponse{Session: s}), nil
}

func whyTaskNotSuspended(s *keepwardv1.Session, t *keepwardv1.Task) error {
	why := whyNotSuspended(job.Type(s.GetType()), job.Status(t.GetStatus()), t.GetPhase())
	if why == "" {
		return nil
	}
	return notSuspended(s.GetId(), why)
}

func notSuspended(id int64, why string) error {
	return errs.New(errs.Busy, "session.not-suspended", "suspend session %d: %s", id, why)
}

func whyTaskNotResumed(s *keepwardv1.Session, t *keepwardv1.Task) error {
	if !job.Status(t.GetStatus()).Final() {
		return nil
	}
	return notResumed(s.GetId())
}

func notResumed(id int64) error {
	return errs.New(errs.Busy, "session.not-resumed", "resume session %d: it is over", id).WithHint("start the job again: keepward job run")
}

// tellTasks hands an event to the tasks of a session for which nothing speaks against it. It is
// refused when there is none, or when none of them took it: somebody else may have been quicker.
func (m *Manager) tellTasks(ctx context.Context, id int64, name string, against func(*keepwardv1.Session, *keepwardv1.Task) error, ev any) (*keepwardv1.Session, error) {
	if err := m.waitReady(ctx); err != nil { // else it would be told to nobody
		return nil, err
	}
	s, err := m.currentSession(ctx, id)
	if err != nil {
		return nil, err
	}
	task, err := taskNamed(s, name)
	if err != nil {
		return nil, err
	}
	var why error
	var able []string
	for _, t := range s.GetTasks() {
		if task != nil && t.GetId() != task.GetId() {
			continue
		}
		if err := against(s, t); err != nil {
			why = err
		} else {
			able = append(able, t.GetId())
		}
	}
	if len(able) == 0 {
		return nil, why
	}
	live := m.liveSession(id)
	taken := 0
	for _, t := range able {
		if live == nil {
			break
		}
		switch took, err := m.demand(ctx, live, t, ev); {
		case errs.KindOf(err) == errs.Busy:
			why = err
		case took && err == nil:
			taken++
		case err != nil:
			return nil, err
		}
	}
	if s, err = m.currentSession(ctx, id); err != nil || taken > 0 {
		return s, err
	}
	for _, t := range s.GetTasks() { // it has ended before it was told
		if err := against(s, t); err != nil && slices.Contains(able, t.GetId()) {
			why = err
		}
	}
	if why == nil {
		why = notTold(id)
	}
	return nil, why
}

// notTold is the answer where a session lives that takes no more letters: the server ends.
func notTold(id int64) error {
	return errs.New(errs.Unavailable, "session.not-told", "tell session %d: the server is going down", id).WithHint("try again when it is back")
}

// demandMost is how long somebody at a screen waits until what he wants of a session is written.
const demandMost = 10 * time.Second

// demand hands a session what a user wants of it, and tells whether it took it. A session that stands still since nothing can be
// written does it later: he is told so, and need not ask again.
func (m *Manager) demand(ctx context.Context, live *session, task string, ev any) (told bool, err error) {
	patient, cancel := context.WithTimeout(ctx, demandMost)
	defer cancel()
	told, err = live.ask(patient, task, ev)
	switch at := m.failing.now.Load(); {
	case errors.Is(err, errClosed):
		return false, nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && at != nil:
		return false, errs.New(errs.Unavailable, "session.stands-still", "session %d does so as soon as the server can write again: %w", live.row.ID, at.err).
			WithHint("%s", errs.HintOf(at.err))
	}
	return told, err
}

// taskNamed finds a task by its id, a prefix of it, or its computer; nil: none was asked for.
func taskNamed(s *keepwardv1.Session, name string) (*keepwardv1.Task, error) {
	if name == "" {
		return nil, nil
	}
	var found *keepwardv1.Task
	for _, t := range s.GetTasks() {
		if t.GetId() == name || t.GetComputer() == name || len(name) >= shortestPrefix && len(name) < len(t.GetId()) && t.GetId()[:len(name)] == name {
			if found != nil {
				return nil, errs.New(errs.Invalid, "task.ambiguous", "session %d: several tasks answer to %q", s.GetId(), name)
			}
			found = t
		}
	}
	if found == nil {
		return nil, errs.New(errs.NotFound, "task.unknown", "session %d has no task %q", s.GetId(), name).WithHint("name it by its id or its computer")
	}
	return found, nil
}
