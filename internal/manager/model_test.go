package manager

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/broker"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/gate"
	"keepward/internal/job"
)

// model drives the deciding part alone: two tasks of two computers, one stream between them,
// a transport, and everything that can go wrong, in an order that rapid chooses. What nodes do
// and what calls answer is simulated; nothing sleeps and nothing is written.
type model struct {
	t     *rapid.T
	now   time.Time
	set   Settings
	tasks []*task
	saved []savedTask // what the catalog would hold
	b     *broker.Broker
	gate  *gate.Gate
	rules gate.Rules
	seq   int

	online map[Node]bool
	boots  map[Node]int
	has    map[Node]map[string]bool // attempts that a node runs
	spool  map[Node]map[string]*keepwardv1.AttemptEnd
	names  map[string]string // by attempt: point, partial or tombstone
	early  map[string]bool   // attempts whose agent was told to end early
	marked map[string]bool   // attempts that have a checkpoint
	calls  []modelCall
	opened map[string][]string // attempts by task
	script modelScripts
}

// savedTask is a task as the catalog would give it back.
type savedTask struct {
	row catalog.Task
	att *catalog.Attempt
}

// modelCall is a call under way: its effect, when it is made, answers the event.
type modelCall struct {
	task string
	make func(lost bool) any
}

func newModel(t *rapid.T) *model {
	m := &model{
		t: t, now: time.Unix(1_000_000, 0), set: Settings{}.withDefaults(),
		online: map[Node]bool{}, boots: map[Node]int{}, has: map[Node]map[string]bool{},
		spool: map[Node]map[string]*keepwardv1.AttemptEnd{}, names: map[string]string{}, opened: map[string][]string{},
		early: map[string]bool{}, marked: map[string]bool{},
	}
	m.saved = make([]savedTask, 2)
	for i, typ := range []job.Type{job.Backup, rapid.SampledFrom([]job.Type{job.Backup, job.Restore, job.Verify}).Draw(t, "type")} {
		task := &task{
			row: catalog.Task{ID: fmt.Sprintf("t%d", i), Session: int64(i + 1), Computer: fmt.Sprintf("c%d", i), Repository: theRepo, Status: job.Queued},
			typ: typ, priority: job.DefaultPriority(typ), transport: theNode, limit: 4, interval: 10 * time.Minute,
		}
		m.tasks = append(m.tasks, task)
		m.save(task)
	}
	m.script.draw(t, m)
	m.startBroker()
	m.startGate()
	for _, n := range m.nodes() {
		m.online[n], m.has[n], m.spool[n] = true, map[string]bool{}, map[string]*keepwardv1.AttemptEnd{}
	}
	for _, task := range m.tasks {
		m.tell(task.row.ID, evQueue{})
	}
	return m
}

func (m *model) nodes() []Node { return []Node{transportOf(theNode), agentOf("c0"), agentOf("c1")} }

func (m *model) startBroker() {
	m.b = broker.New(func() time.Time { return m.now }, leaseTerm)
	p := broker.DefaultPolicy()
	p.RestoresPreemptBackups = true
	m.b.SetPolicy(p)
	m.b.SetResource(broker.Resource{ID: broker.ID{Kind: broker.Stream, Name: theRepo}, Capacity: 1})
	m.b.SetResource(broker.Resource{ID: broker.ID{Kind: broker.Writer, Name: theRepo}, Capacity: 1})
	for _, c := range []string{"c0", "c1"} {
		m.b.SetResource(broker.Resource{ID: broker.ID{Kind: broker.Client, Name: c}, Capacity: 1})
	}
}

func (m *model) byID(id string) *task {
	for _, t := range m.tasks {
		if t.row.ID == id {
			return t
		}
	}
	panic("no task " + id)
}

func (m *model) save(t *task) {
	t.row.Holds = t.holds
	s := savedTask{row: t.row}
	if t.att != nil {
		a := t.att.row
		a.MoverOrdered, a.AgentOrdered = t.att.mover.ordered, t.att.agent.ordered
		s.att = &a
	}
	m.saved[slices.Index(m.tasks, t)] = s
}

// tell is one turn of one task, as session.turn does it.
func (m *model) tell(id string, ev any) {
	t := m.byID(id)
	if t.row.Status.Final() && t.att.settled() {
		return
	}
	if _, ok := ev.(evQueue); ok {
		ev = evQueue{held: m.gate.Ask(id, m.now, t.row.Status == job.Queued)}
	}
	m.turn(t, func(x *turn) { t.handle(x, ev) })
}

