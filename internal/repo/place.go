package repo

import (
	"cmp"

	"keepward/internal/repo/segment"
)

// LocationOf is what a row of a segment says.
func LocationOf(s *segment.Segment, row segment.Row) Location { return locate(s, row) }

// ComparePlace orders places by pack and offset: the order in which they are read fastest.
func (l Location) ComparePlace(o Location) int {
	return cmp.Or(l.PackKey().Compare(o.PackKey()), cmp.Compare(l.Offset, o.Offset))
}
