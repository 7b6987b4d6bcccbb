package sweep

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sort"

	"keepward/internal/repo"
	"keepward/internal/repo/seal"
)

// tableRows bounds the rows of small segments that are looked up in one table: 64 MiB. What is
// above lies in segments so large that there are few.
const tableRows = 4 << 20

// at is a row: position of its segment in the fixed order, and number.
type at struct{ seg, row uint32 }

// entry is a row in the table.
type entry struct {
	prefix uint64 // first 8 bytes of the id
	at
}

func (e entry) compare(o entry) int {
	return cmp.Or(cmp.Compare(e.prefix, o.prefix), cmp.Compare(e.seg, o.seg), cmp.Compare(e.row, o.row))
}

func prefixOf(id *seal.ID) uint64 { return binary.BigEndian.Uint64(id[:8]) }

// lookup finds the rows of ids in a fixed list of segments, to which more may be appended.
// Every id has one bit: that of its first entry in the table, else that of its first row in
// the first of the large segments that has it. Ids of strangers may share their first bytes,
// so every row is compared whole.
type lookup struct {
	segs  []repo.IndexSegment
	inTab []bool  // by segment
	table []entry // sorted
	large []int   // segments that are not in the table, in order
	bits  [][]uint64
	// base is where the bits of a segment are: 0 is the table, others follow as in large.
	base []int
}

// newLookup puts the smallest segments, of so many rows together, into the table.
func newLookup(segs []repo.IndexSegment, inTable int64) (*lookup, error) {
	l := &lookup{bits: [][]uint64{nil}}
	order := make([]int, len(segs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(segs[a].Rows(), segs[b].Rows()) })
	small, total := make([]bool, len(segs)), int64(0)
	for _, i := range order {
		if total+segs[i].Rows() > inTable {
			break
		}
		total += segs[i].Rows()
		small[i] = true
	}
	l.table = make([]entry, 0, total)
	for i, s := range segs {
		l.add(s, small[i])
		if !small[i] {
			continue
		}
		row := uint32(0)
		for c := s.Cursor(); ; row++ {
			r, ok, err := c.Next()
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			l.table = append(l.table, entry{prefixOf(&r.ID), at{uint32(i), row}})
		}
	}
	slices.SortFunc(l.table, entry.compare)
	l.bits[0] = newBits(int64(len(l.table)))
	return l, nil
}

func (l *lookup) add(s repo.IndexSegment, small bool) {
	l.segs = append(l.segs, s)
	l.inTab = append(l.inTab, small)
	if small {
		l.base = append(l.base, 0)
		return
	}
	l.large = append(l.large, len(l.segs)-1)
	l.base = append(l.base, len(l.bits))
	l.bits = append(l.bits, newBits(s.Rows()))
}

// extend appends segments that were published since. What is known of an id stays.
func (l *lookup) extend(now []repo.IndexSegment) {
	known := map[string]bool{}
	for _, s := range l.segs {
		known[s.Name] = true
	}
	for _, s := range now {
		if !known[s.Name] {
			l.add(s, false)
		}
	}
}

func newBits(n int64) []uint64 { return make([]uint64, (n+63)/64) }

// bit names the bit of an id.
type bit struct {
	set int
	n   int64
}

func (l *lookup) get(b bit) bool { return l.bits[b.set][b.n/64]>>(b.n%64)&1 != 0 }
func (l *lookup) put(b bit)      { l.bits[b.set][b.n/64] |= 1 << (b.n % 64) }

// find answers the bit of an id; ok is false if no segment has it.
func (l *lookup) find(id *seal.ID) (b bit, ok bool, err error) {
	prefix := prefixOf(id)
	for i := l.firstOf(prefix); i < len(l.table) && l.table[i].prefix == prefix; i++ {
		row, err := l.segs[l.table[i].seg].At(int64(l.table[i].row))
		if err != nil {
			return bit{}, false, err
		}
		if row.ID == *id {
			return bit{0, int64(i)}, true, nil
		}
	}
	for _, s := range l.large {
		n, ok, err := l.segs[s].Position(*id)
		if err != nil {
			return bit{}, false, err
		}
		if ok {
			return bit{l.base[s], n}, true, nil
		}
	}
	return bit{}, false, nil
}

// firstOf is the first entry with a prefix, or behind it.
func (l *lookup) firstOf(prefix uint64) int {
	return sort.Search(len(l.table), func(i int) bool { return l.table[i].prefix >= prefix })
}

// bitOf answers the bit of an id all of whose rows are known.
func (l *lookup) bitOf(id *seal.ID, rows []found) bit {
	least, inTab := at{}, false
	first := rows[0].at
	for i := range rows {
		r := rows[i].at
		if l.inTab[r.seg] && (!inTab || r.before(least)) {
			least, inTab = r, true
		}
		if r.before(first) {
			first = r
		}
	}
	if !inTab {
		return bit{l.base[first.seg], int64(first.row)}
	}
	e := entry{prefixOf(id), least}
	i, _ := slices.BinarySearchFunc(l.table, e, entry.compare)
	return bit{0, int64(i)}
}

func (a at) before(o at) bool { return a.seg < o.seg || (a.seg == o.seg && a.row < o.row) }

// rows appends all rows of an id to dst.
func (l *lookup) rows(dst []found, id *seal.ID) ([]found, error) {
	prefix := prefixOf(id)
	for i := l.firstOf(prefix); i < len(l.table) && l.table[i].prefix == prefix; i++ {
		e := l.table[i]
		row, err := l.segs[e.seg].At(int64(e.row))
		if err != nil {
			return dst, err
		}
		if row.ID == *id {
			dst = append(dst, found{e.at, row})
		}
	}
	for _, s := range l.large {
		some, err := l.segs[s].Find(nil, *id)
		if err != nil {
			return dst, err
		}
		for _, row := range some {
			dst = append(dst, found{at{seg: uint32(s)}, row})
		}
	}
	return dst, nil
}