// turn is what one event of one task leads to.
func (m *model) turn(t *task, fn func(x *turn)) {
	id, before := t.row.ID, t.row.Status
	x := &turn{now: m.now, set: &m.set}
	fn(x)
	m.save(t)
	if x.dirty || len(x.events) > 0 {
		m.script.save(t)
	}
	m.noteGate(t)
	for _, e := range x.events {
		if e.GetCode() == "internal.move" {
			m.t.Fatalf("task %s: %s", id, e.GetText())
		}
	}
	if x.point != nil && m.names[x.point.GetId()] != pointName(x.point) {
		m.t.Fatalf("the catalog got %s %s, under whose name stands %q", pointName(x.point), x.point.GetId(), m.names[x.point.GetId()])
	}
	for _, o := range x.orders {
		m.carryOut(o)
	}
	if now := t.standing(); t.holds && now != t.stood {
		t.stood = now
		m.dispatch(m.b.Update(id, now))
	}
	if looksAgain(before, t.row.Status) {
		m.tell(id, evQueue{})
	}
	for _, other := range m.gate.Wakes() {
		m.tell(other, evQueue{})
	}
}

func pointName(p *keepwardv1.Point) string {
	if p.GetPartial() {
		return "partial"
	}
	return "point"
}

func (m *model) carryOut(o order) {
	id := o.task.row.ID
	switch o.do {
	case doRequest:
		m.dispatch(m.b.Request(broker.Request{
			Task: id, Session: o.task.row.Session, Type: o.task.typ, Priority: o.task.priority, Set: o.task.needs(), Preemptions: o.task.row.Preemptions,
		}))
		return
	case doRelease:
		m.dispatch(m.b.Release(id))
		return
	case doScript, doStopScript:
		m.script.carryOut(m, o)
		return
	case doReprioritise:
		return
	}
	attempt := o.attempt.row.ID
	mover, agent := o.attempt.mover.node, o.attempt.agent.node
	// order is a call that makes a node do something; lost: it did, but its answer never came.
	order := func(n Node, effect func(), answer func(f *keepwardv1.Failure) any) modelCall {
		return modelCall{id, func(lost bool) any {
			if !m.online[n] {
				return answer(failure(errs.Unavailable, "", "", "offline"))
			}
			effect()
			if lost {
				return answer(failure(errs.Unavailable, "", "", "answer lost"))
			}
			return answer(nil)
		}}
	}
	switch o.do {
	case doStartMover:
		m.calls = append(m.calls, order(mover, func() { m.has[mover][attempt] = true },
			func(f *keepwardv1.Failure) any { return evOrdered{attempt: attempt, part: partMover, failure: f} }))
	case doStartAgent:
		m.calls = append(m.calls, order(agent, func() { m.has[agent][attempt] = true },
			func(f *keepwardv1.Failure) any { return evOrdered{attempt: attempt, part: partAgent, failure: f} }))
	case doStop:
		n := o.attempt.side(o.part).node
		var gone bool
		stop := m.stopAt
		if o.commit {
			stop = m.endEarlyAt
		}
		m.calls = append(m.calls, order(n, func() { gone = !stop(n, attempt) },
			func(*keepwardv1.Failure) any { return evStopped{attempt: attempt, part: o.part, gone: gone} }))
	case doSettle:
		typ := o.task.typ
		n := o.task.arbiter().node
		what := "tombstone"
		if o.commit && m.marked[attempt] {
			what = "partial"
		}
		m.calls = append(m.calls, order(n, func() { m.stopAt(n, attempt); m.put(typ, attempt, what) },
			func(f *keepwardv1.Failure) any {
				name := m.names[attempt]
				return evSettled{
					attempt: attempt, committed: f == nil && (name == "point" || name == "partial"), partial: f == nil && name == "partial", failure: f,
				}
			}))
	}
}

// stopAt makes a node end an attempt, and tells whether it had it.
func (m *model) stopAt(n Node, attempt string) bool {
	if !m.has[n][attempt] {
		return m.spool[n][attempt] != nil
	}
	delete(m.has[n], attempt)
	m.spool[n][attempt] = &keepwardv1.AttemptEnd{Outcome: outcomeAborted}
	return true
}

