package manager

import (
	"context"
	"errors"
	"slices"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/broker"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/gate"
	"keepward/internal/job"
	"keepward/internal/wire"
)

// NodeOnline is called when a node's link stands and its first heartbeat was answered.
func (m *Manager) NodeOnline(n Node) {
	for _, s := range m.setOnline(n, true) {
		s.post("", evOnline{n})
	}
	signal(m.movement.kick) // its address is known now
	m.chores.post(func(ctx context.Context) {
		if m.waitReady(ctx) != nil {
			return
		}
		m.presence(ctx, n)
		if n.Role == wire.RoleTransport {
			m.settleLeft(ctx, n.Name)
			m.reconcileAll(ctx, n.Name)
		} else {
			m.startOnline(ctx, n.Name)
		}
		m.syncStanding(ctx, &n, false)
	})
}

// NodeOffline is called when a node's link is gone.
func (m *Manager) NodeOffline(n Node) {
	for _, s := range m.setOnline(n, false) {
		s.post("", evOffline{n})
	}
	m.browsers.lost(n)
	m.chores.post(func(ctx context.Context) {
		if m.waitReady(ctx) == nil {
			m.presence(ctx, n)
		}
	})
}

func (m *Manager) setOnline(n Node, online bool) []*session {
	m.mu.Lock()
	defer m.mu.Unlock()
	state := m.node(n)
	state.online = online
	var who []*session
	for s := range state.sessions {
		who = append(who, s)
	}
	return who
}

// down is why a resource of the node cannot be had; nil: it can.
func (m *Manager) down(n Node) *job.Reason {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.node(n).online {
		return nil
	}
	r := offlineReason(n)
	return &r
}

// presence tells the broker which resources come or go with a node.
func (m *Manager) presence(ctx context.Context, n Node) {
	m.supply <- struct{}{} // the last to come reads the newest state, and has the last word
	defer func() { <-m.supply }()
	if n.Role == wire.RoleAgent {
		slot := m.clientSlot(n.Name)
		if slot.Down != nil && !m.offered[slot.ID] {
			return // its computer was removed, which is why it has gone
		}
		m.offered[slot.ID] = true
		m.dispatch(m.broker.SetResource(slot))
		return
	}
	if err := m.setRepositories(ctx); err != nil && ctx.Err() == nil {
		m.log.Error("resources not set", "node", n.String(), "error", err)
	}
}

func (m *Manager) clientSlot(computer string) broker.Resource {
	return broker.Resource{
		ID: broker.ID{Kind: broker.Client, Name: computer}, Capacity: m.knobs().Int("client_tasks"), Down: m.down(agentOf(computer)),
	}
}

// setResources tells the broker of all there is.
func (m *Manager) setResources(ctx context.Context) error {
	m.supply <- struct{}{}
	defer func() { <-m.supply }()
	if err := m.setComputers(ctx); err != nil {
		return err
	}
	m.setFurther()
	return m.setRepositories(ctx)
}

func (m *Manager) setComputers(ctx context.Context) error {
	computers, err := catalog.Computers(ctx, m.deps.DB.Read())
	if err != nil {
		return err
	}
	var all []broker.Resource
	for _, c := range computers {
		all = append(all, m.clientSlot(c.Name))
	}
	if itself := m.clientSlot(job.ServerComputer); m.offered[itself.ID] {
		all = append(all, itself) // which is nobody's to remove
	}
	m.offer(all, broker.Client)
	return nil
}

// offer tells the broker that these are all there are of some kinds. m.supply must be held.
func (m *Manager) offer(all []broker.Resource, kinds ...broker.Kind) {
	now := make(map[broker.ID]bool, len(all))
	for _, r := range all {
		now[r.ID] = true
		m.offered[r.ID] = true
		m.dispatch(m.broker.SetResource(r))
	}
	for id := range m.offered {
		if slices.Contains(kinds, id.Kind) && !now[id] {
			delete(m.offered, id)
			m.dispatch(m.broker.RemoveResource(id))
		}
	}
}

func (m *Manager) setRepositories(ctx context.Context) error {
	repositories, err := catalog.Repositories(ctx, m.deps.DB.Read())
	if err != nil {
		return err
	}
	var all []broker.Resource
	for _, r := range repositories {
		down := m.down(transportOf(r.Transport))
		all = append(all, broker.Resource{
			ID: broker.ID{Kind: broker.Stream, Name: r.Name}, Label: "repository " + r.Name, Capacity: int(r.Streams), Down: down,
		}, broker.Resource{
			ID: broker.ID{Kind: broker.Writer, Name: r.Name}, Label: r.Path, Capacity: int(r.Writers), Down: down,
		})
	}
	m.offer(all, broker.Stream, broker.Writer)
	return nil
}

// ConfigChanged is called after jobs, repositories or rules of the queue were changed: schedules,
// limits and rules are read anew.
func (m *Manager) ConfigChanged() {
	m.chores.post(func(ctx context.Context) {
		if m.waitReady(ctx) != nil {
			return
		}
		if err := m.setResources(ctx); err != nil && ctx.Err() == nil {
			m.log.Error("resources not set", "error", err)
		}
		if err := m.loadRules(ctx); err != nil && ctx.Err() == nil {
			m.log.Error("rules of the queue not read", "error", err)
		}
		m.syncStanding(ctx, nil, true)
	})
	m.lookAtSchedules()
}

