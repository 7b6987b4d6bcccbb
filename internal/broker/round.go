package broker

import "time"

// round is what one call brings about: it goes through the waiters that may be concerned, in the
// order of service. Within a round nothing is released, so who was passed once need not be looked
// at again.
type round struct {
	b    *Broker
	now  time.Time
	sure queue // waiters that are judged in any case
	open []opened
	last *waiter // the one judged last
	// keepers came to wait for a second set: now they can be interrupted, for those before them too.
	keepers []*Grant
	d       Decision
}

// opened is a resource of which there may be more for those who are blocked on it.
type opened struct {
	r *resource
	// offer is a task that may now be interrupted to get it; nil: it was released.
	offer *Grant
}

func (b *Broker) round() *round { return &round{b: b, now: b.clock()} }

func (r *round) touch(res *resource, offer *Grant) { r.open = append(r.open, opened{res, offer}) }

// offer looks at who could do with what a task holds that may be interrupted now.
func (r *round) offer(g *Grant) {
	for _, h := range g.Holds {
		if kinds[h.Kind].preempt {
			r.touch(r.b.at(h.ID), g)
		}
	}
}

// unclaim lets those go on who stood behind the claims of a waiter that no longer waits.
func (r *round) unclaim(w *waiter) {
	if !w.claims {
		return
	}
	for i, n := range w.Set {
		if !w.lacked[i] {
			continue
		}
		for _, name := range n.AnyOf {
			r.touch(r.b.at(ID{n.Kind, name}), nil)
		}
	}
}

// next is the first waiter behind the last one that may be concerned.
func (r *round) next() *waiter {
	best := r.sure.after(r.last)
	for _, o := range r.open {
		w := o.r.blocked.after(r.last)
		if w == nil || !o.worth(w) {
			continue
		}
		if best == nil || order(w, best) < 0 {
			best = w
		}
	}
	return best
}

// worth tells whether w, and with that anybody behind it, may gain from what was opened.
func (o opened) worth(w *waiter) bool {
	if o.offer != nil {
		return o.offer.For == "" && w.Priority < o.offer.Priority
	}
	return !o.r.there() || o.r.used < o.r.Capacity
}

// settle judges all who are concerned and answers what came of it.
func (r *round) settle() Decision {
	for {
		for w := r.next(); w != nil; w = r.next() {
			r.apply(w, r.b.judge(w, r.now))
			r.last = w
		}
		if len(r.keepers) == 0 {
			break
		}
		r.last, r.sure, r.open = nil, nil, nil
		for _, g := range r.keepers {
			r.offer(g)
		}
		r.keepers = nil
	}
	r.breakCircles()
	return r.d
}

// apply is the only place where what was judged becomes so.
func (r *round) apply(w *waiter, v verdict) {
	b := r.b
	if v.holds != nil {
		b.drop(w.Task)
		r.unclaim(w)
		r.d.Granted = append(r.d.Granted, b.granted(w, v.holds, r.now, b.term).clone())
		return
	}
	if g := b.grants[w.Task]; g != nil && w.told.Zero() {
		r.keepers = append(r.keepers, g)
	}
	b.block(w, v.blocked)
	for _, i := range v.lacking {
		w.lacked[i] = true
	}
	if due := b.policy.ClaimAfter > 0 && r.now.Sub(w.Since) >= b.policy.ClaimAfter; due && len(v.lacking) > 0 {
		b.claim(w)
	}
	for _, g := range v.victims {
		g.For = w.Task
		r.d.Interrupt = append(r.d.Interrupt, Interrupt{Task: g.Task, Session: g.Session, For: w.Task, ForSession: w.Session})
	}
	if !same(v.why, w.told) {
		if w.told = v.why; infrastructure(v.why) {
			r.unclaim(w) // its claims bind nobody while it could not take anything
		}
		r.d.Delayed = append(r.d.Delayed, Delay{w.Task, v.why})
	}
}
