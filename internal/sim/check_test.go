package sim

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/broker"
	"keepward/internal/job"
	"keepward/internal/manager"
	"keepward/internal/wire"
)

// picture is the site at one moment, when everybody waits.
type picture struct {
	state  broker.State
	active map[int64]*keepwardv1.Session
	grants map[string]broker.Grant
	waits  map[string]broker.Wait
	byID   map[broker.ID]broker.ResourceState
}

// check holds after every step.
func (s *site) check() {
	s.t.Helper()
	if s.m == nil {
		return
	}
	s.count.steps++
	p := s.look()
	rows := s.adopt()
	s.checkCounts(p)
	s.checkSessions(p)
	for id, session := range p.active {
		for _, t := range session.GetTasks() {
			s.checkTask(p, id, s.known[id].typ, t)
		}
	}
	s.checkFences()
	s.checkLimits(p)
	s.checkChains(rows)
	s.checkRetries(rows)
	s.checkLeases(p)
}

func (s *site) look() *picture {
	s.t.Helper()
	list, err := s.m.ActiveSessions(context.Background(), 0)
	s.must(err)
	p := &picture{
		state: s.m.Holdings(), active: map[int64]*keepwardv1.Session{}, grants: map[string]broker.Grant{},
		waits: map[string]broker.Wait{}, byID: map[broker.ID]broker.ResourceState{},
	}
	for _, session := range list {
		p.active[session.GetId()] = session
	}
	for _, g := range p.state.Grants {
		p.grants[g.Task] = g
	}
	for _, w := range p.state.Waiting {
		p.waits[w.Task] = w
	}
	for _, r := range p.state.Resources {
		p.byID[r.ID] = r
	}
	return p
}

// checkCounts: nothing is over-committed, and what wants to be alone is.
func (s *site) checkCounts(p *picture) {
	s.t.Helper()
	used, alone, holders := map[broker.ID]int{}, map[broker.ID]bool{}, map[broker.ID]map[string]bool{}
	for _, g := range p.state.Grants {
		for _, h := range g.Holds {
			used[h.ID] += h.Count
			alone[h.ID] = alone[h.ID] || h.Alone
			if holders[h.ID] == nil {
				holders[h.ID] = map[string]bool{}
			}
			holders[h.ID][g.Task] = true
		}
	}
	for _, r := range p.state.Resources {
		over := used[r.ID] > r.Capacity && used[r.ID] > s.used[r.ID] // what is held when there comes to be less is not taken away
		if used[r.ID] != r.Used || over {
			s.fail("%v: %d of %d are held, %d are counted, by %v", r.ID, used[r.ID], r.Capacity, r.Used, p.state.Grants)
		}
		if alone[r.ID] && len(holders[r.ID]) > 1 {
			s.fail("%v: somebody is beside one who has it alone", r.ID)
		}
	}
	s.used = used
}

// checkSessions: none is lost, none comes back, and nobody holds for a task that is gone.
func (s *site) checkSessions(p *picture) {
	s.t.Helper()
	tasks := map[string]bool{}
	for id, session := range p.active {
		k := s.known[id]
		if k == nil {
			s.fail("session %d was submitted by nobody", id)
		}
		if k.over {
			s.fail("session %d was over, and is %s again\n%s", id, session.GetStatus(), s.log(id))
		}
		var statuses []job.Status
		for _, t := range session.GetTasks() {
			tasks[t.GetId()] = true
			statuses = append(statuses, job.Status(t.GetStatus()))
		}
		if want := job.SessionStatus(statuses); job.Status(session.GetStatus()) != want {
			s.fail("session %d is %s, its tasks make %s", id, session.GetStatus(), want)
		}
	}
	for id, k := range s.known {
		if p.active[id] == nil && !k.over {
			if k.over = s.status(id).Final(); !k.over {
				s.fail("session %d is lost: it is %s and nobody works on it", id, s.status(id))
			}
			s.checkDone(id)
		}
	}
	for task, g := range p.grants {
		if !tasks[task] && !s.stray(task) {
			s.fail("session %d holds for a task that is over", g.Session)
		}
	}
}

