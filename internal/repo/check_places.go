package repo

import (
	"keepward/internal/errs"
	"keepward/internal/repo/pack"
)

// needsAt splits off what points need at a record, and reports what lies elsewhere than the
// index says. needs are in order.
func (c *checker) needsAt(k pack.Key, e pack.Entry, needs []need, f *packFaults) (here, rest []need) {
	i := 0
	for i < len(needs) && needs[i].offset < e.Offset {
		i++
	}
	c.misplaced(k, needs[:i], f)
	needs = needs[i:]
	i = 0
	for i < len(needs) && needs[i].offset == e.Offset {
		i++
	}
	return needs[:i], needs[i:]
}

// misplaced reports places where the index has chunks and the pack has none.
func (c *checker) misplaced(k pack.Key, needs []need, f *packFaults) {
	for _, n := range needs {
		c.noteHash(n.h)
		if n.marked {
			continue
		}
		e := pack.Entry{ID: n.h.ID(), Offset: n.offset, Length: n.length, Kind: n.kind}
		if c.isBad(place{k.Attempt, k.Class, k.Number, n.offset}) {
			continue
		}
		f.damaged = true
		c.badEntry(k, e, codeDamaged, errs.New(errs.Corrupt, "record.place", "the pack has no record there"))
	}
}
