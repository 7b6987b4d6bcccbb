package source

import (
	"bytes"
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
	if n.active && w.isBorder(n, fd) {
		n.flags |= fileindex.Mountpoint
		n.active = false
		w.excluded.Add(1)
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
	}
	if n.l.huge == nil {
		n.l.cut()
	}
}

// isBorder tells whether the content of a directory is left out because it is another file
// system's: one that is not asked for, or one that only shows the state of the system.
func (w *Walker) isBorder(n *node, fd int) bool {
	if n.branch != nil && n.branch.include || n.stat.Device == n.above {
		return false
	}
	return w.sel.OneFileSystem && n.stat.Device != n.device || isPseudo(fd)
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
		w.excluded.Add(int64(n.l.keep(func(name []byte, r *nameRef) bool { return !n.dir.spot.hides(name) })))
	}
	if n.flags&fileindex.CacheTagged != 0 {
		w.excluded.Add(int64(n.l.keep(func(name []byte, r *nameRef) bool {
			return string(name) == cacheTag || n.branch.child(name) != nil
		})))
	}
	if len(w.match.rules) > 0 {
		var path []byte
		if w.match.needPath {
			path = n.dir.Path()
		}
		w.excluded.Add(int64(n.l.keep(func(name []byte, r *nameRef) bool {
			return n.branch.child(name) != nil || !w.excludes(n, path, name, r.typ)
		})))
	}
}

func (w *Walker) excludes(n *node, dir, name []byte, typ fileindex.Type) bool {
	if !w.match.needPath {
		dir = nil
	}
	path := name
	if len(dir) > 0 {
		path = append(append(bytes.Clone(dir), '/'), name...)
	}
	isDir := typ == fileindex.Dir
	if typ == 0 {
		var st Stat
		isDir = n.dir.Stat(name, &st) == nil && st.Type == fileindex.Dir
	}
	return w.match.Excluded(path, isDir)
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
	s := &node{dir: n.dir.child(name), branch: n.branch.child(name), active: n.active, device: n.device, above: n.stat.Device}
	if s.branch != nil {
		if s.active {
			s.active = n.flags&fileindex.CacheTagged == 0 && !w.excludes(n, n.dir.Path(), name, fileindex.Dir)
		}
		s.active = s.active || s.branch.include
	}
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
