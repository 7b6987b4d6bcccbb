package manager

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"keepward/internal/broker"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// This file makes a task's set of what its job type needs (the table job.NeedRows) and of what
// stands where: which repository, which drives, which media.

// Place is one end of a task: a repository, or what a library has of it.
type Place struct {
	Repository string
	Library    string // empty: it lies on a disk or in a cloud
	Pool       string
	Drives     []string
	Group      string
	Media      []string
	Copy       string
}

// Places says what stands in the roles that the needs of a job type name.
type Places struct {
	Target, Source Place
	Computer       string // empty: none takes part
	Worker         string
	Agent          string // the kind of agent, where its row in job.Agents decides
}

func (p *Places) side(s job.Side) Place {
	if s == job.Source {
		return p.Source
	}
	return p.Target
}

// has tells whether a line of a set is about this side, as it lies.
func (p Place) has(n job.Need) bool {
	switch n.On {
	case job.Disk:
		return p.Library == ""
	case job.Tape:
		return p.Library != ""
	}
	return true
}

// names are the resources of which a line of a set may be had; none: it has no part in it.
func (p *Places) names(n job.Need) []string {
	s := p.side(n.Side)
	if !s.has(n) {
		return nil
	}
	switch n.Kind {
	case job.KindStream, job.KindWriter:
		return nonEmpty(s.Repository)
	case job.KindLibrary:
		return nonEmpty(s.Library)
	case job.KindDrivePool:
		return nonEmpty(s.Pool)
	case job.KindDrive:
		return s.Drives
	case job.KindMedium:
		return s.Media
	case job.KindMediaGroup, job.KindSpare:
		return nonEmpty(s.Group)
	case job.KindCopy:
		return nonEmpty(s.Copy)
	case job.KindWorkerSlot:
		return nonEmpty(p.Worker)
	case job.KindClient:
		return nonEmpty(p.Computer)
	}
	return nil
}

// set makes the broker's lines of the table's.
func (p *Places) set(needs []job.Need) []broker.Need {
	var out []broker.Need
	for _, n := range needs {
		names := p.names(n)
		if len(names) == 0 {
			continue
		}
		out = append(out, broker.Need{
			Kind: broker.Kind(n.Kind), AnyOf: names, Count: n.Count, Alone: n.Alone, Spread: n.Spread, Group: p.side(n.Side).Pool,
		})
	}
	return out
}

// where is what stands where for the task.
func (t *task) where() *Places {
	if t.places == nil {
		t.places = &Places{Target: Place{Repository: t.row.Repository}, Computer: t.row.Computer}
	}
	return t.places
}

// needs is the set that the task must hold to run.
func (t *task) needs() []broker.Need { return t.where().set(t.typ.Needs().A) }

// secondSet is what it must hold besides, where its type has a second step.
func (t *task) secondSet() []broker.Need { return t.where().set(t.typ.Needs().B) }

// choice tells whether the task's set leaves a choice, so that what it holds must be written down.
func (t *task) choice() bool {
	for _, n := range append(t.needs(), t.secondSet()...) {
		if len(n.AnyOf) > 1 {
			return true
		}
	}
	return false
}

// choose notes what the task holds, for a server that starts anew.
func (t *task) choose(x *turn, holds []broker.Hold) {
	if t.chosen = holds; t.choice() {
		x.chosen, x.dirty = true, true
	}
}

// adopted tells whether a server that starts anew finds that the task holds its set. One that has
// but its first set begins anew.
func (t *task) adopted() bool {
	return t.row.Holds && t.row.Status.Class() != job.Parked && !t.polls()
}

// grant is what a task that runs holds, for a broker that has forgotten it.
func (t *task) grant() broker.Grant {
	g := broker.Grant{Task: t.row.ID, Session: t.row.Session, Type: t.typ, Priority: t.priority, Standing: t.standing()}
	if g.Holds = t.chosen; len(t.chosen) > 0 {
		return g
	}
	for _, n := range append(t.needs(), t.secondSet()...) {
		if n.Count > 0 || n.Alone {
			g.Holds = append(g.Holds, broker.Hold{ID: broker.ID{Kind: n.Kind, Name: n.AnyOf[0]}, Count: n.Count, Alone: n.Alone})
		}
	}
	return g
}

// keptHolds is what is written of a task's choice.
func (t *task) keptHolds() []catalog.Hold {
	out := make([]catalog.Hold, len(t.chosen))
	for i, h := range t.chosen {
		out[i] = catalog.Hold{Kind: string(h.Kind), Name: h.Name, Count: h.Count, Alone: h.Alone}
	}
	return out
}

// loadPlaces gives a task what stands where, and what it held when it was written last.
func (m *Manager) loadPlaces(ctx context.Context, t *task) error {
	if m.deps.Places == nil {
		return nil
	}
	p, ok := m.deps.Places(t.job, t.row)
	if !ok {
		return nil
	}
	if t.places = &p; !t.choice() {
		return nil
	}
	holds, err := catalog.Holds(ctx, m.deps.DB.Read(), t.row.ID)
	for _, h := range holds {
		t.chosen = append(t.chosen, broker.Hold{ID: broker.ID{Kind: broker.Kind(h.Kind), Name: h.Name}, Count: h.Count, Alone: h.Alone})
	}
	return err
}

// setFurther tells the broker of what there is besides computers and repositories.
func (m *Manager) setFurther() {
	if m.deps.Resources == nil {
		return
	}
	for _, r := range m.deps.Resources() {
		m.dispatch(m.broker.SetResource(r))
	}
}

// Holdings is who holds and who waits for what, at one moment.
func (m *Manager) Holdings() broker.State { return m.broker.Snapshot() }

// Trial is a session of any job type, also of one whose work is not there yet.
type Trial struct {
	Type       job.Type
	Job        string
	Repository string
	Computers  []string // one task each; an empty name: none takes part
	Point      string
	Priority   int // 0: that of the type
	StartAt    time.Time
	Definition proto.Message
}

// errNoSimulation refuses what only a simulation may do.
func (m *Manager) errNoSimulation(what string) error {
	if m.deps.Places != nil {
		return nil
	}
	return errs.New(errs.Denied, "session.trial", "%s: this server is no simulation", what)
}

// Strand gives a task a reservation without its knowledge, as no path of the program should: a
// simulation sees whether it is given back. Elsewhere it is refused.
func (m *Manager) Strand(g broker.Grant) error {
	if err := m.errNoSimulation("leave a reservation to nobody"); err != nil {
		return err
	}
	m.dispatch(m.broker.Adopt(g))
	return nil
}

// Try submits a trial: the rows, resources and rules of its type hold for it; what its movers and
// agents do is the affair of the nodes. It is for simulations: where nobody says what stands
// where, it is refused.
func (m *Manager) Try(ctx context.Context, t Trial) (int64, error) {
	if err := m.errNoSimulation("start a trial session"); err != nil {
		return 0, err
	}
	return m.submit(ctx, request{
		typ: t.Type, job: t.Job, repository: t.Repository, by: bySelf, computers: t.Computers, point: t.Point,
		priority: t.Priority, startAt: t.StartAt, definition: t.Definition,
	})
}
