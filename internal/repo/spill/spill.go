// Package spill sorts more small records of one size than memory holds: sorted runs go to files
// in a scratch folder and are merged when they are read.
//
// It is not a store: the files have no names from the start where the system allows that, are
// gone with the process, and what is in them is encrypted under a key that only this process
// has. A Sorter belongs to one goroutine at a time.
package spill

import (
	"bufio"
	"bytes"
	"container/heap"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"keepward/internal/errs"
)

const (
	// defaultMemory is what is sorted at once, and what is kept without a scratch folder's help.
	defaultMemory = 32 << 20
	// readBuffer is what each run is read with: few large reads, and 30 MiB for a hundred runs.
	readBuffer = 256 << 10
)

// Sorter takes records and gives them back in the order of their bytes.
type Sorter struct {
	dir    string
	size   int
	memory int
	key    [16]byte

	buf   []byte
	runs  []*os.File
	count int64
}

// New makes a Sorter of records of size bytes; memory is how many bytes of them are kept
// (0: the default), dir where the others go. Without a folder all stay in memory. Close it.
func New(dir string, size, memory int) *Sorter {
	if memory <= 0 {
		memory = defaultMemory
	}
	s := &Sorter{dir: dir, size: size, memory: max(memory/size, 1) * size}
	_, _ = rand.Read(s.key[:]) // documented never to fail
	return s
}

// Len is how many records were added.
func (s *Sorter) Len() int64 { return s.count }

// Add takes a copy of a record.
func (s *Sorter) Add(record []byte) error {
	if len(s.buf) >= s.memory && s.dir != "" {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.buf = append(s.buf, record[:s.size]...)
	s.count++
	return nil
}

// flush makes a run of what is in memory.
func (s *Sorter) flush() (err error) {
	f, err := s.scratch()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errs.New(errs.KindOf(err), "scratch.write", "write scratch file in %s: %w", s.dir, err)
		}
	}()
	stream, err := s.stream(len(s.runs))
	s.runs = append(s.runs, f)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(&cipher.StreamWriter{S: stream, W: f}, readBuffer)
	for _, r := range s.records() {
		if _, err := out.Write(r); err != nil {
			return err
		}
	}
	s.buf = s.buf[:0]
	return out.Flush()
}

// records are those in memory, sorted.
func (s *Sorter) records() [][]byte {
	return slices.SortedFunc(slices.Chunk(s.buf, s.size), bytes.Compare)
}

// stream is the cipher of a run. Each run has a counter of its own.
func (s *Sorter) stream(run int) (cipher.Stream, error) {
	block, err := aes.NewCipher(s.key[:])
	if err != nil {
		return nil, fmt.Errorf("start AES: %w", err)
	}
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[:], uint64(run))
	return cipher.NewCTR(block, iv[:]), nil
}

// scratch makes a file that goes with the process.
func (s *Sorter) scratch() (*os.File, error) {
	f, err := os.CreateTemp(s.dir, "scratch-*")
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "scratch.write", "make scratch file in %s: %w", s.dir, err)
	}
	_ = os.Remove(f.Name()) // where an open file cannot be removed, Close does it
	return f, nil
}

// Merge answers a reader of all records in order. Nothing may be added any more.
func (s *Sorter) Merge() (*Reader, error) {
	records := s.records()
	r := &Reader{}
	if len(records) > 0 {
		r.push(&run{next: func() ([]byte, error) {
			if len(records) == 0 {
				return nil, io.EOF
			}
			first := records[0]
			records = records[1:]
			return first, nil
		}})
	}
	for i, f := range s.runs {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, errs.New(errs.KindOf(err), "scratch.read", "read scratch file in %s: %w", s.dir, err)
		}
		stream, err := s.stream(i)
		if err != nil {
			return nil, err
		}
		in := bufio.NewReaderSize(&cipher.StreamReader{S: stream, R: f}, readBuffer)
		buf := make([]byte, s.size)
		r.push(&run{next: func() ([]byte, error) {
			_, err := io.ReadFull(in, buf)
			return buf, err
		}})
	}
	return r, r.err
}

// Close removes the files.
func (s *Sorter) Close() {
	for _, f := range s.runs {
		_ = f.Close()
		_ = os.Remove(f.Name()) // usually gone already
	}
	s.runs, s.buf = nil, nil
}

// Reader gives sorted records.
type Reader struct {
	runs runHeap
	err  error
}

type run struct {
	next func() ([]byte, error)
	head []byte
}

// push adds a run that is not empty.
func (r *Reader) push(u *run) {
	head, err := u.next()
	switch {
	case errors.Is(err, io.EOF):
	case err != nil:
		r.err = errs.New(errs.KindOf(err), "scratch.read", "read scratch file: %w", err)
	default:
		u.head = head
		heap.Push(&r.runs, u)
	}
}

// Peek is the next record, or nil at the end or after an error. It is valid until Next.
func (r *Reader) Peek() []byte {
	if r.err != nil || len(r.runs) == 0 {
		return nil
	}
	return r.runs[0].head
}

// Next goes on to the next record.
func (r *Reader) Next() {
	if r.err != nil || len(r.runs) == 0 {
		return
	}
	u := r.runs[0]
	head, err := u.next()
	switch {
	case errors.Is(err, io.EOF):
		heap.Pop(&r.runs)
	case err != nil:
		r.err = errs.New(errs.KindOf(err), "scratch.read", "read scratch file: %w", err)
	default:
		u.head = head
		heap.Fix(&r.runs, 0)
	}
}

// Err is why there was no more.
func (r *Reader) Err() error { return r.err }

type runHeap []*run

func (h runHeap) Len() int           { return len(h) }
func (h runHeap) Less(i, j int) bool { return bytes.Compare(h[i].head, h[j].head) < 0 }
func (h runHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *runHeap) Push(x any) { *h = append(*h, x.(*run)) }

// Pop implements heap.Interface.
func (h *runHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
