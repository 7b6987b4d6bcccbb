package broker

import (
	"cmp"
	"slices"
)

// breakCircles interrupts one after the other of those who keep a first set, wait for a second
// and could never go on, until the rest can. Who these are: suppose that all others have ended
// and have let go; whoever would get its second set then ends and lets go too; those who are left
// wait for each other. Whose wait nothing can end goes first, then the lowest priority.
func (r *round) breakCircles() {
	if r.b.more < 2 {
		return
	}
	for stuck := r.b.stuck(r); len(stuck) > 0; stuck = r.b.stuck(r) {
		g := stuck[0]
		g.For = g.Task // for nobody else
		r.d.Interrupt = append(r.d.Interrupt, Interrupt{Task: g.Task, Session: g.Session})
	}
}

// stuck lists the holders that wait for each other, in the order in which they are interrupted;
// nobody, when that would help nobody.
func (s *state) stuck(r *round) []*Grant {
	var off []Hold
	keepers := map[string]*Grant{}
	for task, g := range s.grants {
		if w := s.waiting[task]; w != nil && g.For == "" && !infrastructure(w.told) {
			keepers[task] = g
			continue
		}
		off = append(off, g.Holds...)
	}
	for went := true; went; {
		went = false
		for task, g := range keepers {
			if s.fits(task, off, r) {
				delete(keepers, task)
				off = append(off, g.Holds...)
				went = true
			}
		}
	}
	var list, hopeless []*Grant
	for task, g := range keepers {
		all := slices.Clone(off)
		for other, o := range keepers {
			if other != task {
				all = append(all, o.Holds...)
			}
		}
		if s.fits(task, all, r) {
			list = append(list, g)
		} else {
			hopeless = append(hopeless, g)
		}
	}
	if len(list) == 0 {
		return nil
	}
	byRank := func(a, b *Grant) int { return cmp.Or(compareVictims(a, b), cmp.Compare(a.Task, b.Task)) }
	slices.SortFunc(list, byRank)
	slices.SortFunc(hopeless, byRank)
	return append(hopeless, list...)
}

// fits tells whether a waiter's set would fit if these holds were gone.
func (s *state) fits(task string, off []Hold, r *round) bool {
	v := &view{state: s, w: s.waiting[task], now: r.now, off: off}
	return len(v.place(true)) == 0
}
