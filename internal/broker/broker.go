// Package broker is the one holder of countable resources: streams of repositories,
// writers of mount paths, slots of computers. A task asks for a set and gets all of
// it or nothing, in one step, so nothing can deadlock.
//
// Deciding is pure (decide.go): the state in, grants and reasons out. Broker is the
// applier: it keeps the state, commits what was decided and answers every call with
// what has changed. It starts nothing, stops nothing and does no I/O: the job manager
// does, on the answer. It also declares nobody dead: Expired names holders whose lease
// ran out, and the manager releases them when their attempt is settled.
//
// A Broker may be used from any goroutine; one mutex guards all of it. The clock is
// passed in and called under that mutex.
package broker

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"keepward/internal/job"
)

// Kind is a sort of resource.
type Kind string

// The kinds.
const (
	Stream Kind = "stream" // one task's right to move data to or from a repository
	Writer Kind = "writer" // one task's right to write to a mount path
	Client Kind = "client" // one task of a computer
)

// ID names a resource among all.
type ID struct {
	Kind Kind
	Name string
}

// Resource is something countable that a task must hold.
type Resource struct {
	ID
	// Label is the name for people; empty means Name.
	Label    string
	Capacity int
	// FreeBytes ranks mount paths when a need leaves the choice: most free first.
	FreeBytes int64
	// Down is why nobody can have it now; nil means it is there.
	Down *job.Reason
}

func (r Resource) label() string { return cmp.Or(r.Label, r.Name) }

// Need is one line of a set: a count of one resource, or of any one of several.
type Need struct {
	Kind  Kind
	AnyOf []string
	Count int
	// Alone asks for the whole resource, with nobody else on it.
	Alone bool
}

// One is the need for one unit of one resource.
func One(kind Kind, name string) Need { return Need{Kind: kind, AnyOf: []string{name}, Count: 1} }

// Request is what a task asks for.
type Request struct {
	Task     string
	Session  int64
	Priority int // the lower number goes first
	Set      []Need
	// Since is when it began to wait; zero means now. A request that is made again
	// keeps its first one.
	Since time.Time
}

// Hold is one resource in a grant.
type Hold struct {
	ID
	Count int
	Alone bool
}

// Grant is a set that a task holds, as a lease.
type Grant struct {
	Task     string
	Session  int64
	Priority int
	// Holds has one line for each need of the request, in its order.
	Holds   []Hold
	Granted time.Time
	Expires time.Time
}

// Holding is the name of what the grant holds of a kind: the mount path that was
// chosen, for instance.
func (g Grant) Holding(kind Kind) (string, bool) {
	for _, h := range g.Holds {
		if h.Kind == kind {
			return h.Name, true
		}
	}
	return "", false
}

// Delay is why a task waits.
type Delay struct {
	Task   string
	Reason job.Reason
}

// Decision is what a call has changed: the tasks that now hold their sets, and the
// tasks that wait for a reason other than the one last told.
type Decision struct {
	Granted []Grant
	Delayed []Delay
}

// Broker holds all resources.
type Broker struct {
	clock func() time.Time
	term  time.Duration

	mu        sync.Mutex
	resources map[ID]*resource
	grants    map[string]*Grant
	waiting   []*waiter // in the order in which they are served
}

// resource is a Resource and how much of it is taken.
type resource struct {
	Resource
	used  int
	alone int // holders that want nobody beside them
}

type waiter struct {
	Request
	told job.Reason
}

// New makes a broker without resources. term is how long a lease lives without Renew.
func New(clock func() time.Time, term time.Duration) *Broker {
	return &Broker{clock: clock, term: term, resources: map[ID]*resource{}, grants: map[string]*Grant{}}
}

// SetResource adds a resource or changes it. Lowering a capacity takes nothing from
// who holds; it waits for what runs.
func (b *Broker) SetResource(r Resource) Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at(r.ID).Resource = r
	return b.settle()
}

// RemoveResource takes a resource out of use. Who holds it goes on holding it.
func (b *Broker) RemoveResource(id ID) Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.resources[id]; r != nil {
		r.Resource = gone(id)
		b.forget(id)
	}
	return b.settle()
}

