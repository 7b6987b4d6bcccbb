package manager

import (
	"time"

	"keepward/internal/gate"
	"keepward/internal/job"
	"keepward/internal/schedule"
)

// This file is the rules of the queue in the model: administrators change them at any moment.

// someRules are what administrators may do next.
func (m *model) someRules() []gate.Rules {
	shut, err := schedule.ParseHours([]string{"daily"}, time.UTC)
	if err != nil {
		m.t.Fatal(err)
	}
	protection := gate.Switch{Level: gate.Whole, Activity: gate.DataProtection}
	return []gate.Rules{
		{},
		{Paused: true},
		{Off: map[gate.Switch]time.Time{protection: {}}},
		{Off: map[gate.Switch]time.Time{protection: m.now.Add(5 * time.Minute)}},
		{Windows: []gate.Window{{Name: "shut", Closed: shut}}},
		{Windows: []gate.Window{{Name: "shut", Closed: shut, Finish: true}}},
		{Windows: []gate.Window{{Name: "c0", Closed: shut, Levels: []gate.Level{{Kind: gate.Computer, Name: "c0"}}}}},
		{Limits: map[gate.Level]int{gate.Whole: 1}},
		{Limits: map[gate.Level]int{{Kind: gate.Repository, Name: theRepo}: 1}},
	}
}

func (m *model) setRules(r gate.Rules) {
	m.rules = r
	m.gate.SetRules(r)
	m.tellAll(evQueue{})
}

// startGate tells a new gate of the tasks as they are.
func (m *model) startGate() {
	m.gate = gate.New()
	m.gate.SetRules(m.rules)
	for _, t := range m.tasks {
		m.gate.Add(gate.Subject{Task: t.row.ID, Session: t.row.Session, Type: t.typ, Priority: t.priority, Computer: t.row.Computer, Repository: t.row.Repository})
		m.noteGate(t)
	}
}

func (m *model) noteGate(t *task) {
	if t.row.Status.Final() {
		m.gate.Remove(t.row.ID)
		return
	}
	m.gate.Note(t.row.ID, t.row.Status == job.Queued, t.counting())
}

// tooLate gives a set back that a task must not take any more.
func (m *model) tooLate(t *task) bool {
	v := m.gate.Ask(t.row.ID, m.now, true)
	if v.Reason.Zero() {
		m.withinLimits(t)
		return false
	}
	m.turn(t, func(x *turn) { t.queueAgain(x, v.Reason) })
	return true
}

// withinLimits holds for a task that begins to run; all limits here are of all tasks.
func (m *model) withinLimits(t *task) {
	running := 1
	for _, other := range m.tasks {
		if other != t && other.holds {
			running++
		}
	}
	for level, most := range m.rules.Limits {
		if running > most {
			m.t.Fatalf("task %s begins, and with it %d run; the limit of %s is %d", t.row.ID, running, level, most)
		}
	}
}
