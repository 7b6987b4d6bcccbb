package source

import (
	"errors"
	"io/fs"
	"syscall"

	"keepward/internal/repo/fileindex"
)

// node is a directory of a walk: what is known before it is listed, and then what the listing
// found.
type node struct {
	dir    *Dir
	branch *branch // include paths at or below it; nil: none
	active bool    // it lies in what is included
	device uint64  // of the file system to keep to
	above  uint64  // device of the directory above
	state  taskState
	left   RuleID // why it is not active, where it would be; 0: it lies in nothing that is included
	place  Place  // of an active one that is open: what the filter says of its names

	stat    Stat
	flags   fileindex.State
	statErr error // it is gone, or cannot be looked at
	listErr error // it is there, but cannot be listed
	l       *listing
}

// load lists the node and stats its files if they are few.
func (w *Walker) load(n *node) (files int) {
	fd, ok := w.open(n)
	if !ok {
		return 1
	}
	defer n.dir.release()
	w.list(n, fd)
	if len(n.l.batches) == 1 {
		b := n.l.batches[0]
		w.statBatch(n, b, fd)
		b.state = done
		files = b.to
	}
	return files + 1
}

// open opens the node and finds out whether it is a border. If it answers true, the directory is
// to be released.
func (w *Walker) open(n *node) (fd int, ok bool) {
	fd, err := n.dir.acquire()
	if err != nil {
		n.unopened(err)
		return -1, false
	}
	if n.statErr = n.dir.statOpen(fd, &n.stat); n.statErr != nil {
		n.dir.release()
		return -1, false
	}
	if n.branch != nil && n.branch.include {
		n.device = n.stat.Device
	}
	if n.active {
		if n.left = w.border(n, fd); n.left != 0 {
			n.flags |= fileindex.Mountpoint
			n.active = false
			w.leave(nil, nil, 0, n.left)
		}
	}
	if n.active {
		n.place = w.filter.In([]byte(n.dir.name), n.dir.Path, n.branch != nil && n.branch.include)
	}
	if !n.active && n.branch != nil && n.flags&fileindex.Mountpoint == 0 {
		n.flags |= fileindex.Ancestor
	}
	return fd, true
}

// list lists an open node.
func (w *Walker) list(n *node, fd int) {
	n.l = newListing()
	switch {
	case n.active:
		n.listErr = w.listActive(n, fd)
	case n.branch != nil:
		for _, c := range n.branch.children {
			n.l.addName(c.name, 0)
		}
		w.leaveRest(n)
	}
	if n.l.huge == nil {
		n.l.cut()
	}
}

// border tells whether the content of a directory is left out because it is another file
// system's: one that is not asked for, or one that only shows the state of the system.
func (w *Walker) border(n *node, fd int) RuleID {
	switch {
	case n.branch != nil && n.branch.include || n.stat.Device == n.above:
		return 0
	case isPseudo(fd):
		return leftSystem
	case w.sel.OneFileSystem && n.stat.Device != n.device:
		return leftBorder
	}
	return 0
}

// unopened notes a directory that could not be opened: it may be gone, another kind of file
// by now, or forbidden.
func (n *node) unopened(err error) {
	if n.dir.parent == nil {
		n.statErr = err
		return
	}
	if n.statErr = n.dir.parent.Stat([]byte(n.dir.name), &n.stat); n.statErr == nil && n.stat.Type == fileindex.Dir {
		n.listErr = err
	}
}

// listActive lists a directory that is taken with all in it but what the excludes name.
func (w *Walker) listActive(n *node, fd int) error {
	buf := w.direntBufs.Get().(*[]byte)
	defer w.direntBufs.Put(buf)
	n.l.most, n.l.overflow = w.most, func() error { return w.overflow(n) }
	err := n.dir.list(fd, *buf, n.l)
	n.l.overflow = nil
	if err == nil {
		err = n.l.err
	}
	if err != nil {
		n.l.refs = n.l.refs[:0]
		if n.l.huge != nil {
			n.l.huge.close()
			n.l.huge = nil
		}
		return err
	}
	if n.l.huge != nil {
		return w.finishHuge(n)
	}
	if w.isTagged(n) {
		n.flags |= fileindex.CacheTagged
	}
	w.sift(n)
	n.l.sort()
	return nil
}

