package source

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"

	"keepward/internal/repo/fileindex"
)

// listing is the content of one directory: names in order, and stats in batches, since a
// directory may have millions.
type listing struct {
	names   []byte // each ended by a zero byte
	refs    []nameRef
	batches []*statBatch
}

// nameRef is a name in a listing. head is its first eight bytes, so that most comparisons look
// no further.
type nameRef struct {
	head   uint64
	offset uint32
	length uint16
	typ    fileindex.Type // Dir; 0: not known; else no directory
}

// batchSize is how many files are statted as one piece of work: enough to make handing it
// over cheap, few enough to keep all cores busy in one directory.
const batchSize = 256

// statBatch is some files of a listing, in order.
type statBatch struct {
	from, to int
	stats    []Stat
	errs     []error // nil, or one for each file
	subs     []*node // the directories among them, in order
	state    taskState
}

func (l *listing) addName(name []byte, typ fileindex.Type) {
	if len(name) == 1 && name[0] == '.' || len(name) == 2 && name[0] == '.' && name[1] == '.' {
		return
	}
	var head [8]byte
	copy(head[:], name)
	l.refs = append(l.refs, nameRef{head: binary.BigEndian.Uint64(head[:]), offset: uint32(len(l.names)), length: uint16(len(name)), typ: typ})
	l.names = append(append(l.names, name...), 0)
}

func (l *listing) name(i int) []byte {
	r := &l.refs[i]
	return l.names[r.offset : r.offset+uint32(r.length) : r.offset+uint32(r.length)]
}

func (l *listing) sort() {
	slices.SortFunc(l.refs, func(a, b nameRef) int {
		switch {
		case a.head < b.head:
			return -1
		case a.head > b.head:
			return 1
		}
		return bytes.Compare(l.bytes(a), l.bytes(b))
	})
	// A directory that changes while it is listed may give a name twice.
	l.refs = slices.CompactFunc(l.refs, func(a, b nameRef) bool {
		return a.head == b.head && bytes.Equal(l.bytes(a), l.bytes(b))
	})
}

func (l *listing) bytes(r nameRef) []byte { return l.names[r.offset : r.offset+uint32(r.length)] }

// keep drops the names that fn refuses and answers how many.
func (l *listing) keep(fn func(name []byte, r *nameRef) bool) int {
	kept := l.refs[:0]
	for i := range l.refs {
		if fn(l.name(i), &l.refs[i]) {
			kept = append(kept, l.refs[i])
		}
	}
	dropped := len(l.refs) - len(kept)
	l.refs = kept
	return dropped
}

// cut makes the batches.
func (l *listing) cut() {
	for from := 0; from < len(l.refs); from += batchSize {
		l.batches = append(l.batches, &statBatch{from: from, to: min(from+batchSize, len(l.refs))})
	}
}

var listings = sync.Pool{New: func() any { return new(listing) }}

func newListing() *listing { return listings.Get().(*listing) }

// free gives a listing's memory back. A huge one goes to the collector.
func (l *listing) free() {
	if cap(l.refs) > 1<<14 || cap(l.names) > 1<<19 {
		return
	}
	*l = listing{names: l.names[:0], refs: l.refs[:0], batches: l.batches[:0]}
	listings.Put(l)
}
