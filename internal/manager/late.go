package manager

import (
	"context"
	"errors"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
)

// tell hands an event to a task, whether its session still lives or is over, and answers when
// the outcome is written.
func (m *Manager) tell(ctx context.Context, sessionID int64, taskID string, ev any) error {
	if s := m.liveSession(sessionID); s != nil {
		took, err := s.ask(ctx, taskID, ev)
		if took && !errors.Is(err, errClosed) {
			return err
		}
	}
	return m.tellLate(ctx, sessionID, taskID, ev)
}

// tellLate is an event for a session that is over: it is loaded, told and written, by one
// teller at a time.
func (m *Manager) tellLate(ctx context.Context, sessionID int64, taskID string, ev any) error {
	select {
	case m.late <- struct{}{}:
		defer func() { <-m.late }()
	case <-ctx.Done():
		return ctx.Err()
	}
	row, err := catalog.GetSession(ctx, m.deps.DB.Read(), sessionID)
	if err != nil {
		return err
	}
	if !row.Status.Final() {
		// It is closing because the server is: the node repeats its word to the next one.
		return errClosed
	}
	s, err := m.load(ctx, row)
	if err != nil {
		return err
	}
	s.close(nil) // nobody reads its mail
	for _, t := range s.tasks {
		if t.row.ID == taskID {
			defer s.publish(true)
			return s.turn(ctx, t, ev)
		}
	}
	return nil
}

// settleLeft settles what could not be settled while the transport was away and whose tasks
// are over, so that a point that was made after all is known, and nothing is made later.
func (m *Manager) settleLeft(ctx context.Context, transport string) {
	left, err := catalog.LeftUnsettled(ctx, m.deps.DB.Read(), transport)
	if err != nil {
		m.log.Error("unsettled attempts not read", "transport", transport, "error", err)
		return
	}
	for _, a := range left {
		if err := m.settleOne(ctx, a); err != nil && ctx.Err() == nil {
			m.log.Warn("attempt not settled, will try when the transport connects again", "attempt", a.ID, "error", err)
		}
	}
}

func (m *Manager) settleOne(ctx context.Context, a catalog.Attempt) error {
	_, sessionID, ok, err := catalog.FindAttempt(ctx, m.deps.DB.Read(), a.ID)
	if err != nil || !ok {
		return err
	}
	row, err := catalog.GetSession(ctx, m.deps.DB.Read(), sessionID)
	if err != nil {
		return err
	}
	o := &keepwardv1.Order{Attempt: a.ID, Task: a.Task, Session: sessionID, Term: m.deps.Term(), Owner: m.deps.Owner}
	keep, err := m.killCommits(ctx, sessionID, a.Task)
	if err != nil {
		return err
	}
	s, err := m.fence(ctx, fencing{row.Repository, a.Transport, o, "the task is over", keep})
	if err != nil {
		return err
	}
	ev := evSettled{attempt: a.ID, committed: s.committed, partial: s.partial, checkpoint: s.checkpoint}
	return m.tell(ctx, sessionID, a.Task, ev)
}

// killCommits tells whether a task was ended so that what it has written is kept.
func (m *Manager) killCommits(ctx context.Context, sessionID int64, taskID string) (bool, error) {
	tasks, err := catalog.Tasks(ctx, m.deps.DB.Read(), sessionID)
	for _, t := range tasks {
		if t.ID == taskID {
			return t.KillCommits, err
		}
	}
	return false, err
}
