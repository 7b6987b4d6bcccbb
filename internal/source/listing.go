package source

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"

	"keepward/internal/repo/fileindex"
)

// listing is the content of one directory: names in order, and stats in batches, since a
// directory may have millions. Then the names are on disk, and in memory only those of the
// batches in work.
type listing struct {
	nameList
	batches []*statBatch
	huge    *hugeDir // nil: all names are in memory
	// overflow makes room when there are more names than most.
	overflow func() error
	most     int
	err      error // of overflow
}

// nameList is names in memory.
type nameList struct {
	names []byte // each ended by a zero byte
	refs  []nameRef
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
	list     *nameList // the names are in it
	base     int       // the number of its first
	stats    []Stat
	errs     []error // nil, or one for each file
	subs     []*node // the directories among them, in order
	state    taskState
}

// name is that of file i of the listing.
func (b *statBatch) name(i int) []byte { return b.list.name(i - b.base) }

func (b *statBatch) ref(i int) *nameRef { return &b.list.refs[i-b.base] }

func (l *listing) addName(name []byte, typ fileindex.Type) {
	if len(name) == 1 && name[0] == '.' || len(name) == 2 && name[0] == '.' && name[1] == '.' {
		return
	}
	l.add(name, typ)
	if l.overflow != nil && len(l.refs) >= l.most && l.err == nil {
		l.err = l.overflow()
	}
}

func (l *nameList) add(name []byte, typ fileindex.Type) {
	var head [8]byte
	copy(head[:], name)
	l.refs = append(l.refs, nameRef{head: binary.BigEndian.Uint64(head[:]), offset: uint32(len(l.names)), length: uint16(len(name)), typ: typ})
	l.names = append(append(l.names, name...), 0)
}

func (l *nameList) name(i int) []byte {
	r := &l.refs[i]
	return l.names[r.offset : r.offset+uint32(r.length) : r.offset+uint32(r.length)]
}

func (l *nameList) sort() {
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

func (l *nameList) bytes(r nameRef) []byte { return l.names[r.offset : r.offset+uint32(r.length)] }

// keep drops the names that fn refuses and answers how many.
func (l *nameList) keep(fn func(name []byte, r *nameRef) bool) int {
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
		l.batches = append(l.batches, &statBatch{from: from, to: min(from+batchSize, len(l.refs)), list: &l.nameList})
	}
}

var listings = sync.Pool{New: func() any { return new(listing) }}

func newListing() *listing { return listings.Get().(*listing) }

// free gives a listing's memory back. A huge one goes to the collector.
func (l *listing) free() {
	if l.huge != nil {
		l.huge.close()
		return
	}
	if cap(l.refs) > 1<<14 || cap(l.names) > 1<<19 {
		return
	}
	*l = listing{nameList: nameList{names: l.names[:0], refs: l.refs[:0]}, batches: l.batches[:0]}
	listings.Put(l)
}
