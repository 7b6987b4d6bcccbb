//go:build unix

package restore

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"keepward/internal/repo/fileindex"
)

// big is a file that is written in several pieces, by several workers at once, under a
// temporary name.
type big struct {
	it     *item
	ranges []span // where it is allocated
	// patch: what is there is changed in place.
	patch bool
	dirty atomic.Bool  // patch: something was changed
	same  atomic.Int64 // patch: bytes that were right

	pending atomic.Int64 // pieces not yet written, and one for the planner

	mu   sync.Mutex // guards what is below; held while the file is made, so that one worker does
	fd   int
	name string
	made bool
	err  error // the first
	gone bool  // the restore was stopped
}

// span is a range of a file.
type span struct{ at, len int64 }

// Ranges below this are not preallocated: writing them allocates them at once.
const preallocateFrom = 1 << 20

// zeros is what allocated zeros are written from; they are written, since blocks that are
// only reserved would read as a hole.
var zeros [1 << 20]byte

// maxZeros bounds one piece of zeros, so that others get their turn.
const maxZeros = 16 << 20

func (b *big) open() (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.made || b.err != nil {
		return b.fd, b.err
	}
	b.fd, b.name, b.err = b.it.create()
	if b.err != nil {
		return -1, b.err
	}
	b.made = true
	prepareFlags(b.fd, b.it.flags)
	for _, s := range b.ranges {
		if b.err == nil && s.len >= preallocateFrom {
			b.err = wrap("reserve space", preallocate(b.fd, s.at, s.len))
		}
	}
	return b.fd, b.err
}

func (b *big) note(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
}

// piece writes one piece, and the end of the file with the last.
func (b *big) piece(j *job, s *unpacked, err error) {
	defer b.done()
	fd := -1
	if err == nil {
		fd, err = b.open()
	}
	if err != nil {
		b.note(err)
		return
	}
	if !stored(&j.x) {
		if b.patch {
			b.note(b.patchEmpty(j))
		} else {
			b.note(writeZeros(fd, j.at, j.x.Len))
		}
		return
	}
	content, err := s.extent(&j.x)
	switch {
	case err != nil:
	case b.patch:
		err = b.patchPiece(j, content)
	default:
		err = wrap("write", pwriteAll(fd, content, j.at))
		b.it.dir.r.flusher.wrote(int64(len(content)))
	}
	b.note(err)
}

func stored(x *fileindex.Extent) bool {
	return x.Kind == fileindex.InChunk || x.Kind == fileindex.InBundle
}

func writeZeros(fd int, at, length int64) error {
	for length > 0 {
		n := min(length, int64(len(zeros)))
		if err := pwriteAll(fd, zeros[:n], at); err != nil {
			return wrap("write zeros", err)
		}
		at, length = at+n, length-n
	}
	return nil
}

func (b *big) drop() {
	b.mu.Lock()
	b.gone = true
	b.mu.Unlock()
	b.done()
}

// done lets go of a piece; the last one completes the file.
func (b *big) done() {
	if b.pending.Add(-1) > 0 {
		return
	}
	if b.gone || b.err != nil {
		if b.made {
			_ = closeFD(b.fd)
			if !b.patch { // what was there stays, half changed: its time tells
				_ = clearTemp(b.it.dir.fd, b.name)
			}
		}
		if b.gone {
			b.it.drop()
			return
		}
		b.it.fail(b.err)
		return
	}
	if b.patch {
		b.patched()
		return
	}
	// The last piece may be a hole.
	if err := retry(func() error { return unix.Ftruncate(b.fd, b.it.size) }); err != nil {
		_ = closeFD(b.fd)
		_ = clearTemp(b.it.dir.fd, b.name)
		b.it.fail(wrap("set size", err))
		return
	}
	if err := b.it.complete(b.fd, b.name); err != nil {
		b.it.fail(err)
		return
	}
	b.it.done(true)
}
