package broker

import (
	"cmp"
	"slices"
	"time"

	"keepward/internal/job"
)

// verdict is what is decided about one waiter.
type verdict struct {
	holds   []Hold // not nil: it gets its set
	why     job.Reason
	blocked []ID     // the resources to wait for
	lacking []int    // the needs that others are in the way of
	victims []*Grant // who is to be interrupted for it, besides those that are already
}

// judge decides about one waiter, beside what is held and what those before it have a claim on.
// It changes nothing.
func (s *state) judge(w *waiter, now time.Time) verdict {
	v := &view{state: s, w: w, now: now}
	lacking := v.place(false)
	if len(lacking) == 0 {
		return verdict{holds: append(make([]Hold, 0, len(v.own)), v.own...)}
	}
	for _, i := range lacking {
		if v.room(v.w.Set[i]) {
			continue
		}
		if why := v.reason(v.w.Set[i]); infrastructure(why) { // it decides over contention
			return verdict{blocked: v.ids(i), why: why}
		}
	}
	out := verdict{blocked: v.waitsOn(lacking), lacking: lacking}
	out.victims, out.why = v.interrupt(lacking)
	return out
}

// waitsOn is whose release can help. While something is lacking for which nobody may be
// interrupted that alone is enough to look at; else each may free what the waiter lacks, or be
// held by somebody who comes to be preemptable.
func (v *view) waitsOn(lacking []int) []ID {
	var all []ID
	for _, i := range lacking {
		ids := v.ids(i)
		if !kinds[v.w.Set[i].Kind].preempt || len(lacking) == 1 {
			return ids
		}
		for _, id := range ids {
			if !slices.Contains(all, id) {
				all = append(all, id)
			}
		}
	}
	return all
}

// view is the state as one waiter sees it.
type view struct {
	*state
	w   *waiter
	now time.Time
	own []Hold // for the needs before, of the same set
	off []Hold // what others would have let go of
}

// infrastructure tells whether a reason is something switched off or unreachable.
func infrastructure(r job.Reason) bool {
	row, _ := r.Code.Row()
	return row.Group == job.Infrastructure
}

func (v *view) ids(need int) []ID {
	n := v.w.Set[need]
	ids := make([]ID, len(n.AnyOf))
	for i, name := range n.AnyOf {
		ids[i] = ID{n.Kind, name}
	}
	return ids
}

// place puts holds for the whole set into own, and answers which needs are lacking: all of them,
// or the first if that is enough. Needs of one set may name the same resource, so each counts
// before the next.
func (v *view) place(first bool) (lacking []int) {
	v.own = v.own[:0]
	for i, n := range v.w.Set {
		h, ok := v.choose(n)
		if ok {
			v.own = append(v.own, h...)
			continue
		}
		if lacking = append(lacking, i); first {
			break
		}
	}
	return lacking
}

// room tells whether a need is lacking only because what there is is in use.
func (v *view) room(n Need) bool {
	if n.Kind == Drive {
		return false // what drives exist has more reasons than one
	}
	for _, name := range n.AnyOf {
		if v.resources[ID{n.Kind, name}].there() {
			return true
		}
	}
	return false
}

// choose picks the resources for a need: of those that fit the one with most free space, then
// with the fewest holders, then the first named.
func (v *view) choose(n Need) ([]Hold, bool) {
	if len(n.AnyOf) == 1 && !n.Spread {
		r := v.resources[ID{n.Kind, n.AnyOf[0]}]
		switch {
		case !r.there() || v.has(r, n) == 0:
			return nil, false
		case n.count(r) == 0:
			return nil, true
		}
		return []Hold{{r.ID, n.count(r), n.Alone}}, true
	}
	var fit []*resource
	for _, name := range n.AnyOf {
		if r := v.resources[ID{n.Kind, name}]; r.there() && v.has(r, n) > 0 {
			fit = append(fit, r)
		}
	}
	slices.SortStableFunc(fit, func(a, b *resource) int {
		return cmp.Or(cmp.Compare(b.FreeBytes, a.FreeBytes), cmp.Compare(v.used(a), v.used(b)))
	})
	var holds []Hold
	left := n.Count
	for _, r := range fit {
		take := n.count(r)
		if n.Spread {
			take = min(left, v.has(r, n))
		}
		if take > 0 {
			holds = append(holds, Hold{r.ID, take, n.Alone})
		}
		if left -= take; !n.Spread || left <= 0 {
			return holds, true
		}
	}
	return nil, false
}

// has is how much of r a need could be given: all that is free where it is spread, else what it
// asks for, or 0. A need that takes nothing has 1 of what is there.
func (v *view) has(r *resource, n Need) int {
	if n.Count == 0 && !n.Alone {
		return 1
	}
	used, alone := v.used(r), r.alone+count(v.own, r.ID, true)-count(v.off, r.ID, true)
	if alone > 0 || n.Alone && used > 0 {
		return 0
	}
	free, want := r.Capacity-used, n.count(r)
	if n.Spread {
		want = min(1, free)
	}
	if want <= 0 || free < want || v.claimed(r, want) != nil {
		return 0
	}
	return free
}

func (v *view) used(r *resource) int {
	return r.used + count(v.own, r.ID, false) - count(v.off, r.ID, false)
}

// count sums up the holds of a resource: their units, or how many want it alone.
func count(list []Hold, id ID, alone bool) int {
	sum := 0
	for _, h := range list {
		switch {
		case h.ID != id:
		case !alone:
			sum += h.Count
		case h.Alone:
			sum++
		}
	}
	return sum
}

// claimed is the waiter before v.w whose claim leaves less than want of r, or nil. A claim on any
// one of several resources leaves what is free of them besides.
func (v *view) claimed(r *resource, want int) *waiter {
	kept := 0
	for _, c := range r.claims {
		if order(c, v.w) >= 0 {
			return nil
		}
		if infrastructure(c.told) {
			continue // it could not take it anyway
		}
		for i, n := range c.Set {
			if !c.lacked[i] || n.Kind != r.Kind || !slices.Contains(n.AnyOf, r.Name) {
				continue
			}
			kept += n.count(r)
			if v.free(n)-kept < want {
				return c
			}
		}
	}
	return nil
}

// free is how much is free of all the resources of a need together.
func (v *view) free(n Need) int {
	sum := 0
	for _, name := range n.AnyOf {
		if r := v.resources[ID{n.Kind, name}]; r.there() {
			sum += max(0, r.Capacity-v.used(r))
		}
	}
	return sum
}
