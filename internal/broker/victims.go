package broker

import (
	"cmp"
	"slices"

	"keepward/internal/job"
)

// pairsMost bounds the search for two victims at once.
const pairsMost = 64

// interrupt decides who is interrupted for the waiter, and why it waits.
func (v *view) interrupt(lacking []int) ([]*Grant, job.Reason) {
	mine, others := v.leaving(lacking)
	if v.fitsWithout(mine) {
		return nil, waitingFor(mine)
	}
	if !v.justified(lacking) {
		return nil, v.behind(mine, others, lacking)
	}
	eligible, taken := v.candidates(lacking)
	victims := v.fewest(mine, eligible)
	switch {
	case victims != nil:
		return victims, waitingFor(append(slices.Clone(mine), victims...))
	case len(taken) > 0 && v.fewest(mine, append(eligible, taken...)) != nil:
		return nil, job.Because(job.AlreadyInterrupted)
	}
	return nil, v.behind(mine, others, lacking)
}

// behind is the reason of who does not interrupt: it may be that all it lacks is leaving already.
func (v *view) behind(mine, others []*Grant, lacking []int) job.Reason {
	if v.w.Preemptions > 0 && len(mine) == 0 {
		return job.Because(job.NoResources)
	}
	if all := append(slices.Clone(mine), others...); len(others) > 0 && v.fitsWithout(all) {
		return notLetGo(v.w.Set[lacking[0]].Kind, others)
	}
	v.place(false) // the reason counts what the set takes itself
	return v.reason(v.w.Set[lacking[0]])
}

func waitingFor(list []*Grant) job.Reason {
	return job.Because(job.WaitingForSessions, sessionsOf(list))
}

func sessionsOf(list []*Grant) string {
	ids := make([]int64, len(list))
	for i, g := range list {
		ids[i] = g.Session
	}
	slices.Sort(ids)
	return numbers(slices.Compact(ids))
}

// holdersOf calls fn with each holder of what is lacking.
func (v *view) holdersOf(lacking []int, fn func(*Grant)) {
	seen := map[string]bool{v.w.Task: true}
	for _, i := range lacking {
		n := v.w.Set[i]
		for _, name := range n.AnyOf {
			r := v.resources[ID{n.Kind, name}]
			if !r.there() {
				continue
			}
			for task, g := range r.holders {
				if !seen[task] {
					seen[task] = true
					fn(g)
				}
			}
		}
	}
}

// leaving lists who was told to let go of what is lacking, for this waiter and for others.
func (v *view) leaving(lacking []int) (mine, others []*Grant) {
	v.holdersOf(lacking, func(g *Grant) {
		switch {
		case g.For == v.w.Task:
			mine = append(mine, g)
		case g.For != "":
			others = append(others, g)
		}
	})
	return mine, others
}

// justified tells whether an interruption is allowed for what is lacking: streams, drives, media
// and writers only.
func (v *view) justified(lacking []int) bool {
	for _, i := range lacking {
		if !kinds[v.w.Set[i].Kind].preempt {
			return false
		}
	}
	return v.w.Type.Row().Preempts != job.PreemptsNo
}

// candidates lists who may be interrupted for the waiter, in the order in which they are taken,
// and who could be had they not been for another.
func (v *view) candidates(lacking []int) (eligible, taken []*Grant) {
	v.holdersOf(lacking, func(g *Grant) {
		_, waits := v.waiting[g.Task] // for a second set: interrupted whatever its flags
		switch {
		case g.Priority <= v.w.Priority || !v.w.Type.MayPreempt(g.Type, v.policy.Switches):
		case g.For != "": // it was preemptable; now it lets go
			if g.For != v.w.Task {
				taken = append(taken, g)
			}
		case !g.Preemptable && !waits || g.Protected.After(v.now):
		default:
			eligible = append(eligible, g)
		}
	})
	slices.SortFunc(eligible, compareVictims)
	return eligible, taken
}

// compareVictims takes the lowest priority first, of equals the one that loses least.
func compareVictims(a, b *Grant) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), b.Checkpoint.Compare(a.Checkpoint), cmp.Compare(a.Task, b.Task))
}

// fewest is the smallest number of victims with which the waiter's set would fit, or nil: exactly
// for one and two; for more a set of which none could be left out.
func (v *view) fewest(mine, list []*Grant) []*Grant {
	base := slices.Clone(mine)
	for _, g := range list {
		if v.fitsWithout(append(base, g)) {
			return []*Grant{g}
		}
	}
	for i, a := range list[:min(len(list), pairsMost)] {
		for _, b := range list[i+1 : min(len(list), pairsMost)] {
			if v.fitsWithout(append(base, a, b)) {
				return []*Grant{a, b}
			}
		}
	}
	for i := range list {
		if !v.fitsWithout(append(base, list[:i+1]...)) {
			continue
		}
		chosen := slices.Clone(list[:i+1])
		for k := len(chosen) - 1; k >= 0; k-- { // who is taken last is left out first
			if fewer := slices.Delete(slices.Clone(chosen), k, k+1); v.fitsWithout(append(base, fewer...)) {
				chosen = fewer
			}
		}
		return chosen
	}
	return nil
}

// fitsWithout tells whether the waiter's set would fit if these had let go.
func (v *view) fitsWithout(list []*Grant) bool {
	if len(list) == 0 {
		return false // it was tried
	}
	for _, g := range list {
		v.off = append(v.off, g.Holds...)
	}
	fits := len(v.place(true)) == 0
	v.off = v.off[:0]
	return fits
}
