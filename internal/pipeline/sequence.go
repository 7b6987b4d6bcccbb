package pipeline

import (
	"context"
	"sync/atomic"
	"time"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
	"keepward/internal/source"
)

const (
	// unitItems bounds the entries of a unit, so that tiny files are spread over workers too.
	unitItems = 4096
)

// sequencer takes files in the order of the index, decides what has to be read, and hands
// units to the workers and groups to the builder. It belongs to one goroutine.
type sequencer struct {
	pool   *pool
	count  *Counters
	hasher *seal.Hasher
	owners *owners
	base   *base
	// ahead is what a checkpoint has of files behind its last one.
	ahead []*base
	// underway takes the units; added is the last group in the tree.
	underway *underway
	added    *atomic.Int64
	// renewal has files bundled anew that did not change.
	renewal *renewal
	// compared: there is something to compare with, so that new and changed are counted.
	compared bool
	// comparison notes what differs; nil: nobody wants to know.
	comparison *comparison
	begun      time.Time // before the first file was statted
	out        chan *group

	seat  *seat
	early *early

	group *group
	// kept is a range of the base that is taken over behind the group; nil: none. passedAt is how
	// many entries of the base had been passed then.
	kept     *fileindex.Range
	passedAt int64
	seq      int64 // of the last group
	unit     *unit
	key      []byte
	// doubted is an entry of the base that was matched with a file that is met again.
	doubted    *fileindex.Entry
	doubtedKey []byte
}

// seen is a file as it was met: where, and what the file system says of it.
type seen struct {
	path, key []byte
	st        *source.Stat
	state     fileindex.State
	dir       *source.Dir // where it lies; a directory: itself
	unsure    bool        // its times prove nothing
	inode     bool        // it has several names; key is that of its inode
}