// Request asks for a set. A task that holds one already is answered with it; a task
// that waits already has its request replaced and keeps its age.
func (b *Broker) Request(r Request) Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.grants[r.Task]; g != nil {
		return Decision{Granted: []Grant{g.clone()}}
	}
	r.Set = slices.Clone(r.Set)
	if old := b.drop(r.Task); old != nil {
		r.Since = old.Since
	}
	if r.Since.IsZero() {
		r.Since = b.clock()
	}
	b.enqueue(&waiter{Request: r})
	return b.settle()
}

// Adopt records what a task holds already, after a restart of the server: it is so,
// whatever the limits say now. The lease gets a full term.
func (b *Broker) Adopt(g Grant) Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(g.Task)
	b.letGo(g.Task)
	b.take(g.clone())
	return b.settle()
}

// Release gives back what a task holds, or ends its waiting. Unknown tasks are fine.
func (b *Broker) Release(task string) Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(task)
	b.letGo(task)
	return b.settle()
}

// Renew gives the task's lease a full term, and says whether it has one.
func (b *Broker) Renew(task string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.grants[task]
	if g == nil {
		return false
	}
	g.Expires = b.clock().Add(b.term)
	return true
}

// Expired names the tasks whose lease ran out, in order. They hold on until Release.
func (b *Broker) Expired() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	var lost []string
	for task, g := range b.grants {
		if !g.Expires.After(now) {
			lost = append(lost, task)
		}
	}
	slices.Sort(lost)
	return lost
}

// settle decides, commits the grants and says what has changed.
func (b *Broker) settle() Decision {
	plan := decide(b.resources, b.waiting)
	var d Decision
	for _, g := range plan.grants {
		b.drop(g.Task)
		d.Granted = append(d.Granted, b.take(g))
	}
	for _, w := range b.waiting {
		if r := plan.reasons[w.Task]; !same(r, w.told) {
			w.told = r
			d.Delayed = append(d.Delayed, Delay{w.Task, r})
		}
	}
	return d
}

// take commits a grant and starts its lease.
func (b *Broker) take(g Grant) Grant {
	g.Granted = b.clock()
	g.Expires = g.Granted.Add(b.term)
	for _, h := range g.Holds {
		r := b.at(h.ID)
		r.used += h.Count
		if h.Alone {
			r.alone++
		}
	}
	b.grants[g.Task] = &g
	return g.clone()
}

func (b *Broker) letGo(task string) {
	g := b.grants[task]
	if g == nil {
		return
	}
	delete(b.grants, task)
	for _, h := range g.Holds {
		r := b.at(h.ID)
		r.used -= h.Count
		if h.Alone {
			r.alone--
		}
		b.forget(h.ID)
	}
}

// at finds a resource, known or not: a removed one is kept while somebody holds it.
func (b *Broker) at(id ID) *resource {
	r := b.resources[id]
	if r == nil {
		r = &resource{Resource: gone(id)}
		b.resources[id] = r
	}
	return r
}

// forget drops a removed resource that nobody holds.
func (b *Broker) forget(id ID) {
	if r := b.resources[id]; r != nil && r.Capacity == removed && r.used == 0 && r.alone == 0 {
		delete(b.resources, id)
	}
}

func (b *Broker) enqueue(w *waiter) {
	i, _ := slices.BinarySearchFunc(b.waiting, w, order)
	b.waiting = slices.Insert(b.waiting, i, w)
}

// drop takes a task out of the queue and returns what it waited with.
func (b *Broker) drop(task string) *waiter {
	i := slices.IndexFunc(b.waiting, func(w *waiter) bool { return w.Task == task })
	if i < 0 {
		return nil
	}
	w := b.waiting[i]
	b.waiting = slices.Delete(b.waiting, i, i+1)
	return w
}

// order serves the lower number first, among equals who came first; the task's name
// makes it total, so that the same state always decides the same.
func order(a, b *waiter) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.Since.Compare(b.Since), cmp.Compare(a.Task, b.Task))
}

func (g Grant) clone() Grant { g.Holds = slices.Clone(g.Holds); return g }

func same(a, b job.Reason) bool { return a.Code == b.Code && slices.Equal(a.Args, b.Args) }
