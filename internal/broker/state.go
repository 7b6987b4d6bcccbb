package broker

import (
	"slices"
	"time"

	"keepward/internal/job"
)

// state is all that decisions are made from.
type state struct {
	policy    Policy
	resources map[ID]*resource
	grants    map[string]*Grant
	waiting   map[string]*waiter
	more      int // waiters that keep a first set
}

// waiter is a request that is not granted yet.
type waiter struct {
	Request
	told job.Reason
	// blocked is the resources of the need that it waits for before all.
	blocked []ID
	// lacked says of each need that it was lacking at some time: what a claim is on.
	lacked []bool
	claims bool // it stands in the queues of claims
}

// at finds a resource, known or not: a removed one is kept while somebody holds or wants it.
func (s *state) at(id ID) *resource {
	r := s.resources[id]
	if r == nil {
		r = newResource(id)
		s.resources[id] = r
	}
	return r
}

// forget drops a removed resource that nobody holds or wants.
func (s *state) forget(id ID) {
	if r := s.resources[id]; r != nil && r.idle() {
		delete(s.resources, id)
	}
}

func (s *state) enqueue(w *waiter) {
	w.lacked = make([]bool, len(w.Set))
	w.blocked, w.claims = nil, false
	s.waiting[w.Task] = w
	if w.More {
		s.more++
	}
	for _, n := range w.Set {
		for _, name := range n.AnyOf {
			s.at(ID{n.Kind, name}).wanted[w] = struct{}{}
		}
	}
}

// drop takes a task out of the queue and returns what it waited with. Its claims are left to
// round.unclaim, which knows who gains by that.
func (s *state) drop(task string) *waiter {
	w := s.waiting[task]
	if w == nil {
		return nil
	}
	delete(s.waiting, task)
	if w.More {
		s.more--
	}
	s.unblock(w)
	for _, n := range w.Set {
		for _, name := range n.AnyOf {
			id := ID{n.Kind, name}
			r := s.at(id)
			delete(r.wanted, w)
			r.claims.drop(w)
			s.forget(id)
		}
	}
	return w
}

func (s *state) unblock(w *waiter) {
	for _, id := range w.blocked {
		s.at(id).blocked.drop(w)
	}
	w.blocked = nil
}

func (s *state) block(w *waiter, on []ID) {
	if slices.Equal(w.blocked, on) {
		return
	}
	s.unblock(w)
	w.blocked = on
	for _, id := range on {
		s.at(id).blocked.add(w)
	}
}

// claim keeps for w what it has lacked.
func (s *state) claim(w *waiter) {
	w.claims = true
	for i, n := range w.Set {
		if !w.lacked[i] {
			continue
		}
		for _, name := range n.AnyOf {
			s.at(ID{n.Kind, name}).claims.add(w)
		}
	}
}

// take makes g the grant of its task, with these holds in addition to what it has.
func (s *state) take(g *Grant, holds []Hold) {
	s.grants[g.Task] = g
	for _, h := range holds {
		r := s.at(h.ID)
		r.used += h.Count
		if h.Alone {
			r.alone++
		}
		r.holders[g.Task] = g
	}
}

// letGo ends a grant.
func (s *state) letGo(task string, r *round) {
	g := s.grants[task]
	if g == nil {
		return
	}
	delete(s.grants, task)
	for _, h := range g.Holds {
		res := s.at(h.ID)
		res.used -= h.Count
		if h.Alone {
			res.alone--
		}
		delete(res.holders, task)
		r.touch(res, nil)
		s.forget(h.ID)
	}
	if w := s.waiting[g.For]; w != nil {
		r.sure.add(w)
	}
}

// granted makes or enlarges the grant of a waiter.
func (s *state) granted(w *waiter, holds []Hold, now time.Time, term time.Duration) *Grant {
	g := s.grants[w.Task]
	if g == nil {
		g = &Grant{Task: w.Task, Session: w.Session, Type: w.Type, Priority: w.Priority, Granted: now}
		if s.policy.InARow > 0 && w.Preemptions >= s.policy.InARow {
			g.Protected = now.Add(s.policy.Protect)
		}
	}
	g.Expires = now.Add(term)
	g.Holds = append(g.Holds, holds...)
	s.take(g, holds)
	return g
}