// sift drops the names in memory that are not taken.
func (w *Walker) sift(n *node) {
	if n.dir.spot != nil {
		n.l.keep(func(name []byte, r *nameRef) bool {
			return !n.dir.spot.hides(name) || w.leave(n, name, r.typ, leftHidden)
		})
	}
	if n.flags&fileindex.CacheTagged != 0 {
		n.l.keep(func(name []byte, r *nameRef) bool {
			return string(name) == cacheTag || n.branch.child(name) != nil || w.leave(n, name, r.typ, leftTagged)
		})
	}
	if !w.filter.asks(&n.place) {
		return
	}
	n.l.keep(func(name []byte, r *nameRef) bool {
		if n.branch.child(name) != nil {
			return true
		}
		id := w.filter.Leaves(&n.place, name, n.isDir(name, r.typ))
		return id == 0 || w.leave(n, name, r.typ, id)
	})
}

// isDir tells whether a name that was listed is that of a directory.
func (n *node) isDir(name []byte, typ fileindex.Type) bool {
	if typ != 0 {
		return typ == fileindex.Dir
	}
	var st Stat
	return n.dir.Stat(name, &st) == nil && st.Type == fileindex.Dir
}

const (
	cacheTag       = "CACHEDIR.TAG"
	cacheSignature = "Signature: 8a477f597d28d172789f06886806bc55"
)

// isTagged tells whether the directory holds a valid cache tag (bford.info/cachedir).
func (w *Walker) isTagged(n *node) bool {
	if !w.mayBeTagged(n) {
		return false
	}
	found := false
	for i := range n.l.refs {
		if int(n.l.refs[i].length) == len(cacheTag) && string(n.l.name(i)) == cacheTag {
			found = n.l.refs[i].typ != fileindex.Dir
			break
		}
	}
	return found && n.hasTag()
}

// mayBeTagged: a tag counts where the directory is not included by its own name.
func (w *Walker) mayBeTagged(n *node) bool {
	return !w.sel.IncludeCaches && (n.branch == nil || !n.branch.include)
}

// hasTag looks whether there is a tag, and a valid one.
func (n *node) hasTag() bool {
	var st Stat
	if n.dir.Stat([]byte(cacheTag), &st) != nil || st.Type != fileindex.File {
		return false
	}
	f, err := n.dir.Open([]byte(cacheTag))
	if err != nil {
		return false
	}
	defer f.Close()
	buf := make([]byte, len(cacheSignature))
	k, err := f.ReadAt(buf, 0)
	return err == nil && string(buf[:k]) == cacheSignature
}

// loadBatch stats a batch of a large directory.
func (w *Walker) loadBatch(n *node, b *statBatch) {
	fd, err := n.dir.acquire()
	if err != nil {
		b.lose(err)
		return
	}
	defer n.dir.release()
	w.statBatch(n, b, fd)
}

func (w *Walker) statBatch(n *node, b *statBatch, fd int) {
	if n.l.huge != nil {
		if err := n.l.huge.load(b); err != nil {
			b.lose(err)
			return
		}
	}
	w.statAll(n, b, fd)
}

// lose fails all of a batch.
func (b *statBatch) lose(err error) {
	b.stats = make([]Stat, b.to-b.from)
	for i := b.from; i < b.to; i++ {
		b.fail(i, err)
	}
}

func (w *Walker) statAll(n *node, b *statBatch, fd int) {
	b.stats = make([]Stat, b.to-b.from)
	for i := b.from; i < b.to; i++ {
		st := &b.stats[i-b.from]
		if b.ref(i).typ != fileindex.Dir {
			if err := n.dir.statListed(fd, b.list, i-b.base, st); err != nil {
				b.fail(i, err)
				continue
			}
			if st.Type != fileindex.Dir {
				continue
			}
		}
		// A directory is statted when it is open, so that what is listed is what was statted.
		st.Type = fileindex.Dir
		b.subs = append(b.subs, w.sub(n, b.name(i)))
	}
}

// sub is the node of the directory called name in n.
func (w *Walker) sub(n *node, name []byte) *node {
	s := &node{dir: n.dir.child(name), branch: n.branch.child(name), active: n.active, device: n.device, above: n.stat.Device, left: n.left}
	if s.branch == nil {
		return s
	}
	if s.active {
		if s.left = leftTagged; n.flags&fileindex.CacheTagged == 0 {
			s.left = w.filter.Leaves(&n.place, name, true)
		}
	}
	if s.branch.include {
		s.left = 0
	}
	s.active = s.left == 0 && (s.active || s.branch.include)
	return s
}

func (b *statBatch) fail(i int, err error) {
	if b.errs == nil {
		b.errs = make([]error, b.to-b.from)
	}
	b.errs[i-b.from] = err
}

// gone tells whether an error means that the file is no longer there under its name.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ESTALE)
}
