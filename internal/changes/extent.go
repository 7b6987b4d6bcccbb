package changes

import (
	"math"
	"slices"
)

// Extent is a range of bytes of a file.
type Extent struct{ Offset, Length int64 }

func (e Extent) end() int64 {
	if e.Length > math.MaxInt64-e.Offset {
		return math.MaxInt64
	}
	return e.Offset + e.Length
}

// maxExtents is how many extents of one file are kept apart: enough for a database whose
// pages change at random between two backups of a gigabyte, and 64 KiB of memory. Behind it
// near ones are joined.
const maxExtents = 4096

// normal sorts extents and joins those that touch, in place.
func normal(es []Extent) []Extent {
	if len(es) < 2 {
		return es
	}
	slices.SortFunc(es, func(a, b Extent) int {
		if a.Offset < b.Offset {
			return -1
		}
		if a.Offset > b.Offset {
			return 1
		}
		return 0
	})
	return joinNear(es, 0)
}

// joinNear joins sorted extents that lie at most gap apart.
func joinNear(es []Extent, gap int64) []Extent {
	out := es[:1]
	for _, e := range es[1:] {
		last := &out[len(out)-1]
		if last.end() == math.MaxInt64 || e.Offset-last.end() <= gap {
			last.Length = max(last.end(), e.end()) - last.Offset
			continue
		}
		out = append(out, e)
	}
	return out
}

// addExtent adds e to es, which it may leave unsorted, and bounds their number.
func addExtent(es []Extent, e Extent) []Extent {
	if n := len(es); n > 0 {
		// Most come in order, and touching.
		if last := &es[n-1]; e.Offset >= last.Offset && e.Offset <= last.end() {
			last.Length = max(last.end(), e.end()) - last.Offset
			return es
		}
	}
	es = append(es, e)
	if len(es) > maxExtents {
		es = fewer(es)
	}
	return es
}

// fewer joins near extents until at most half of maxExtents are left.
func fewer(es []Extent) []Extent {
	es = normal(es)
	for gap := int64(64 << 10); len(es) > maxExtents/2; gap *= 4 {
		if gap > math.MaxInt64/8 {
			return append(es[:0], Extent{0, math.MaxInt64})
		}
		es = joinNear(es, gap)
	}
	return es
}
