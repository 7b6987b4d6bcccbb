package segment

import (
	"bytes"
	"fmt"

	"keepward/internal/repo/seal"
)

// Together reads several segments side by side, in the order of ids. It belongs to one goroutine.
type Together struct{ heap []*part } // the lowest id in front

// part is a segment at one of its rows.
type part struct {
	cursor *Cursor
	at     int    // of the segments that are read
	number uint32 // of the row
	row    Row
}

// PartError is a segment that turned out damaged.
type PartError struct {
	Part int // its position
	Err  error
}

func (e *PartError) Error() string { return fmt.Sprintf("read part %d: %v", e.Part, e.Err) }
func (e *PartError) Unwrap() error { return e.Err }

// ReadTogether begins before the lowest id. Its error, as all others, is a PartError.
func ReadTogether(segs []*Segment) (*Together, error) {
	t := &Together{}
	for i, s := range segs {
		p := &part{cursor: s.Cursor(), at: i}
		var ok bool
		var err error
		if p.row, ok, err = p.cursor.Next(); err != nil {
			return nil, &PartError{i, err}
		}
		if ok {
			t.heap = append(t.heap, p)
		}
	}
	for i := len(t.heap)/2 - 1; i >= 0; i-- {
		t.down(i)
	}
	return t, nil
}

// Next calls take with every row of the next id: the position of its segment, the row's number
// there, and the row, which may be changed and holds until take returns. ok is false behind the
// last id.
func (t *Together) Next(take func(part int, number uint32, row *Row)) (id seal.ID, ok bool, err error) {
	if len(t.heap) == 0 {
		return id, false, nil
	}
	id = t.heap[0].row.ID
	for len(t.heap) > 0 && t.heap[0].row.ID == id {
		p := t.heap[0]
		take(p.at, p.number, &p.row)
		p.number++
		more := false
		if p.row, more, err = p.cursor.Next(); err != nil {
			return id, false, &PartError{p.at, err}
		}
		if !more {
			last := len(t.heap) - 1
			t.heap[0] = t.heap[last]
			t.heap = t.heap[:last]
		}
		t.down(0)
	}
	return id, true, nil
}

func (t *Together) down(i int) {
	h := t.heap
	for {
		least := 2*i + 1
		if least >= len(h) {
			return
		}
		if right := least + 1; right < len(h) && h[right].less(h[least]) {
			least = right
		}
		if !h[least].less(h[i]) {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

func (p *part) less(o *part) bool { return bytes.Compare(p.row.ID[:], o.row.ID[:]) < 0 }
