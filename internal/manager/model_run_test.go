package manager

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keepward/internal/gate"
	"keepward/internal/job"
)

// check holds after every step.
func (m *model) check() {
	held := map[string]bool{}
	state := m.b.Snapshot()
	for _, g := range state.Grants {
		held[g.Task] = true
	}
	for _, r := range state.Resources {
		if r.Used > r.Capacity {
			m.t.Fatalf("%v: %d of %d are held", r.ID, r.Used, r.Capacity)
		}
	}
	for _, t := range m.tasks {
		s := t.row.Status
		wants := s.Class() == job.Active || s.Class() == job.Leaving
		if held[t.row.ID] != t.holds || held[t.row.ID] && (!wants || t.bare()) || s.Class() == job.Active && !held[t.row.ID] && !t.bare() {
			m.t.Fatalf("task %s is %s; it holds resources: %v, as it believes: %v", t.row.ID, s, held[t.row.ID], t.holds)
		}
		if heldBy(t.row.Reason) && s == job.Queued && held[t.row.ID] {
			m.t.Fatalf("task %s is kept in the queue (%s) and holds resources", t.row.ID, t.row.Reason.GetText())
		}
		want := "point"
		if s == job.Committed {
			want = "partial"
		}
		if s.LeftResult() && t.typ == job.Backup && m.names[t.row.Point] != want {
			m.t.Fatalf("task %s is %s, but under the name of its point stands %q", t.row.ID, s, m.names[t.row.Point])
		}
		if d := t.deadline(&m.set); !s.Final() && wants && d.IsZero() && !m.somebodyMoves(t) {
			m.t.Fatalf("task %s is %s, and nothing will ever wake it", t.row.ID, s)
		}
	}
	m.script.check(m)
}

// somebodyMoves tells whether a node or a call will still bring an event for the task.
func (m *model) somebodyMoves(t *task) bool {
	for _, c := range m.calls {
		if c.task == t.row.ID {
			return true
		}
	}
	if t.bare() {
		return m.script.moves(m, t)
	}
	return t.att != nil && !t.att.settled() // its nodes are online, and their heartbeats tell
}

// settleDown lets everything work as it should until every task is over. A limit may stay: one
// after the other they end all the same.
func (m *model) settleDown() {
	last := []gate.Rules{{}, {Limits: map[gate.Level]int{gate.Whole: 1}}}
	m.setRules(rapid.SampledFrom(last).Draw(m.t, "rules that stay"))
	for range 400 {
		over := true
		for _, t := range m.tasks {
			over = over && t.row.Status.Final()
		}
		if over {
			return
		}
		for _, n := range m.nodes() {
			m.link(n, true)
		}
		m.tellAll(evResume{"ann"})
		for len(m.calls) > 0 {
			m.call(0, false)
		}
		for _, n := range m.nodes() {
			m.work(n, true)
			m.deliver(n)
			m.heartbeat(n)
		}
		m.now = m.now.Add(20 * time.Second)
		m.tellAll(evTick{})
		m.check()
	}
	for _, t := range m.tasks {
		m.t.Errorf("task %s is still %s (%s)", t.row.ID, t.row.Status, t.row.Reason.GetText())
	}
}

func (m *model) call(i int, lost bool) {
	c := m.calls[i]
	m.calls = slices.Delete(m.calls, i, i+1)
	switch ev := c.make(lost); {
	case ev == nil:
	case c.task == "":
		m.tellAll(ev)
	default:
		m.tell(c.task, ev)
	}
}

// crash starts the server anew: what is in memory is lost, what is saved is taken up.
func (m *model) crash() {
	m.calls = nil
	m.startBroker()
	for i, s := range m.saved {
		old := m.tasks[i]
		t := &task{row: s.row, typ: old.typ, priority: old.priority, transport: old.transport, limit: old.limit, interval: old.interval}
		if s.att != nil {
			a := *s.att
			t.att = &attempt{row: a}
			t.att.mover = side{node: transportOf(a.Transport), ordered: a.MoverOrdered, boot: a.MoverBoot, end: a.MoverEnd}
			t.att.agent = side{node: agentOf(a.Agent), ordered: a.AgentOrdered, boot: a.AgentBoot, end: a.AgentEnd}
		}
		m.tasks[i] = t
	}
	m.script.forget()
	m.script.give(m)
	for _, t := range m.tasks {
		if t.adopted() {
			t.holds = true
			m.b.Adopt(t.grant())
		}
	}
	m.startGate()
	for _, n := range m.nodes() {
		m.online[n] = false
	}
	m.tellAll(evWake{})
	for _, t := range m.tasks {
		m.tell(t.row.ID, evQueue{})
	}
}

func TestNoTaskIsLostAndNoneCompletedWithoutItsPoint(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt)
		node := rapid.SampledFrom(m.nodes())
		rt.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { m.check() },
			"answer": func(rt *rapid.T) {
				if len(m.calls) == 0 {
					rt.Skip()
				}
				m.call(rapid.IntRange(0, len(m.calls)-1).Draw(rt, "call"), rapid.Float64().Draw(rt, "lost") < 0.2)
			},
			"link": func(rt *rapid.T) {
				n := node.Draw(rt, "node")
				m.link(n, !m.online[n])
			},
			"heartbeat": func(rt *rapid.T) {
				if n := node.Draw(rt, "node"); m.online[n] {
					m.heartbeat(n)
				}
			},
			"deliver": func(rt *rapid.T) {
				if n := node.Draw(rt, "node"); m.online[n] {
					m.deliver(n)
				}
			},
			"work":     func(rt *rapid.T) { m.work(node.Draw(rt, "node"), true) },
			"fail":     func(rt *rapid.T) { m.work(node.Draw(rt, "node"), false) },
			"nodeDies": func(rt *rapid.T) { n := node.Draw(rt, "node"); clear(m.has[n]); m.boots[n]++; m.link(n, false) },
			"serverDies": func(rt *rapid.T) {
				if rapid.Float64().Draw(rt, "really") < 0.3 {
					m.crash()
				}
			},
			"kill": func(rt *rapid.T) {
				if rapid.Float64().Draw(rt, "really") < 0.1 {
					m.tell(rapid.SampledFrom(m.tasks).Draw(rt, "task").row.ID, evKill{"ann"})
				}
			},
			"commit": func(rt *rapid.T) {
				if rapid.Float64().Draw(rt, "really") < 0.1 {
					m.tell(rapid.SampledFrom(m.tasks).Draw(rt, "task").row.ID, evCommit{"ann"})
				}
			},
			"checkpoint": func(rt *rapid.T) {
				if t := rapid.SampledFrom(m.tasks).Draw(rt, "task"); t.att != nil && m.names[t.att.row.ID] == "" {
					m.marked[t.att.row.ID] = true
				}
			},
			"suspend": func(rt *rapid.T) {
				m.tell(rapid.SampledFrom(m.tasks).Draw(rt, "task").row.ID, evSuspend{"ann"})
			},
			"resume": func(rt *rapid.T) {
				m.tell(rapid.SampledFrom(m.tasks).Draw(rt, "task").row.ID, evResume{"ann"})
			},
			"rules": func(rt *rapid.T) { m.setRules(rapid.SampledFrom(m.someRules()).Draw(rt, "rules")) },
			"time": func(rt *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.IntRange(1, 400).Draw(rt, "seconds")) * time.Second)
				m.tellAll(evTick{})
				for _, id := range m.gate.Due(m.now) {
					m.tell(id, evQueue{})
				}
			},
		})
		m.settleDown()
	})
}
