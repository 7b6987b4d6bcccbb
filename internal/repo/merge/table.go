package merge

import (
	"bytes"
	"cmp"
	"slices"

	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/segment"
)

// table has every pack of a group's segments once for each owner of rows in it.
type table struct {
	entries []entry
	of      [][]uint32 // for each part, where its packs stand in entries
	used    []bool     // entries that rows which stay name
}

type entry struct {
	segment.Pack
	place uint32 // the same for all entries of one pack
	gone  bool
}

func newTable(group []repo.IndexSegment, gone map[pack.Key]bool) *table {
	type owned struct {
		pack.Key
		owner [16]byte
	}
	t := &table{of: make([][]uint32, len(group))}
	at := map[owned]uint32{}
	places := map[pack.Key]uint32{}
	for i, s := range group {
		t.of[i] = make([]uint32, len(s.Packs))
		for j, p := range s.Packs {
			k := pack.Key{Attempt: p.Attempt, Class: p.Class, Number: p.Number}
			if _, ok := places[k]; !ok {
				places[k] = uint32(len(places))
			}
			n, ok := at[owned{k, p.Owner}]
			if !ok {
				n = uint32(len(t.entries))
				at[owned{k, p.Owner}] = n
				t.entries = append(t.entries, entry{Pack: p, place: places[k], gone: gone[k]})
			}
			t.entries[n].Length = max(t.entries[n].Length, p.Length)
			t.of[i][j] = n
		}
	}
	t.used = make([]bool, len(t.entries))
	return t
}

// output is the table of the joined segment, and where each entry that is used stands in it.
// Packs stand in the order of their names, those of one attempt together.
func (t *table) output() (packs []segment.Pack, position []uint32) {
	var order []int
	for i := range t.entries {
		if t.used[i] {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return comparePacks(&t.entries[a].Pack, &t.entries[b].Pack) })
	position = make([]uint32, len(t.entries))
	for n, i := range order {
		position[i] = uint32(n)
		packs = append(packs, t.entries[i].Pack)
	}
	return packs, position
}

func comparePacks(a, b *segment.Pack) int {
	return cmp.Or(bytes.Compare(a.Attempt[:], b.Attempt[:]), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Number, b.Number), bytes.Compare(a.Owner[:], b.Owner[:]))
}

// reduce moves to the front of rows, which are of one id, those that must stay, and answers
// their number. Rows of packs that are gone go. Of the rows of one place all flags count
// together. If that place was proved, or is damaged, it is so for every owner, and one row says
// it; otherwise each owner keeps a row, since only who has one may rely on the place.
func (t *table) reduce(rows []segment.Row) int {
	if len(rows) == 1 {
		if t.entries[rows[0].Pack].gone {
			return 0
		}
		return 1
	}
	slices.SortFunc(rows, t.compare)
	out := 0
	for i := 0; i < len(rows); {
		end := i + 1
		flags := rows[i].Flags
		for end < len(rows) && t.samePlace(&rows[i], &rows[end]) {
			flags |= rows[end].Flags
			end++
		}
		if !t.entries[rows[i].Pack].gone {
			out = t.keep(rows, out, i, end, flags)
		}
		i = end
	}
	return out
}

// keep moves the rows of one place, i to end, that stay to the front.
func (t *table) keep(rows []segment.Row, out, i, end int, flags segment.Flags) int {
	first := out
	for ; i < end; i++ {
		r := rows[i]
		r.Flags = flags
		owner := t.entries[r.Pack].Owner
		switch {
		case out > first && t.entries[rows[out-1].Pack].Owner == owner:
			continue
		case out > first && (flags&(segment.Proved|segment.Damaged) != 0 || owner == [16]byte{}):
			continue // another row of the place says it
		}
		rows[out] = r
		out++
	}
	return out
}

// compare puts the rows of one place together: first the one of the pack's own attempt, which
// alone knows the pack's length; nobody's last.
func (t *table) compare(a, b segment.Row) int {
	x, y := &t.entries[a.Pack], &t.entries[b.Pack]
	if c := cmp.Or(cmp.Compare(x.place, y.place), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Length, b.Length), cmp.Compare(a.Kind, b.Kind)); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(min(y.Length, 1), min(x.Length, 1)), bytes.Compare(y.Owner[:], x.Owner[:]))
}

func (t *table) samePlace(a, b *segment.Row) bool {
	return t.entries[a.Pack].place == t.entries[b.Pack].place && a.Offset == b.Offset && a.Length == b.Length && a.Kind == b.Kind
}