// Heartbeat takes what a node says it runs, and answers which attempts it shall drop: those
// that are not, or no longer, somebody's. Ended ones are answered when their end is reported.
func (m *Manager) Heartbeat(_ context.Context, n Node, boot string, attempts []*keepwardv1.AttemptState) ([]string, error) {
	select {
	case <-m.ready:
	default:
		return nil, nil // nobody knows yet what is wanted
	}
	named := make(map[string]bool, len(attempts))
	for _, a := range attempts {
		named[a.GetAttempt()] = true
	}
	type note struct {
		openAttempt
		ev evHeartbeat
	}
	var notes []note
	var drop, adopt []string
	m.mu.Lock()
	m.node(n).boot = boot
	for id := range m.atNode[n] {
		notes = append(notes, note{m.open[id], evHeartbeat{attempt: id, boot: boot, node: n, named: named[id]}})
	}
	for _, a := range attempts {
		switch _, wanted := m.atNode[n][a.GetAttempt()]; {
		case wanted:
		case m.issued[a.GetAttempt()]:
			adopt = append(adopt, a.GetAttempt())
		case !a.GetEnded():
			drop = append(drop, a.GetAttempt())
		}
	}
	m.mu.Unlock()
	m.adoptLater(adopt)
	for _, note := range notes {
		note.session.post(note.task, note.ev)
	}
	return drop, nil
}

// Supplied takes over what an agent says of how its computer is supplied.
func (m *Manager) Supplied(n Node, s *keepwardv1.Supply) {
	if s == nil || n.Role != wire.RoleAgent {
		return
	}
	m.mu.Lock()
	m.gate.Supplied(n.Name, gate.Supply{Battery: s.GetBattery(), Charge: int(s.GetCharge()), Metered: s.GetMetered()})
	wake := m.wakes()
	m.mu.Unlock()
	wake.post()
}

// Progress shows what a node has done so far.
func (m *Manager) Progress(_ context.Context, n Node, attempt string, p *keepwardv1.Progress) error {
	m.movement.meter(n, attempt, p.GetMeter())
	if of, ok := m.holder(n, attempt); ok && p != nil {
		of.session.post(of.task, evProgress{attempt: attempt, part: partOfNode(n), progress: p})
	}
	return nil
}

// Events takes a node's lines into the log, and answers when they are kept.
func (m *Manager) Events(ctx context.Context, n Node, attempt string, events []*keepwardv1.Event) error {
	if err := m.waitReady(ctx); err != nil {
		return err
	}
	of, ok := m.holder(n, attempt)
	if !ok {
		if _, err := m.adoptIssued(ctx, attempt); err != nil {
			return err
		}
		of, ok = m.holder(n, attempt)
	}
	if !ok {
		return nil // of an attempt that is settled: nobody waits for its lines
	}
	_, err := of.session.ask(ctx, of.task, evLines{attempt: attempt, part: partOfNode(n), lines: events})
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}

// holder is whose unsettled attempt runs at a node; false: none does.
func (m *Manager) holder(n Node, attempt string) (openAttempt, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.atNode[n][attempt]; !ok {
		return openAttempt{}, false
	}
	of, ok := m.open[attempt]
	return of, ok
}

func partOfNode(n Node) part {
	if n.Role == wire.RoleAgent {
		return partAgent
	}
	return partMover
}

// End takes how a node saw an attempt end. It answers when that is written; an error makes
// the node repeat it. An end of an attempt that the node has no part in is refused.
func (m *Manager) End(ctx context.Context, n Node, attempt string, end *keepwardv1.AttemptEnd) error {
	if err := m.waitReady(ctx); err != nil {
		return err
	}
	if end == nil {
		return errs.New(errs.Invalid, "attempt.end", "report end of attempt %s: it says nothing", attempt)
	}
	if _, err := m.adoptIssued(ctx, attempt); err != nil {
		return err
	}
	sessionID, task, err := m.whose(ctx, n, attempt)
	if err != nil || task == "" {
		return err // an unknown attempt is answered, so that the node forgets it
	}
	if len(end.GetCheck().GetFindings()) > 0 {
		if err := m.completePaths(ctx, end.GetCheck()); err != nil {
			return err
		}
	}
	err = m.tell(ctx, sessionID, task, evEnd{attempt: attempt, part: partOfNode(n), end: end})
	if n.Role == wire.RoleTransport {
		m.checkLeases([]string{task})
	}
	return err
}

// whose is the session and the task of an attempt that a node reports; no task: there is none.
func (m *Manager) whose(ctx context.Context, n Node, attempt string) (session int64, task string, err error) {
	if of, ok := m.holder(n, attempt); ok {
		return of.session.row.ID, of.task, nil
	}
	a, session, ok, err := catalog.FindAttempt(ctx, m.deps.DB.Read(), attempt)
	if err != nil || !ok {
		return 0, "", err
	}
	if n != agentOf(a.Agent) && n != transportOf(a.Transport) {
		return 0, "", errs.New(errs.Denied, "attempt.stranger", "report end of attempt %s: %s has no part in it", attempt, n)
	}
	return session, a.Task, nil
}

func (m *Manager) completePaths(ctx context.Context, r *keepwardv1.CheckReport) error {
	computers, err := catalog.Computers(ctx, m.deps.DB.Read())
	if err != nil {
		return err
	}
	systems := make(map[string]string, len(computers))
	for _, c := range computers {
		systems[c.Name] = c.OS
	}
	fullPaths(r, systems)
	return nil
}
