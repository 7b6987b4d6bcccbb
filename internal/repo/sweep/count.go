package sweep

import (
	"cmp"
	"context"
	"slices"

	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// count fills in how much of each pack is needed. Where a chunk lies in several places, those
// that others cover are not needed; of equal ones the place in the fullest pack stays, then
// that in the largest: so what a compaction has copied stays, and what it has copied from goes.
func (m *marker) count(ctx context.Context, p *packSet) error {
	packs := p.resolve(m.segs)
	var all []place
	err := walk(ctx, m.segs, func(id *seal.ID, rows []found) error {
		live := m.get(m.bitOf(id, rows))
		all = p.places(all, m.segs, packs, rows)
		for i := range all {
			x := &all[i]
			u := &p.uses[x.pack]
			u.Records++
			u.Bytes += int64(x.length)
			if x.is(segment.Damaged) {
				u.Marked++
			}
			if live {
				p.any[x.pack] += int64(x.length)
			}
		}
		return nil
	})
	if err != nil {
		return damagedIndex(err)
	}
	err = walk(ctx, m.segs, func(id *seal.ID, rows []found) error {
		if !m.get(m.bitOf(id, rows)) {
			return nil
		}
		all = p.places(all, m.segs, packs, rows)
		m.identify(ctx, p, id, all)
		for _, x := range p.needed(all) {
			u := &p.uses[x.pack]
			u.LiveRecords++
			u.LiveBytes += int64(x.length)
			if x.is(segment.Damaged) {
				u.Damaged++
			}
		}
		return nil
	})
	return damagedIndex(err)
}

// needed are those of a chunk's places that no other needed one covers. It sorts all.
func (p *packSet) needed(all []place) []place {
	if len(all) < 2 {
		return all
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(
			cmp.Compare(a.rank(), b.rank()),
			cmp.Compare(p.fill(b.pack), p.fill(a.pack)), cmp.Compare(p.uses[b.pack].Size, p.uses[a.pack].Size),
			cmp.Compare(a.pack, b.pack), cmp.Compare(a.offset, b.offset),
		)
	})
	n := 0
	for i := range all {
		x := &all[i]
		if slices.ContainsFunc(all[:n], func(k place) bool { return k.covers(x, false) }) {
			continue
		}
		all[n], all[i] = all[i], all[n] // keeps the owners of both: their memory is reused
		n++
	}
	return all[:n]
}

// rank is lower for places that cover more.
func (p *place) rank() int {
	switch {
	case p.is(segment.Damaged):
		return 4
	case p.is(segment.Punched):
		return 3
	case p.suspect:
		return 2
	case p.is(segment.Proved):
		return 0
	}
	return 1
}

// fill is the live share of a pack in percent: what differs by less is told apart by size.
func (p *packSet) fill(i int32) int64 {
	return p.any[i] * 100 / max(1, p.uses[i].Size)
}

// spare answers which of the condemned packs must stay: those with a live chunk, or a damaged
// copy of one, that no pack which stays covers. j, if there is one, is asked whether bundles that
// lost members will do.
func (m *marker) spare(ctx context.Context, p *packSet, condemned []pack.Key, j Judge) ([]pack.Key, error) {
	doomed := make([]bool, len(p.uses))
	for _, k := range condemned {
		if i := p.index(k); i >= 0 {
			doomed[i] = true
		}
	}
	var will map[seal.ID]bool
	if j != nil {
		open, err := m.remnants(ctx, p, doomed)
		if err == nil && len(open) > 0 {
			will, err = j.Sufficient(ctx, open)
		}
		if err != nil {
			return nil, err
		}
	}
	spared := map[int32]bool{}
	stays := func(i int32) bool { return !doomed[i] || spared[i] }
	err := m.uncovered(ctx, p, stays, func(id *seal.ID, all []place, x *place) {
		if !will[*id] || !slices.ContainsFunc(all, func(o place) bool { return stays(o.pack) && o.covers(x, true) }) {
			spared[x.pack] = true
		}
	})
	if err != nil {
		return nil, err
	}
	var out []pack.Key
	for i := range spared {
		out = append(out, p.uses[i].Pack)
	}
	slices.SortFunc(out, pack.Key.Compare)
	return out, nil
}

// uncovered calls fn for the live chunks at places in packs that do not stay which no place in one
// that stays covers as it is.
func (m *marker) uncovered(ctx context.Context, p *packSet, stays func(pack int32) bool, fn func(id *seal.ID, all []place, x *place)) error {
	packs := p.resolve(m.segs)
	var all []place
	err := walk(ctx, m.segs, func(id *seal.ID, rows []found) error {
		if !m.get(m.bitOf(id, rows)) {
			return nil
		}
		all = p.places(all, m.segs, packs, rows)
		m.identify(ctx, p, id, all)
		for i := range all {
			x := &all[i]
			if !stays(x.pack) && !slices.ContainsFunc(all, func(o place) bool { return stays(o.pack) && o.covers(x, false) }) {
				fn(id, all, x)
			}
		}
		return nil
	})
	return damagedIndex(err)
}
