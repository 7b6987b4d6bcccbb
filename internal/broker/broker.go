// Package broker is the one holder of countable resources: streams of repositories, writers of
// mount paths, drives, media, slots of computers and workers. A task asks for a set and gets all
// of it or nothing, in one step, so nothing can deadlock; what waits for a second set while it
// keeps its first is looked after in circle.go.
//
// Deciding is pure: judge (decide.go) reads the state and one waiter, and answers what it gets,
// why it waits, or who is to be interrupted for it. Broker is the applier: it keeps the state,
// commits what was judged and answers every call with what has changed. It starts nothing, stops
// nothing and does no I/O: the job manager does, on the answer. It also declares nobody dead:
// Expired names holders whose lease ran out, and the manager releases them when their attempt is
// settled.
//
// A release looks only at those who wait for what was released, in their order, and only as long
// as there is something left; so a decision costs the same however long the queue is.
//
// A Broker may be used from any goroutine; one mutex guards all of it. The clock is passed in and
// called under that mutex.
package broker

import (
	"slices"
	"sync"
	"time"

	"keepward/internal/job"
)

// Request is what a task asks for.
type Request struct {
	Task     string
	Session  int64
	Type     job.Type
	Priority int // the lower number goes first
	Set      []Need
	// Since is when it began to wait; zero means now. A request that is made again
	// keeps its first one.
	Since time.Time
	// More asks for a second set beside the first, which is kept while this one is waited for.
	More bool
	// Preemptions is how often in a row the task was interrupted for others.
	Preemptions int
}

// Standing is what the broker must know of a task that runs to choose whom to interrupt.
type Standing struct {
	// Preemptable says that its phase may be interrupted now.
	Preemptable bool
	// Checkpoint is its newest one: the younger, the less is lost.
	Checkpoint time.Time
}

// Grant is a set that a task holds, as a lease.
type Grant struct {
	Task     string
	Session  int64
	Type     job.Type
	Priority int
	// Holds has the lines of the request's needs in their order: one each, none for a need of
	// count 0, and one for each resource of a need that is spread.
	Holds   []Hold
	Granted time.Time
	Expires time.Time
	Standing
	// Protected is until when it is not interrupted, having been so too often.
	Protected time.Time
	// For is the task for which it was told to let go; empty: none.
	For string
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

// Interrupt tells a task that holds a set to let go of it.
type Interrupt struct {
	Task    string
	Session int64
	// For is who wants the resources; empty: the wait had closed a circle.
	For        string
	ForSession int64
}

// Decision is what a call has changed: the tasks that now hold their sets, the tasks that wait
// for a reason other than the one last told, and the tasks that must let go.
type Decision struct {
	Granted   []Grant
	Delayed   []Delay
	Interrupt []Interrupt
}

// Policy is the rules that an administrator may change.
type Policy struct {
	job.Switches
	// ClaimAfter is how long a task waits before what it lacks is kept for it; 0: for ever.
	ClaimAfter time.Duration
	// InARow interruptions protect a task's next run for the time Protect; 0: never.
	InARow  int
	Protect time.Duration
}

// DefaultPolicy is the one where nobody set another.
func DefaultPolicy() Policy {
	return Policy{ClaimAfter: job.DefaultClaimAfter, InARow: job.DefaultPreemptionsInRow, Protect: job.DefaultProtectedRunning}
}

// Broker holds all resources.
type Broker struct {
	clock func() time.Time
	term  time.Duration

	mu sync.Mutex
	state
}

// New makes a broker without resources, with DefaultPolicy. term is how long a lease lives
// without Renew.
func New(clock func() time.Time, term time.Duration) *Broker {
	return &Broker{clock: clock, term: term, state: state{
		policy: DefaultPolicy(), resources: map[ID]*resource{}, grants: map[string]*Grant{}, waiting: map[string]*waiter{},
	}}
}

// SetPolicy changes the rules. What was decided by the old ones stays.
func (b *Broker) SetPolicy(p Policy) Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.policy = p
	r := b.round()
	for _, w := range b.waiting {
		r.sure.add(w)
	}
	return r.settle()
}

