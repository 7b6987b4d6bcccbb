// Package extsort sorts byte strings, any number of them, in bounded memory: what does not
// fit is written to a file in sorted runs, which are merged.
//
// It is not for anything that has to survive the process. A Sorter belongs to one goroutine.
package extsort

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

const (
	// readBuffer is for each run that is merged: large enough that a disk reads on, small
	// enough for a thousand of them.
	readBuffer = 16 << 10
	// refSize is what a record costs beside its bytes.
	refSize = 16
)

// Sorter takes records and gives them back in the order of their bytes, equal ones as often
// as they came.
type Sorter struct {
	dir   string
	limit int

	bytes []byte
	refs  []ref
	file  *os.File // nil: all is in memory
	runs  []run
}

// ref is a record in memory. head is its first eight bytes: most comparisons look no further.
type ref struct {
	head        uint64
	offset, len uint32
}

// run is a sorted part of the file.
type run struct{ start, end int64 }

// New makes a Sorter that keeps about limit bytes in memory, at most 1 GiB, and the rest in a
// file in dir, which is gone when the Sorter is closed. Empty: the system's directory for
// temporary files.
func New(dir string, limit int) *Sorter {
	return &Sorter{dir: dir, limit: min(limit, 1<<30)}
}

// Add takes a copy of a record.
func (s *Sorter) Add(rec []byte) error {
	if len(s.refs) > 0 && len(s.bytes)+len(rec)+refSize*(len(s.refs)+1) > s.limit {
		if err := s.flush(); err != nil {
			return err
		}
	}
	var head [8]byte
	copy(head[:], rec)
	s.refs = append(s.refs, ref{binary.BigEndian.Uint64(head[:]), uint32(len(s.bytes)), uint32(len(rec))})
	s.bytes = append(s.bytes, rec...)
	return nil
}

func (s *Sorter) at(r ref) []byte { return s.bytes[r.offset : r.offset+r.len] }

func (s *Sorter) sort() {
	slices.SortFunc(s.refs, func(a, b ref) int {
		switch {
		case a.head < b.head:
			return -1
		case a.head > b.head:
			return 1
		}
		return bytes.Compare(s.at(a), s.at(b))
	})
}

// flush writes what is in memory as a run.
func (s *Sorter) flush() error {
	if s.file == nil {
		var err error
		if s.file, err = os.CreateTemp(s.dir, "keepward-sort-*"); err != nil {
			return fmt.Errorf("sort on disk: %w", err)
		}
		// Gone with the process, where the system can do that; Close removes it elsewhere.
		_ = os.Remove(s.file.Name())
	}
	s.sort()
	r := run{}
	if n := len(s.runs); n > 0 {
		r.start = s.runs[n-1].end
	}
	w := bufio.NewWriterSize(s.file, 256<<10)
	r.end = r.start
	var length []byte
	for _, ref := range s.refs {
		length = binary.AppendUvarint(length[:0], uint64(ref.len))
		_, _ = w.Write(length) // Flush tells
		_, _ = w.Write(s.at(ref))
		r.end += int64(len(length)) + int64(ref.len)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("sort on disk: %w", err)
	}
	s.runs = append(s.runs, r)
	s.bytes, s.refs = s.bytes[:0], s.refs[:0]
	return nil
}

// Each calls fn for every record in order; fn must not keep it. Nothing may be added any
// more; Each may be called again.
func (s *Sorter) Each(fn func(rec []byte) error) error {
	if s.file == nil {
		s.sort()
		for _, r := range s.refs {
			if err := fn(s.at(r)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(s.refs) > 0 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.bytes, s.refs = nil, nil
	return s.merge(fn)
}

func (s *Sorter) merge(fn func(rec []byte) error) error {
	var h heads
	for _, r := range s.runs {
		c := &cursor{in: bufio.NewReaderSize(io.NewSectionReader(s.file, r.start, r.end-r.start), readBuffer)}
		if err := c.next(); err != nil { // no run is empty
			return err
		}
		h = append(h, c)
	}
	heap.Init(&h)
	for len(h) > 0 {
		c := h[0]
		if err := fn(c.rec); err != nil {
			return err
		}
		switch err := c.next(); {
		case errors.Is(err, io.EOF):
			heap.Pop(&h)
		case err != nil:
			return err
		default:
			heap.Fix(&h, 0)
		}
	}
	return nil
}

// Close gives everything back.
func (s *Sorter) Close() {
	if s.file != nil {
		_ = s.file.Close() // nobody wants what is in it
		_ = os.Remove(s.file.Name())
	}
	*s = Sorter{}
}

// cursor reads a run.
type cursor struct {
	in  *bufio.Reader
	rec []byte
}

func (c *cursor) next() error {
	n, err := binary.ReadUvarint(c.in)
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if err == nil {
		c.rec = slices.Grow(c.rec[:0], int(n))[:n]
		_, err = io.ReadFull(c.in, c.rec)
	}
	if err != nil {
		return fmt.Errorf("sort on disk: read back: %w", err)
	}
	return nil
}

// heads are the runs, that with the smallest record on top.
type heads []*cursor

func (h heads) Len() int           { return len(h) }
func (h heads) Less(i, j int) bool { return bytes.Compare(h[i].rec, h[j].rec) < 0 }
func (h heads) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(x any)        { *h = append(*h, x.(*cursor)) }
func (h *heads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
