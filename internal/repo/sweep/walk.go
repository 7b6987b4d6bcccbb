package sweep

import (
	"bytes"
	"context"

	"keepward/internal/repo"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// found is a row and where it stands.
type found struct {
	at
	segment.Row
}

// walk calls fn for every id of the segments, in order, with all its rows. It reads each
// segment once, side by side. rows are fn's until it returns.
func walk(ctx context.Context, segs []repo.IndexSegment, fn func(id *seal.ID, rows []found) error) error {
	h, err := newSources(segs)
	if err != nil {
		return err
	}
	var rows []found
	for n := 0; len(h) > 0; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		id := h[0].row.ID
		for rows = rows[:0]; len(h) > 0 && h[0].row.ID == id; {
			rows = append(rows, h[0].found())
			if h, err = h.next(); err != nil {
				return err
			}
		}
		if err := fn(&id, rows); err != nil {
			return err
		}
	}
	return nil
}

// source is a segment at one of its rows.
type source struct {
	cursor *segment.Cursor
	seg    uint32
	number uint32
	row    segment.Row
}

func (s *source) found() found { return found{at{s.seg, s.number}, s.row} }

// sources is a heap with the lowest id in front.
type sources []*source

func newSources(segs []repo.IndexSegment) (sources, error) {
	var h sources
	for i, s := range segs {
		src := &source{cursor: s.Cursor(), seg: uint32(i)}
		row, ok, err := src.cursor.Next()
		if err != nil {
			return nil, err
		}
		if ok {
			src.row = row
			h = append(h, src)
		}
	}
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	return h, nil
}

// next goes on by one row.
func (h sources) next() (sources, error) {
	s := h[0]
	row, ok, err := s.cursor.Next()
	if err != nil {
		return h, err
	}
	if ok {
		s.row = row
		s.number++
	} else {
		h[0] = h[len(h)-1]
		h = h[:len(h)-1]
	}
	h.down(0)
	return h, nil
}

func (h sources) down(i int) {
	for {
		least := 2*i + 1
		if least >= len(h) {
			return
		}
		if right := least + 1; right < len(h) && h.less(right, least) {
			least = right
		}
		if !h.less(least, i) {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

func (h sources) less(i, j int) bool { return bytes.Compare(h[i].row.ID[:], h[j].row.ID[:]) < 0 }
