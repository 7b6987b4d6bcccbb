package broker

import (
	"cmp"
	"maps"
	"slices"

	"keepward/internal/job"
)

// State is the whole of a broker at one moment, for people.
type State struct {
	Resources []ResourceState
	Waiting   []Wait
	Grants    []Grant
}

// ResourceState is a resource and who has it.
type ResourceState struct {
	Resource
	Used    int
	Holders []string // tasks
}

// Wait is a task in the queue, in the order of service.
type Wait struct {
	Request
	// Reason holds now; the one that was told may name holders of before.
	Reason job.Reason
	// Lacking is the resources of all that it lacks. It may be looked at again when some of them
	// are released, and not for others: that is the broker's business.
	Lacking []ID
	// Claim says that what it lacks is kept for it.
	Claim bool
	// Ahead is how many are served before it where it waits.
	Ahead int
}

// Snapshot copies the state; nothing in it is shared with the broker.
func (b *Broker) Snapshot() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	var s State
	for _, g := range b.grants {
		s.Grants = append(s.Grants, g.clone())
	}
	for _, r := range b.resources {
		if r.Capacity == removed && len(r.holders) == 0 {
			continue // somebody wants it, and it does not exist
		}
		s.Resources = append(s.Resources, ResourceState{r.Resource, r.used, slices.Sorted(maps.Keys(r.holders))})
	}
	for _, w := range slices.SortedFunc(maps.Values(b.waiting), order) {
		s.Waiting = append(s.Waiting, b.wait(w))
	}
	slices.SortFunc(s.Grants, func(a, b Grant) int { return cmp.Compare(a.Task, b.Task) })
	slices.SortFunc(s.Resources, func(a, b ResourceState) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return s
}

// Waits is how one task waits, and whether it does.
func (b *Broker) Waits(task string) (Wait, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.waiting[task]
	if w == nil {
		return Wait{}, false
	}
	return b.wait(w), true
}

func (b *Broker) wait(w *waiter) Wait {
	q := w.Request
	q.Set = slices.Clone(q.Set)
	v := b.judge(w, b.clock())
	ahead := 0
	for _, id := range w.blocked {
		if i, ok := slices.BinarySearchFunc(b.at(id).blocked, w, order); ok {
			ahead = max(ahead, i)
		}
	}
	return Wait{Request: q, Reason: v.why, Lacking: lackingOf(w, v), Claim: w.claims, Ahead: ahead}
}

// lackingOf is the resources of all needs that a waiter lacks; of one that nothing can be judged of,
// since something is switched off, those that it is blocked on.
func lackingOf(w *waiter, v verdict) []ID {
	if len(v.lacking) == 0 {
		return slices.Clone(w.blocked)
	}
	var all []ID
	for _, i := range v.lacking {
		for _, name := range w.Set[i].AnyOf {
			if id := (ID{w.Set[i].Kind, name}); !slices.Contains(all, id) {
				all = append(all, id)
			}
		}
	}
	return all
}

// Resource is one resource and its grants, and whether there is such a one.
func (b *Broker) Resource(id ID) (ResourceState, []Grant, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.resources[id]
	if r == nil {
		return ResourceState{}, nil, false
	}
	var list []Grant
	for _, g := range r.holders {
		list = append(list, g.clone())
	}
	slices.SortFunc(list, func(a, b Grant) int { return cmp.Compare(a.Task, b.Task) })
	return ResourceState{r.Resource, r.used, slices.Sorted(maps.Keys(r.holders))}, list, true
}
