package broker

import (
	"cmp"
	"strconv"

	"keepward/internal/job"
)

// removed marks a resource that is held by somebody but is no longer in use.
const removed = -1

func gone(id ID) Resource { return Resource{ID: id, Capacity: removed} }

// plan is what should happen: who gets what, and why the others wait.
type plan struct {
	grants  []Grant
	reasons map[string]job.Reason
}

// decide goes through the queue in order and grants every set that fits beside what
// is held and what it has granted before. It changes nothing it is given.
func decide(resources map[ID]*resource, queue []*waiter) plan {
	p := plan{reasons: make(map[string]job.Reason)}
	pool := pool{resources: resources, taken: map[ID]use{}}
	for _, w := range queue {
		holds, why := pool.fit(w.Set)
		if holds == nil {
			p.reasons[w.Task] = why
			continue
		}
		pool.add(holds)
		p.grants = append(p.grants, Grant{Task: w.Task, Session: w.Session, Priority: w.Priority, Holds: holds})
	}
	return p
}

// pool is the resources and what this decision has already given away of them.
type pool struct {
	resources map[ID]*resource
	taken     map[ID]use
}

type use struct{ used, alone int }

func (p pool) add(holds []Hold) {
	for _, h := range holds {
		u := p.taken[h.ID]
		u.used += h.Count
		if h.Alone {
			u.alone++
		}
		p.taken[h.ID] = u
	}
}

// use is how much of r is taken, by holders and by this decision.
func (p pool) use(r *resource) use {
	t := p.taken[r.ID]
	return use{r.used + t.used, r.alone + t.alone}
}

// fit finds holds for the whole set, never nil, or the reason why there are none.
// Infrastructure decides over contention; else the first need that does not fit.
func (p pool) fit(set []Need) ([]Hold, job.Reason) {
	// Needs of one set may name the same resource, so each counts before the next.
	own := pool{p.resources, map[ID]use{}}
	for _, n := range set {
		for _, name := range n.AnyOf {
			id := ID{n.Kind, name}
			own.taken[id] = p.taken[id]
		}
	}
	holds := make([]Hold, 0, len(set))
	var why job.Reason
	for _, n := range set {
		h, lack := own.choose(n)
		if lack == (lacking{}) {
			own.add([]Hold{h})
			holds = append(holds, h)
			continue
		}
		if reason := lack.reason(own, n); why.Zero() || !infrastructure(why) && infrastructure(reason) {
			why = reason
		}
	}
	if !why.Zero() {
		return nil, why
	}
	return holds, why
}

// lacking is the resource that hinders a need.
type lacking struct {
	id   ID
	down bool
}

// choose picks the resource for a need: of those that fit the one with most free
// space, then with the fewest holders, then the first named.
func (p pool) choose(n Need) (Hold, lacking) {
	var best, short *resource
	for _, name := range n.AnyOf {
		r := p.resources[ID{n.Kind, name}]
		if r == nil || r.Capacity == removed || r.Down != nil {
			continue
		}
		short = cmp.Or(short, r)
		if p.room(r, n) && (best == nil || p.better(r, best)) {
			best = r
		}
	}
	switch {
	case best != nil:
		return Hold{best.ID, n.count(best), n.Alone}, lacking{}
	case short != nil:
		return Hold{}, lacking{id: short.ID}
	}
	return Hold{}, lacking{id: ID{n.Kind, n.first()}, down: true}
}

func (p pool) better(a, b *resource) bool {
	return cmp.Or(cmp.Compare(b.FreeBytes, a.FreeBytes), cmp.Compare(p.use(a).used, p.use(b).used)) < 0
}

func (p pool) room(r *resource, n Need) bool {
	u := p.use(r)
	if u.alone > 0 || n.Alone && u.used > 0 {
		return false
	}
	return u.used+n.count(r) <= r.Capacity
}

// count is how much of r the need takes; alone it is all there is, one at least.
func (n Need) count(r *resource) int {
	if n.Alone {
		return max(r.Capacity, 1)
	}
	return n.Count
}

func (n Need) first() string {
	if len(n.AnyOf) == 0 {
		return ""
	}
	return n.AnyOf[0]
}

// reason puts into words what hinders the need.
func (l lacking) reason(p pool, n Need) job.Reason {
	r := p.resources[l.id]
	if l.down {
		if r != nil && r.Down != nil {
			return *r.Down
		}
		return job.Because(offline[l.id.Kind], l.label(r))
	}
	u, label := p.use(r), r.label()
	switch l.id.Kind {
	case Stream:
		have := max(r.Capacity-u.used, 0)
		if u.alone > 0 {
			have = 0
		}
		return job.Because(job.StreamsShort, label, strconv.Itoa(n.count(r)), strconv.Itoa(have))
	case Writer:
		if n.Alone || u.alone > 0 {
			return job.Because(job.MountPathReserved, label)
		}
		return job.Because(job.WritersLimit, label, strconv.Itoa(r.Capacity))
	case Client:
		return job.Because(job.ClientBusy, label, strconv.Itoa(r.Capacity))
	}
	return job.Because(job.NoResources)
}

func (l lacking) label(r *resource) string {
	if r != nil {
		return r.label()
	}
	return l.id.Name
}

// offline is the reason for a resource that is not there, where it gave none itself.
var offline = map[Kind]job.Code{
	Stream: job.RepositoryOffline,
	Writer: job.MountPathOffline,
	Client: job.AgentOffline,
}

func infrastructure(r job.Reason) bool {
	row, _ := r.Code.Row()
	return row.Group == job.Infrastructure
}