// checkTask: what it holds fits what it is, and if it waits, what it says is true.
func (s *site) checkTask(p *picture, id int64, typ job.Type, t *keepwardv1.Task) {
	s.t.Helper()
	status := job.Status(t.GetStatus())
	g, holds := p.grants[t.GetId()]
	places := s.placesOfTask(id, t)
	a, b := lines(typ.Needs().A, places), lines(typ.Needs().B, places)
	switch {
	case status.Final(), status == job.Queued, status == job.Suspended, status == job.Interrupted:
		if holds {
			s.fail("session %d: a task that is %s holds %v", id, status, g.Holds)
		}
	case status.Class() == job.Parked:
		if holds && (len(b) == 0 || !s.fits(g, a)) {
			s.fail("session %d: a task that is %s holds %v\n%s", id, status, g.Holds, s.log(id))
		}
	case holds:
		if !s.fits(g, append(slices.Clone(a), b...)) && !(len(b) > 0 && s.fits(g, a)) {
			s.fail("session %d: a task that is %s holds %v, its set is %v %v", id, status, g.Holds, a, b)
		}
	case status.Class() == job.Active && typ != job.RestoreDB:
		s.fail("session %d: a task that is %s holds nothing\n%s", id, status, s.log(id))
	}
	if status.Class() == job.Parked || status == job.Running && !holds {
		s.checkReason(p, id, t)
	}
	s.checkBehind(p, id, t)
	s.checkAdmin(id, t)
}

func (s *site) placesOfTask(id int64, t *keepwardv1.Task) manager.Places {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.places[s.known[id].job]
	p.Computer = t.GetComputer()
	return p
}

// line is one line of a set, as this test reads the table: it does not ask the manager.
type line struct {
	kind  job.Kind
	count int
	alone bool
	names []string
}

func lines(needs []job.Need, p manager.Places) []line {
	var out []line
	for _, n := range needs {
		side := p.Target
		if n.Side == job.Source {
			side = p.Source
		}
		if n.On == job.Tape && side.Library == "" || n.On == job.Disk && side.Library != "" {
			continue
		}
		names := map[job.Kind][]string{
			job.KindStream: {side.Repository}, job.KindWriter: {side.Repository}, job.KindLibrary: {side.Library},
			job.KindDrivePool: {side.Pool}, job.KindDrive: side.Drives, job.KindMedium: side.Media, job.KindMediaGroup: {side.Group},
			job.KindSpare: {side.Group}, job.KindCopy: {side.Copy}, job.KindWorkerSlot: {p.Worker}, job.KindClient: {p.Computer},
		}[n.Kind]
		if len(names) > 0 && names[0] != "" {
			out = append(out, line{n.Kind, n.Count, n.Alone, names})
		}
	}
	return out
}

// fits tells whether a grant is exactly a set: nothing is missing, and nothing is too much.
func (s *site) fits(g broker.Grant, set []line) bool {
	left := slices.Clone(g.Holds)
	for _, l := range set {
		for need := l.count; need > 0; {
			i := slices.IndexFunc(left, func(h broker.Hold) bool {
				return job.Kind(h.Kind) == l.kind && slices.Contains(l.names, h.Name) && (h.Count <= need || l.alone) && h.Alone == l.alone
			})
			if i < 0 {
				return false
			}
			need -= left[i].Count
			left = slices.Delete(left, i, i+1)
		}
	}
	return len(left) == 0
}

// checkReason: every wait has a reason, and it is true.
func (s *site) checkReason(p *picture, id int64, t *keepwardv1.Task) {
	s.t.Helper()
	status, code := job.Status(t.GetStatus()), job.Code(t.GetReason().GetCode())
	if status == job.Suspended || status == job.Waiting && code == "" && s.net.busy(id) {
		return // its former attempt is being settled
	}
	row, ok := code.Row()
	if !ok || row.Group == job.GroupNone {
		s.fail("session %d: a task is %s without a reason\n%s", id, status, s.log(id))
	}
	if w, waits := p.waits[t.GetId()]; waits {
		s.checkWait(p, id, row.Group, w)
		return
	}
	if status == job.Queued {
		s.checkRule(id, t.GetReason())
	} else if s.known[id].typ.Reservation().A.Every > 0 {
		return // it has left the queue until its next try, and says what it lacked at the last
	}
	switch args := t.GetReason().GetArgs(); code {
	case job.Conflict:
		other, _ := strconv.ParseInt(args[0], 10, 64)
		if other == id || p.active[other] == nil {
			s.fail("session %d waits for session %d, which is over", id, other)
		}
	case job.RestartAt:
		at, err := time.Parse(time.RFC3339, args[0])
		if err != nil || at.Before(time.Now().Add(-time.Second)) {
			s.fail("session %d is to be tried again at %s, which is over\n%s", id, args[0], s.log(id))
		}
	case job.TransportOffline, job.AgentOffline:
		role := wire.RoleTransport
		if code == job.AgentOffline {
			role = wire.RoleAgent
		}
		if n := s.nodes[manager.Node{Role: role, Name: args[0]}]; n == nil || n.online {
			s.fail("session %d says that %s is offline, and it is not\n%s", id, args[0], s.log(id))
		}
	}
}

