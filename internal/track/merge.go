package track

import (
	"errors"
	"io"

	"keepward/internal/changes"
	"keepward/internal/repo/fileindex"
	"keepward/internal/source"
)

// row is one of the rows of changes that are merged, in the order of the index.
type row struct {
	next func() (source.Change, error)
	head source.Change
	have bool
	over bool
}

// merged is several rows as one. There are as many as volumes with trackers, so that looking at
// the head of each costs less than an order among them.
type merged struct{ rows []*row }

// Next answers the next change of all; those at one path are one.
func (m *merged) Next() (source.Change, error) {
	var least *row
	for _, r := range m.rows {
		if err := r.fill(); err != nil {
			return source.Change{}, err
		}
		if r.have && (least == nil || fileindex.ComparePaths(r.head.Path, least.head.Path) < 0) {
			least = r
		}
	}
	if least == nil {
		return source.Change{}, io.EOF
	}
	out := least.head
	for _, r := range m.rows {
		if r.have && fileindex.ComparePaths(r.head.Path, out.Path) == 0 {
			out.Listing = out.Listing || r.head.Listing
			out.Subtree = out.Subtree || r.head.Subtree
			out.Unsure = out.Unsure || r.head.Unsure
			r.have = false
		}
	}
	return out, nil
}

func (r *row) fill() error {
	if r.have || r.over {
		return nil
	}
	var err error
	r.head, err = r.next()
	if errors.Is(err, io.EOF) {
		r.over = true
		return nil
	}
	r.have = err == nil
	return err
}

// ofSet is the row of a volume.
func ofSet(s *changes.Set) *row {
	c := s.Cursor()
	return &row{next: func() (source.Change, error) {
		ch, err := c.Next()
		if err != nil {
			return source.Change{}, err
		}
		return source.Change{
			Path: ch.Path, Listing: ch.What&changes.Listing != 0, Subtree: ch.What&(changes.Subtree|changes.Replaced) != 0, Unsure: ch.What&changes.Open != 0,
		}, nil
	}}
}

// ofList is a row of which all is known, in order.
func ofList(list []source.Change) *row {
	return &row{next: func() (source.Change, error) {
		if len(list) == 0 {
			return source.Change{}, io.EOF
		}
		c := list[0]
		list = list[1:]
		return c, nil
	}}
}
