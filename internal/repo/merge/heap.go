package merge

import (
	"bytes"

	"keepward/internal/repo"
	"keepward/internal/repo/segment"
)

// source is a part at one of its rows.
type source struct {
	cursor *segment.Cursor
	part   int
	packs  []uint32 // position of the part's packs in the joined table
	row    segment.Row
}

// heap keeps the sources with the one of the lowest id in front.
type heap []*source

func newHeap(group []repo.IndexSegment, t *table) (heap, error) {
	h := make(heap, 0, len(group))
	for i, s := range group {
		src := &source{cursor: s.Cursor(), part: i, packs: t.of[i]}
		ok, err := src.next()
		if err != nil {
			return nil, err
		}
		if ok {
			h = append(h, src)
		}
	}
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	return h, nil
}

func (s *source) next() (ok bool, err error) {
	s.row, ok, err = s.cursor.Next()
	if err != nil {
		return false, &unreadable{s.part, err}
	}
	if ok {
		s.row.Pack = s.packs[s.row.Pack]
	}
	return ok, nil
}

func (h heap) less(i, j int) bool { return bytes.Compare(h[i].row.ID[:], h[j].row.ID[:]) < 0 }

func (h heap) down(i int) {
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

// group appends all rows of the lowest id to dst; none at the end.
func (h *heap) group(dst []segment.Row) ([]segment.Row, error) {
	for len(*h) > 0 {
		s := (*h)[0]
		if len(dst) > 0 && s.row.ID != dst[0].ID {
			return dst, nil
		}
		dst = append(dst, s.row)
		ok, err := s.next()
		if err != nil {
			return dst, err
		}
		if !ok {
			last := len(*h) - 1
			(*h)[0] = (*h)[last]
			*h = (*h)[:last]
		}
		h.down(0)
	}
	return dst, nil
}