// endEarlyAt has an agent make its point of what it has, and tells whether it had the attempt.
func (m *model) endEarlyAt(n Node, attempt string) bool {
	m.early[attempt] = m.early[attempt] || m.has[n][attempt]
	return m.has[n][attempt] || m.spool[n][attempt] != nil
}

func (m *model) put(typ job.Type, attempt, what string) bool {
	if typ != job.Backup || m.names[attempt] != "" {
		return false
	}
	m.names[attempt] = what
	return true
}

func (m *model) dispatch(d broker.Decision) {
	for _, g := range d.Granted {
		t := m.byID(g.Task)
		if !t.lacking {
			m.b.Release(g.Task)
			continue
		}
		if m.tooLate(t) {
			continue
		}
		for _, old := range m.opened[g.Task] {
			if t.typ == job.Backup && m.names[old] == "" {
				m.t.Fatalf("task %s opens an attempt while %s is not settled", g.Task, old)
			}
		}
		m.seq++
		a := fmt.Sprintf("a%d", m.seq)
		m.opened[g.Task] = append(m.opened[g.Task], a)
		m.tell(g.Task, evGranted{
			attempt: a, agent: t.row.Computer, moverBoot: m.boot(transportOf(theNode)), agentBoot: m.boot(agentOf(t.row.Computer)),
			moverAway: !m.online[transportOf(theNode)], agentAway: !m.online[agentOf(t.row.Computer)],
		})
	}
	for _, i := range d.Interrupt {
		m.tell(i.Task, evInterrupt{i.ForSession})
	}
	for _, delay := range d.Delayed {
		m.tell(delay.Task, evDelayed{delay.Reason})
	}
}

func (m *model) boot(n Node) string { return fmt.Sprint(n, m.boots[n]) }

func (m *model) tellAll(ev any) {
	for _, t := range m.tasks {
		m.tell(t.row.ID, ev)
	}
}

func (m *model) link(n Node, up bool) {
	if m.online[n] == up {
		return
	}
	m.online[n] = up
	if up {
		m.heartbeat(n)
		m.tellAll(evOnline{n})
	} else {
		m.tellAll(evOffline{n})
	}
}

func (m *model) heartbeat(n Node) {
	for _, t := range m.tasks {
		if t.att.settled() || t.row.Status.Final() {
			continue
		}
		id := t.att.row.ID
		if t.att.sideOf(n) != nil {
			m.tell(t.row.ID, evHeartbeat{attempt: id, boot: m.boot(n), node: n, named: m.has[n][id] || m.spool[n][id] != nil})
		}
	}
}

// deliver brings a node's spooled ends to the server.
func (m *model) deliver(n Node) {
	for _, attempt := range slices.Sorted(maps.Keys(m.spool[n])) {
		p := partMover
		if n.Role == agentOf("").Role {
			p = partAgent
		}
		for _, t := range m.tasks {
			if slices.Contains(m.opened[t.row.ID], attempt) {
				m.tell(t.row.ID, evEnd{attempt: attempt, part: p, end: proto.CloneOf(m.spool[n][attempt])})
			}
		}
		delete(m.spool[n], attempt)
	}
}

// work lets a node end one attempt it runs: a mover by committing, if it may.
func (m *model) work(n Node, good bool) {
	list := slices.Sorted(maps.Keys(m.has[n]))
	if len(list) == 0 {
		return
	}
	attempt := list[0]
	delete(m.has[n], attempt)
	end := &keepwardv1.AttemptEnd{Outcome: outcomeFailed, Failure: &keepwardv1.Failure{Kind: string(errs.Unavailable), Message: "lost"}}
	if good {
		end = done(nil)
		if n.Role == transportOf("").Role {
			what := "point"
			if m.early[attempt] {
				what, end.Point = "partial", &keepwardv1.PointSummary{Id: attempt, Partial: true}
			}
			end.Committed = m.put(m.typeOf(attempt), attempt, what)
			if m.typeOf(attempt) == job.Backup && !end.Committed {
				end.Outcome = outcomeFailed
			}
		}
	}
	m.spool[n][attempt] = end
}

func (m *model) typeOf(attempt string) job.Type {
	for _, t := range m.tasks {
		if slices.Contains(m.opened[t.row.ID], attempt) {
			return t.typ
		}
	}
	return ""
}
