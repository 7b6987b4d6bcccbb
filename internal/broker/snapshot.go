package broker

import (
	"cmp"
	"slices"

	"keepward/internal/job"
)

// State is the whole of a broker at one moment, for people and for decisions.
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
	Reason job.Reason
}

// Snapshot copies the state; nothing in it is shared with the broker.
func (b *Broker) Snapshot() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	var s State
	holders := map[ID][]string{}
	for _, g := range b.grants {
		s.Grants = append(s.Grants, g.clone())
		for _, h := range g.Holds {
			holders[h.ID] = append(holders[h.ID], g.Task)
		}
	}
	for id, r := range b.resources {
		slices.Sort(holders[id])
		s.Resources = append(s.Resources, ResourceState{r.Resource, r.used, slices.Compact(holders[id])})
	}
	for _, w := range b.waiting {
		r := w.Request
		r.Set = slices.Clone(r.Set)
		s.Waiting = append(s.Waiting, Wait{r, w.told})
	}
	slices.SortFunc(s.Grants, func(a, b Grant) int { return cmp.Compare(a.Task, b.Task) })
	slices.SortFunc(s.Resources, func(a, b ResourceState) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return s
}
