package pipeline

import (
	"sync"

	"keepward/internal/repo/fileindex"
	"keepward/internal/source"
)

// group is some entries that follow each other in the order of the index. The sequencer fills
// it, workers complete the entries they were given, and when all is done the index builder
// takes it.
type group struct {
	seq     int64             // from 1 on, in the order of the index
	entries []fileindex.Entry // one whose Type is 0 was lost on the way
	paths   []byte            // the entries' paths
	extents []fileindex.Extent
	// pending are the entries that workers have still to complete.
	pending sync.WaitGroup
	// kept are ranges of the parent's tree between the entries.
	kept []kept
	// reused are entries taken over, with the bytes of their files.
	reused, reusedBytes int64
	// rest, where it is set, is closed when the group and all before it are complete.
	rest chan struct{}
}

// kept is a range of the parent's tree that stands before entry number at of a group.
type kept struct {
	at     int
	within fileindex.Range
}

// groupSize is small enough that a window of many groups is finely grained, and large enough
// that handing one over costs nothing per entry.
const groupSize = 256

// window is how many groups may be under way: 32 Ki entries, about 16 MiB.
const window = 128

var groupPool = sync.Pool{New: func() any {
	return &group{entries: make([]fileindex.Entry, 0, groupSize), paths: make([]byte, 0, 64*groupSize)}
}}

func newGroup() *group { return groupPool.Get().(*group) }

// free gives the memory of a group back that nobody looks at any more.
func (g *group) free() {
	clear(g.entries)
	g.entries, g.paths, g.extents = g.entries[:0], g.paths[:0], g.extents[:0]
	clear(g.kept)
	g.kept, g.reused, g.reusedBytes = g.kept[:0], 0, 0
	if g.rest != nil {
		close(g.rest)
		g.rest = nil
	}
	groupPool.Put(g)
}

func (g *group) full() bool { return len(g.entries) == cap(g.entries) || len(g.kept) >= groupSize }

// add appends an entry with a copy of path.
func (g *group) add(path []byte) *fileindex.Entry {
	// A path never moves: when the room is used up, new room is taken and the old one stays
	// for those who point there.
	if len(g.paths)+len(path) > cap(g.paths) {
		g.paths = make([]byte, 0, max(cap(g.paths), 2*len(path)))
	}
	start := len(g.paths)
	g.paths = append(g.paths, path...)
	g.entries = g.entries[:len(g.entries)+1]
	e := &g.entries[len(g.entries)-1]
	e.Path = g.paths[start:len(g.paths):len(g.paths)]
	return e
}

// keepExtents copies extents to where they live as long as the group.
func (g *group) keepExtents(xs []fileindex.Extent) []fileindex.Extent {
	if len(xs) == 0 {
		return nil
	}
	if len(g.extents)+len(xs) > cap(g.extents) {
		g.extents = make([]fileindex.Extent, 0, max(groupSize, len(xs)))
	}
	start := len(g.extents)
	g.extents = append(g.extents, xs...)
	return g.extents[start:len(g.extents):len(g.extents)]
}

// fill sets what a stat tells.
func fill(e *fileindex.Entry, st *source.Stat) {
	e.Type, e.Mode = st.Type, st.Mode
	e.UID, e.GID = uint64(st.UID), uint64(st.GID)
	e.Size = 0
	if st.Type == fileindex.File {
		e.Size = st.Size
	}
	e.MTime, e.CTime, e.BTime = st.MTime, st.CTime, st.BTime
	e.Inode, e.Device, e.Links, e.RDev = st.Inode, st.Device, st.Links, st.RDev
}

// unit is work for one worker: files whose contents share a bundle, with the other entries
// between them, or one large file.
type unit struct {
	items []work
	bytes int // of the small files
	files int
	need  int // bytes of memory it begins with
	// device is where its first file lies.
	device uint64
	large  bool
	// streams: its items are streams, which are read one after the other.
	streams bool

	of *underway // whose lock guards what follows
	// reading: it is a large file that is being read and answers for checkpoints, up to number
	// answered; begun is its last answer.
	reading  bool
	answered int64
	begun    *fileindex.Entry
	finished bool // all its entries are complete
}

// complete lets those go on who wait for the unit's entries. After a failure of the whole it
// is called without the entries being so.
func (u *unit) complete() {
	for i := range u.items {
		u.items[i].g.pending.Done()
	}
}

// work is one entry to complete.
type work struct {
	g   *group
	seq int64 // of g, which is used again once it is in the tree
	e   *fileindex.Entry
	dir *source.Dir // where the file lies; a directory: itself
	// old is the base's entry of a large file that has changed in place; nil: there is none.
	old *fileindex.Entry
	// begun is the checkpoint's entry of a large file of which an attempt before has read a
	// part; nil: there is none.
	begun *fileindex.Entry
	// right is the base's entry of a file that did not change and is bundled anew; nil: it
	// did, or is new.
	right *fileindex.Entry
	// stream is where the bytes come from; nil: from the file.
	stream *Stream
}

func (w *work) name() []byte {
	p := w.e.Path
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] == '/' {
			return p[i+1:]
		}
	}
	return p
}
