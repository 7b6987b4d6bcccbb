package manager

import (
	"context"
	"database/sql"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// This file is what comes of attempts that agents have opened by themselves. The first report of one
// makes a session of it, with one task that runs; from then on it is a session as any other that a
// server finds when it is started: its nodes report, its point goes into the catalog, it can be killed.

// byTheAgent is who starts the sessions of jobs that agents manage. No user has such a name.
const byTheAgent = "its agent"

// agentPatience is for how long a transport may be silent about an attempt that an agent runs by
// itself: that the server does not hear of it is what it is for.
const agentPatience = time.Hour

// managedByAgent tells whether a session is one that an agent has begun.
func managedByAgent(row catalog.Session) bool { return row.StartedBy == byTheAgent }

// patience is a wait for nodes, longer where they need no server.
func (t *task) patience(d time.Duration) time.Duration {
	if t.byAgent {
		return max(d, agentPatience)
	}
	return d
}

// codeSpared is by which an agent ends a run of its own to spare its computer. It goes on with it
// as another session, so that this one has not failed.
const codeSpared = "agent.spared"

func (t *task) spared() bool {
	return t.byAgent && t.att.agent.end.GetFailure().GetCode() == codeSpared
}

func (t *task) endSpared(x *turn) {
	x.line(t, levelInfo, partAgent, codeSpared, t.att.agent.end.GetFailure().GetMessage())
	t.onKill(x, byTheAgent)
}

// adoptIssued makes a session of an attempt that an agent has opened; false: it is none.
func (m *Manager) adoptIssued(ctx context.Context, id string) (bool, error) {
	if !m.isIssued(id) {
		return false, nil
	}
	select {
	case m.adopting <- struct{}{}:
		defer func() { <-m.adopting }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	a, p, ok, err := catalog.FindStandingAttempt(ctx, m.deps.DB.Read(), id)
	if err != nil || !ok {
		return false, err
	}
	if a.Session != 0 { // somebody was quicker
		return true, nil
	}
	if _, err := catalog.GetRepository(ctx, m.deps.DB.Read(), p.Repository); err != nil {
		return false, unlessGone(err)
	}
	s, err := m.writeIssued(ctx, a, p)
	if err != nil {
		return false, err
	}
	m.log.Info("an agent runs a job by itself, or has run it", "job", p.Job, "computer", p.Computer, "session", s.row.ID, "attempt", id)
	for _, t := range s.tasks {
		t.holds = true
		m.dispatch(m.broker.Adopt(t.grant()))
	}
	m.register(s)
	m.noteIssued(false, id) // not before: a heartbeat that names it would have it dropped as nobody's
	s.post("", evWake{})
	for _, n := range m.onlineFor(s) {
		s.post("", evOnline{n})
	}
	return true, nil
}

// writeIssued writes the session of an attempt as if this server had ordered it before its last start.
func (m *Manager) writeIssued(ctx context.Context, a catalog.StandingAttempt, p catalog.StandingPolicy) (*session, error) {
	now := time.Now()
	j, err := catalog.DefinitionOf(catalog.Session{Definition: p.Definition}, &keepwardv1.Job{})
	if err != nil {
		return nil, err
	}
	priorities, err := m.priorities(ctx, request{
		typ: job.Backup, job: p.Job, computers: []string{p.Computer}, priority: int(j.GetPriority()), high: j.GetHighPriority(),
	})
	if err != nil {
		return nil, err
	}
	row := catalog.Session{
		Job: p.Job, Type: job.Backup, Status: job.RunningUnverified, Phase: job.Backup.MainPhase(), Priority: priorities[0], Repository: p.Repository,
		StartedBy: byTheAgent, Definition: p.Definition, Created: now, Started: now,
	}
	err = m.deps.DB.Write(ctx, func(tx *sql.Tx) error {
		row.LastSeq = 0 // it may be called again
		if err := catalog.AddSession(ctx, tx, &row); err != nil {
			return err
		}
		t := &task{row: catalog.Task{
			ID: a.Task, Session: row.ID, Computer: p.Computer, Repository: p.Repository, Status: row.Status, Phase: row.Phase,
			Attempts: 1, Holds: true, Started: now, Priority: priorities[0],
		}}
		if err := catalog.AddTask(ctx, tx, &t.row); err != nil {
			return err
		}
		if err := catalog.PutAttempt(ctx, tx, &catalog.Attempt{
			ID: a.ID, Task: a.Task, Number: 1, Transport: p.Transport, Agent: p.Computer, Time: p.Issued, MoverOrdered: true, AgentOrdered: true,
		}); err != nil {
			return err
		}
		x := &turn{now: now}
		x.status(t, job.None, row.Status, "the agent of "+p.Computer+" runs the job by itself; the server takes over what it reports", byTheAgent)
		for _, e := range x.events {
			row.LastSeq++
			e.Seq = row.LastSeq
		}
		if err := catalog.AddEvents(ctx, tx, x.events); err != nil {
			return err
		}
		if err := catalog.SetStandingSession(ctx, tx, a.ID, row.ID); err != nil {
			return err
		}
		return catalog.PutSession(ctx, tx, &row)
	})
	if err != nil {
		return nil, err
	}
	return m.load(ctx, row)
}

// adoptLater adopts attempts that a heartbeat names.
func (m *Manager) adoptLater(ids []string) {
	for _, id := range ids {
		m.chores.post(func(ctx context.Context) {
			if _, err := m.adoptIssued(ctx, id); err != nil && ctx.Err() == nil {
				m.log.Error("what an agent runs by itself is not taken over, will be tried at its next report", "attempt", id, "error", err)
			}
		})
	}
}

// opened is when an attempt was opened and with what it compared: of one that an agent opened by
// itself its transport says so. Nobody can make a point older than its attempt, or younger than now.
func (t *task) opened(now time.Time) (at time.Time, parent string) {
	at, parent = t.att.row.Time, t.att.row.Parent
	end := t.att.mover.end
	if !t.byAgent || !end.GetOpened().IsValid() {
		return at, parent
	}
	if when := end.GetOpened().AsTime(); when.After(at) {
		at = when
	}
	if at.After(now) {
		at = now
	}
	return at, end.GetParent()
}
