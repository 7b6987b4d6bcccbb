package manager

import (
	"context"
	"time"

	"keepward/internal/job"
)

// This file looks after reservations that nobody stands behind. A reservation is a lease: the
// heartbeats of its nodes renew it. One that ran out is looked at, and so are all of them at the
// start of the server, now and then, and the one of a mover whose end a transport reports. What a
// task holds that lives is left alone: how long it may be silent is decided where its nodes are
// watched (life_nodes.go), and what it holds is free when its attempt is settled.

// runLeases looks at reservations when their time comes.
func (m *Manager) runLeases(ctx context.Context) error {
	m.checkLeases(m.broker.Holders())
	swept := time.Now()
	ticker := time.NewTicker(leaseTerm)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if time.Since(swept) < m.knobs().Duration("reservation_cleanup_interval") {
			m.checkLeases(m.broker.Expired())
			continue
		}
		m.checkLeases(m.broker.Holders())
		swept = time.Now()
	}
}

// checkLeases asks the tasks whether they live that hold these reservations. What no session
// knows of is free at once.
func (m *Manager) checkLeases(tasks []string) {
	for _, id := range tasks {
		m.mu.Lock()
		s := m.byTask[id]
		m.mu.Unlock()
		if s == nil || !s.post(id, evLease{}) {
			m.freeLease(id)
		}
	}
}

// freeLease gives back what a task holds that is over or was never heard of.
func (m *Manager) freeLease(task string) {
	if !m.broker.Renew(task) {
		return // it holds nothing by now
	}
	m.log.Warn("a reservation that nobody stands behind is given back", "task", task)
	m.dispatch(m.broker.Release(task))
}

// answerLease is a task's answer: what it holds is its own for another term, and what it does not
// know of is given back. A task that still lacks its set may have been given it just now.
func (m *Manager) answerLease(t *task) {
	switch {
	case t.lives():
		m.broker.Renew(t.row.ID)
	case !t.holds && !t.lacking:
		m.freeLease(t.row.ID)
	}
}

// lives tells whether somebody works with what the task holds, as far as is known: the server
// itself, a node that is linked, or a call that is on its way to one. Of others the lease stays
// expired until they are heard of, or their time is over.
func (t *task) lives() bool {
	if !t.holds || t.att == nil {
		return t.holds
	}
	if t.byServer() || t.settling || t.row.Status.Class() == job.Leaving {
		return true
	}
	for _, s := range t.att.sides() {
		if s.takesPart() && (s.asked || s.offline.IsZero()) {
			return true
		}
	}
	return false
}