// SetResource adds a resource or changes it. Lowering a capacity takes nothing from
// who holds; it waits for what runs.
func (b *Broker) SetResource(res Resource) Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.change(res)
}

// RemoveResource takes a resource out of use. Who holds it goes on holding it.
func (b *Broker) RemoveResource(id ID) Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.resources[id] == nil {
		return Decision{}
	}
	d := b.change(gone(id))
	b.forget(id)
	return d
}

func (b *Broker) change(res Resource) Decision {
	at := b.at(res.ID)
	was, had := at.there(), at.Capacity
	at.Resource = res
	r := b.round()
	if was && at.there() && at.Capacity == had {
		return r.d
	}
	for w := range at.wanted { // what everybody is told may change
		r.sure.add(w)
	}
	return r.settle()
}

// Request asks for a set. A task that holds one already is answered with it, unless it asks for
// More; a task that waits already has its request replaced and keeps its age.
func (b *Broker) Request(q Request) Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.grants[q.Task]; g != nil && !q.More {
		return Decision{Granted: []Grant{g.clone()}}
	}
	q.Set = slices.Clone(q.Set)
	if old := b.drop(q.Task); old != nil {
		q.Since = old.Since
	}
	if q.Since.IsZero() {
		q.Since = b.clock()
	}
	w := &waiter{Request: q}
	b.enqueue(w)
	r := b.round()
	r.sure.add(w)
	return r.settle()
}

// Adopt records what a task holds already, after a restart of the server: it is so,
// whatever the limits say now. The lease gets a full term.
func (b *Broker) Adopt(g Grant) Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.round()
	b.drop(g.Task)
	b.letGo(g.Task, r)
	g = g.clone()
	g.Granted = b.clock()
	g.Expires, g.For = g.Granted.Add(b.term), ""
	b.take(&g, g.Holds)
	return r.settle()
}

// Release gives back what a task holds, or ends its waiting. Unknown tasks are fine.
func (b *Broker) Release(task string) Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.round()
	if w := b.drop(task); w != nil {
		r.unclaim(w)
	}
	b.letGo(task, r)
	return r.settle()
}

// Update tells how a task stands that holds a set.
func (b *Broker) Update(task string, s Standing) Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.grants[task]
	if g == nil {
		return Decision{}
	}
	r := b.round()
	before := g.Preemptable
	if g.Standing = s; s.Preemptable && !before {
		r.offer(g)
	}
	return r.settle()
}

// Reprioritise changes the priority of a task that waits or runs.
func (b *Broker) Reprioritise(task string, priority int) Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.round()
	if g := b.grants[task]; g != nil && g.Priority != priority {
		g.Priority = priority
		r.offer(g)
	}
	if w := b.drop(task); w != nil {
		r.unclaim(w)
		w.Priority = priority
		b.enqueue(w)
		r.sure.add(w)
	}
	return r.settle()
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

// Tick looks at what time alone has changed: protections that are over. Deadline says when the
// next call is due.
func (b *Broker) Tick() Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.round()
	for _, g := range b.grants {
		if !g.Protected.IsZero() && !g.Protected.After(r.now) {
			g.Protected = time.Time{}
			r.offer(g)
		}
	}
	return r.settle()
}

// Deadline is when Tick has something to do; the zero time: never, as things stand.
func (b *Broker) Deadline() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	var first time.Time
	for _, g := range b.grants {
		if !g.Protected.IsZero() && (first.IsZero() || g.Protected.Before(first)) {
			first = g.Protected
		}
	}
	return first
}

func (g Grant) clone() Grant { g.Holds = slices.Clone(g.Holds); return g }

func same(a, b job.Reason) bool { return a.Code == b.Code && slices.Equal(a.Args, b.Args) }