// checkWait: what the broker says of a wait is so.
func (s *site) checkWait(p *picture, id int64, told job.Group, w broker.Wait) {
	s.t.Helper()
	row, _ := w.Reason.Code.Row()
	if kindOf(told) != kindOf(row.Group) {
		s.fail("session %d was told a reason of group %s, it is %s now (%s)\n%s", id, told, row.Group, w.Reason.Text(), s.log(id))
	}
	away, short := false, false
	for _, n := range w.Set {
		down, free := p.has(n)
		away, short = away || down, short || !down && free < max(n.Count, 1) && (n.Count > 0 || n.Alone)
	}
	claimed := slices.ContainsFunc(p.state.Waiting, func(o broker.Wait) bool { return o.Claim && o.Task != w.Task })
	switch {
	case kindOf(row.Group) == job.Contention && away:
		s.fail("session %d: %s, but something of its set is away, which goes before", id, w.Reason.Text())
	case kindOf(row.Group) == job.Infrastructure && !away:
		s.fail("session %d: %s, but all of it is there", id, w.Reason.Text())
	case kindOf(row.Group) == job.Contention && !short && !claimed && !p.clash(w) && !slices.ContainsFunc(w.Set, p.inUse):
		s.fail("session %d: %s, but its whole set %v is free", id, w.Reason.Text(), w.Set)
	}
	switch w.Reason.Code {
	case job.WaitingForSessions:
		for _, n := range numbers(w.Reason.Args[0]) {
			if !slices.ContainsFunc(p.state.Grants, func(g broker.Grant) bool { return g.Session == n }) {
				s.fail("session %d waits for session %d, which holds nothing", id, n)
			}
		}
	case job.KeptForSession:
		n, _ := strconv.ParseInt(w.Reason.Args[1], 10, 64)
		if !slices.ContainsFunc(p.state.Waiting, func(o broker.Wait) bool { return o.Session == n && o.Claim }) {
			s.fail("session %d: %s, which claims nothing", id, w.Reason.Text())
		}
	}
}

// kindOf counts preemption as contention, as the design does.
func kindOf(g job.Group) job.Group {
	if g == job.PreemptionGroup {
		return job.Contention
	}
	return g
}

// has tells whether a line cannot be had for something that is switched off, and else how much of
// it is free.
func (p *picture) has(n broker.Need) (down bool, free int) {
	up, alone := 0, 0
	for _, name := range n.AnyOf {
		r, known := p.byID[broker.ID{Kind: n.Kind, Name: name}]
		if !known || r.Capacity < 0 || r.Down != nil && infrastructure(*r.Down) {
			continue
		}
		if r.Down != nil {
			continue
		}
		up += r.Capacity
		spare := r.Capacity - r.Used
		if r.Used > 0 && (n.Alone || p.heldAlone(r.ID)) {
			spare = 0
		}
		if n.Alone && spare > 0 {
			alone = max(alone, n.Count)
		}
		if n.Spread {
			free += max(spare, 0)
		} else {
			free = max(free, spare)
		}
	}
	if n.Alone {
		free = alone
	}
	return up < max(n.Count, 1) && !p.inUse(n), free
}

func (p *picture) heldAlone(id broker.ID) bool {
	for _, g := range p.state.Grants {
		for _, h := range g.Holds {
			if h.ID == id && h.Alone {
				return true
			}
		}
	}
	return false
}

// inUse tells whether something of a line is down for a reason that is none of infrastructure: it
// is in use by somebody else, or in a wrong place.
func (p *picture) inUse(n broker.Need) bool {
	for _, name := range n.AnyOf {
		if r := p.byID[broker.ID{Kind: n.Kind, Name: name}]; r.Down != nil && !infrastructure(*r.Down) {
			return true
		}
	}
	return false
}

// clash tells whether lines of one set want the same things, so that each is free and not all are.
func (p *picture) clash(w broker.Wait) bool {
	for i, a := range w.Set {
		for _, b := range w.Set[i+1:] {
			if a.Kind == b.Kind && slices.ContainsFunc(a.AnyOf, func(n string) bool { return slices.Contains(b.AnyOf, n) }) {
				return true
			}
		}
	}
	return false
}

func infrastructure(r job.Reason) bool {
	row, _ := r.Code.Row()
	return row.Group == job.Infrastructure
}

func numbers(list string) []int64 {
	var out []int64
	for _, field := range strings.Split(list, ", ") {
		if n, err := strconv.ParseInt(field, 10, 64); err == nil {
			out = append(out, n)
		}
	}
	return out
}