// add takes one file; old is the base's entry, nil if it has none.
func (s *sequencer) add(ctx context.Context, f *seen, old *fileindex.Entry) error {
	begun, err := s.read(ctx, f.key)
	if err != nil {
		return err
	}
	if old != nil && old.Type == fileindex.Link && s.base.lost != nil {
		if err := s.base.lost(old); err != nil {
			return err
		}
	}
	st, state := f.st, f.state
	fromBase := true
	if begun != nil && begun.State&fileindex.Incomplete == 0 {
		old, begun, fromBase = begun, nil, false
	}
	same := old != nil && !f.unsure && unchanged(old, st, state)
	if same && fromBase && st.Type == fileindex.Dir && s.base.strict {
		// It is on the way to what changed.
		return s.keepAlone(ctx, f.key)
	}
	if !f.inode {
		s.comparison.met(f, old)
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	g := s.group
	e := g.add(f.path)
	anew := same && s.renewal.wants(old)
	switch {
	case !same && st.Type == fileindex.File && s.early.wished():
		s.early.leaveOut()
		e.Type = 0
	case same && !anew:
		s.reuse(e, old)
		e.User, e.Group = s.owners.user(e.UID), s.owners.group(e.GID)
	default:
		fill(e, st)
		e.User, e.Group = s.owners.user(e.UID), s.owners.group(e.GID)
		e.State = state
		if e.Type != fileindex.File {
			e.State |= racy(st, f.dir.Seen(s.begun))
		}
		if !anew {
			s.novel(old)
			s.renewal.sees(e)
		}
		if err := s.schedule(e, old, begun, st, f.dir, anew); err != nil {
			return err
		}
	}
	if g.full() {
		return s.closeGroup(ctx)
	}
	return nil
}

// read answers what a checkpoint has of a file behind its last one; nil: nothing.
func (s *sequencer) read(ctx context.Context, key []byte) (*fileindex.Entry, error) {
	for _, b := range s.ahead {
		if e, err := b.match(ctx, key); e != nil || err != nil {
			return e, err
		}
	}
	return nil, nil
}

// open makes room for an entry, behind what is kept.
func (s *sequencer) open(ctx context.Context) error {
	if s.kept != nil {
		if err := s.closeKept(ctx); err != nil {
			return err
		}
	}
	s.openGroup()
	return nil
}

func (s *sequencer) openGroup() {
	if s.group == nil {
		s.seq++
		s.group = newGroup()
		s.group.seq = s.seq
	}
}

// link takes one of several names of a file; what it is goes to the inode table.
func (s *sequencer) link(ctx context.Context, f *seen, old *fileindex.Entry) error {
	st := f.st
	stays := old != nil && old.Type == fileindex.Link && old.Inode == st.Inode && old.Device == st.Device
	if old != nil && old.Type == fileindex.Link && !stays && s.base.lost != nil {
		if err := s.base.lost(old); err != nil {
			return err
		}
	}
	s.comparison.link(f, stays)
	if err := s.open(ctx); err != nil {
		return err
	}
	e := s.group.add(f.path)
	e.Type, e.Inode, e.Device = fileindex.Link, st.Inode, st.Device
	if !stays {
		s.novel(old)
	} else {
		s.group.reused++
	}
	if s.group.full() {
		return s.closeGroup(ctx)
	}
	return nil
}

func (s *sequencer) novel(old *fileindex.Entry) {
	switch {
	case old != nil:
		s.count.changedFiles.Add(1)
	case s.compared:
		s.count.newFiles.Add(1)
	}
}

// reuse takes over an entry of the base with all it refers to.
func (s *sequencer) reuse(e, old *fileindex.Entry) {
	path := e.Path
	*e = *old
	e.Path = path
	e.Extents = s.group.keepExtents(old.Extents)
	if len(old.Xattrs) > 0 {
		e.Xattrs = append([]fileindex.Xattr(nil), old.Xattrs...)
	} else {
		e.Xattrs = nil
	}
	s.group.reused++
	if e.Type == fileindex.File {
		s.group.reusedBytes += e.Size
	}
}

// schedule puts an entry into a unit; old is the base's, nil if it has none, and still right if
// the file is only bundled anew. begun is what a checkpoint has of its beginning.
func (s *sequencer) schedule(e, old, begun *fileindex.Entry, st *source.Stat, dir *source.Dir, anew bool) error {
	s.group.pending.Add(1)
	it := work{g: s.group, seq: s.group.seq, e: e, dir: dir}
	if anew {
		it.right = old.Clone() // the base goes on to the next
	}
	if e.Type == fileindex.File && st.Size >= seal.SmallFile {
		if old != nil && old.Type == fileindex.File && old.Signature != nil {
			it.old = old.Clone() // the base goes on to the next
		}
		if begun != nil {
			it.begun = begun.Clone()
		}
		return s.submit(&unit{items: []work{it}, large: true, need: int(min(st.Size, maxBuffer)), device: st.Device})
	}
	size := 0
	if e.Type == fileindex.File {
		size = int(st.Size)
	}
	if s.unit != nil && s.unit.bytes+size > seal.BundleMax {
		if err := s.closeUnit(); err != nil {
			return err
		}
	}
	if s.unit == nil {
		s.unit = &unit{items: make([]work, 0, 64), device: st.Device}
	}
	u := s.unit
	u.items = append(u.items, it)
	u.bytes += size
	if e.Type == fileindex.File {
		u.files++
	}
	if len(u.items) >= unitItems || u.bytes >= seal.BundleMin && s.hasher.Border(it.name())%seal.BundleOdds == 0 {
		return s.closeUnit()
	}
	return nil
}

func (s *sequencer) closeUnit() error {
	u := s.unit
	s.unit = nil
	if u == nil {
		return nil
	}
	// Room for the header, and for one byte that shows whether the last file grows.
	u.need = seal.BundleHeaderLen(u.files) + u.bytes + 1
	return s.submit(u)
}

func (s *sequencer) submit(u *unit) error {
	defer s.seat.during(atRest)()
	s.underway.begin(u, s.added.Load())
	return s.pool.submit(u)
}

// closeGroup hands the group to the builder. When the window is full the open unit goes out
// first: what the builder waits for may be in it.
func (s *sequencer) closeGroup(ctx context.Context) error {
	g := s.group
	s.group = nil
	if g == nil {
		return nil
	}
	last := ""
	if n := len(g.entries); n > 0 {
		last = string(g.entries[n-1].Path)
	} else {
		last = string(fileindex.KeyPath(g.kept[len(g.kept)-1].within.From))
	}
	s.count.current.Store(&last)
	select {
	case s.out <- g:
		return nil
	default:
	}
	if err := s.closeUnit(); err != nil {
		return err
	}
	s.seat.be(atRest)
	defer s.seat.be(atCPU)
	select {
	case s.out <- g:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// finish hands out all that is open.
func (s *sequencer) finish(ctx context.Context) error {
	if err := s.closeUnit(); err != nil {
		return err
	}
	if s.kept != nil {
		if err := s.closeKept(ctx); err != nil {
			return err
		}
	}
	return s.closeGroup(ctx)
}
