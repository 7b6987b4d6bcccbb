package manager

import (
	"context"
	"maps"

	"pgregory.net/rapid"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/script"
)

// modelScripts are the scripts of a model's tasks, where it has any: what the catalog holds of
// them, and what processes there were.
type modelScripts struct {
	scripts *keepwardv1.Scripts
	fails   map[job.Place]bool
	started map[string]int                   // processes, by task and place
	ends    map[string]*keepwardv1.ScriptEnd // what the journals of agents hold
	saved   map[string]map[job.Place]catalog.Script
	verdict map[string]*catalog.Verdict
}

// draw gives the model's backups scripts, or none.
func (s *modelScripts) draw(t *rapid.T, m *model) {
	s.fails, s.started, s.ends = map[job.Place]bool{}, map[string]int{}, map[string]*keepwardv1.ScriptEnd{}
	s.saved, s.verdict = map[string]map[job.Place]catalog.Script{}, map[string]*catalog.Verdict{}
	if !rapid.Bool().Draw(t, "scripts") {
		return
	}
	s.scripts = &keepwardv1.Scripts{}
	for _, p := range aroundPlaces {
		if rapid.Bool().Draw(t, string(p)) {
			putScript(s.scripts, p)
			s.fails[p] = rapid.Float64().Draw(t, "fails") < 0.2
		}
	}
	s.give(m)
}

// give gives the tasks their scripts, as a start of the server does.
func (s *modelScripts) give(m *model) {
	if s.scripts == nil {
		return
	}
	shared := &sessionScripts{begun: s.rows(""), here: map[job.Place]bool{}, stops: map[job.Place]context.CancelCauseFunc{}}
	for _, t := range m.tasks {
		if t.typ != job.Backup {
			continue
		}
		agent := agentOf(t.row.Computer)
		t.scripts = &taskScripts{
			scripts: s.scripts, shared: shared, begun: s.rows(t.row.ID), verdict: s.verdict[t.row.ID],
			there: func() bool { return m.online[agent] },
		}
		shared.tasks = append(shared.tasks, t)
	}
}

// rows are those that the catalog has of a task; none: of the session.
func (s *modelScripts) rows(task string) map[job.Place]*catalog.Script {
	out := map[job.Place]*catalog.Script{}
	for p, row := range s.saved[task] {
		out[p] = &row
	}
	return out
}

func (s *modelScripts) save(t *task) {
	if t.scripts == nil {
		return
	}
	for id, rows := range map[string]map[job.Place]*catalog.Script{t.row.ID: t.scripts.begun, "": t.scripts.shared.begun} {
		if s.saved[id] == nil {
			s.saved[id] = map[job.Place]catalog.Script{}
		}
		for p, row := range rows {
			s.saved[id][p] = *row
		}
	}
	if v := t.scripts.verdict; v != nil {
		kept := *v
		s.verdict[t.row.ID] = &kept
	}
}

// end is how a script ends that nobody stops.
func (s *modelScripts) end(p job.Place) *keepwardv1.ScriptEnd {
	if s.fails[p] {
		return script.Failed(errs.New(errs.Invalid, "script.failed", "exit status 1"), string(partAgent))
	}
	return &keepwardv1.ScriptEnd{}
}

var stoppedScript = script.Failed(errs.New(errs.Cancelled, "script.stopped", "stopped"), string(partAgent))

// carryOut puts the call that a script's order makes among those under way.
func (s *modelScripts) carryOut(m *model, o order) {
	key := o.task.row.ID + " " + string(o.place)
	saved := s.saved[o.task.row.ID]
	if o.place.Row().OnServer {
		saved, key = s.saved[""], string(o.place)
	}
	if _, ok := saved[o.place]; !ok {
		m.t.Fatalf("script %s is ordered, and its start is not in the catalog", key)
	}
	switch {
	case o.do == doScript && o.place.Row().OnServer:
		s.started[key]++
		m.calls = append(m.calls, modelCall{"", func(bool) any {
			if end := s.ends[key]; end != nil {
				return evScript{place: o.place, end: end}
			}
			return evScript{place: o.place, end: s.end(o.place)}
		}})
	case o.do == doStopScript && o.place.Row().OnServer:
		s.ends[key] = stoppedScript
	default:
		m.calls = append(m.calls, modelCall{o.task.row.ID, func(lost bool) any { return s.atAgent(m, o, key, lost) }})
	}
}

// atAgent is a call to an agent, which starts what its journal does not have; lost: its answer is.
func (s *modelScripts) atAgent(m *model, o order, key string, lost bool) any {
	up := m.online[agentOf(o.task.row.Computer)]
	if up && s.ends[key] == nil {
		s.ends[key] = stoppedScript
		if o.do == doScript {
			s.started[key]++
			s.ends[key] = s.end(o.place)
		}
	}
	switch {
	case o.do == doStopScript:
		return nil
	case !up || lost:
		return evScript{place: o.place, away: "lost"}
	}
	return evScript{place: o.place, end: s.ends[key]}
}

// check holds after every step.
func (s *modelScripts) check(m *model) {
	for key, n := range s.started {
		if n > 1 {
			m.t.Fatalf("script %s was started %d times", key, n)
		}
	}
	for _, t := range m.tasks {
		if t.scripts == nil {
			continue
		}
		if t.row.Attempts > 0 {
			for _, p := range befores {
				if row := t.scripts.row(p); scriptOf(s.scripts, p) != nil && (row == nil || row.End == nil) {
					m.t.Fatalf("task %s has an attempt, and its script %s has not ended", t.row.ID, p)
				}
			}
		}
		if t.row.Status.Final() {
			s.checkOver(m, t)
		} else if t.scripts.row(job.ServerAfter) != nil && !t.concluding() {
			m.t.Fatalf("the script after all tasks was started, and task %s is %s", t.row.ID, t.row.Status)
		}
	}
}

// checkOver looks at a task that is over: what it began was cleared up after.
func (s *modelScripts) checkOver(m *model, t *task) {
	ended := func(p job.Place) bool {
		row := t.scripts.row(p)
		return scriptOf(s.scripts, p) == nil || row != nil && row.End != nil
	}
	began := t.row.Attempts > 0 || t.scripts.begun[job.AgentBefore] != nil
	if began && !ended(job.AgentAfter) || t.scripts.under(job.AgentBefore) {
		m.t.Fatalf("task %s is %s, and not all scripts of its computer have ended", t.row.ID, t.row.Status)
	}
	if t.lastOfSession() && t.scripts.shared.anyBegan() && !ended(job.ServerAfter) {
		m.t.Fatalf("all tasks are over, and the script of the server after them has not ended")
	}
}

// moves tells whether a script that is under way will bring an event for a task.
func (s *modelScripts) moves(m *model, t *task) bool {
	if !t.bare() {
		return false
	}
	for _, c := range m.calls {
		if c.task == "" || c.task == t.row.ID {
			return true
		}
	}
	return false
}

// forget drops what only lives in a server's process.
func (s *modelScripts) forget() {
	maps.DeleteFunc(s.ends, func(key string, _ *keepwardv1.ScriptEnd) bool { return job.Place(key).Known() })
}
