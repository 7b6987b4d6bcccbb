package source

import (
	"context"
	"sync/atomic"

	"keepward/internal/repo/fileindex"
)

// Left is what one rule left out.
type Left struct {
	Rule Rule
	// Names are the files and directories that the rule itself left out; of borders it is the
	// directories whose content is not taken.
	Names int64
	// What follows is known if the walk measures: all that is in Names and below them. A file with
	// several names counts its share of bytes at each.
	Files, Dirs, Bytes int64
	// Unseen are the directories in it that were not looked into: they cannot be read, or another
	// file system begins there.
	Unseen int64
}

// leftCount counts a Left while the walk goes on.
type leftCount struct{ names, files, dirs, bytes, unseen atomic.Int64 }

// Left answers, rule by rule, what was left out so far; rules that left out nothing are not in it.
func (w *Walker) Left() (list []Left) {
	for id := range w.left {
		c := &w.left[id]
		if c.names.Load()+c.files.Load()+c.dirs.Load()+c.unseen.Load() == 0 {
			continue
		}
		list = append(list, Left{
			Rule: w.filter.Rule(RuleID(id)), Names: c.names.Load(),
			Files: c.files.Load(), Dirs: c.dirs.Load(), Bytes: c.bytes.Load(), Unseen: c.unseen.Load(),
		})
	}
	return list
}

// Excluded is how many files and directories were left out so far: by excludes and masks, by
// itself, by cache tags and at file system borders. What lies in a directory left out is not counted.
func (w *Walker) Excluded() (names int64) {
	for i := range w.left {
		names += w.left[i].names.Load()
	}
	return names
}

// Measure has the walk look also into what it leaves out, to tell how much that is. It comes into
// no other file system there: one that is left out may be so because it does not answer. It ends
// with ctx. It must be called before Next.
func (w *Walker) Measure(ctx context.Context) { w.measure = &measure{w: w, ctx: ctx} }

// leave notes that a rule leaves out a name of a directory; without a directory, that its border is
// not crossed. It answers false: the name is not kept.
func (w *Walker) leave(n *node, name []byte, typ fileindex.Type, id RuleID) bool {
	c := &w.left[id]
	c.names.Add(1)
	switch {
	case n == nil:
		c.unseen.Add(1)
	case w.measure != nil:
		w.measure.one(n.dir, name, typ, c)
	}
	return false
}

// leaveRest notes what lies beside the include paths in a directory that is left out.
func (w *Walker) leaveRest(n *node) {
	if w.measure != nil && n.left != 0 && n.left != leftBorder && n.left != leftSystem {
		w.measure.all(n.dir, &w.left[n.left], n.branch)
	}
}

// measure counts what is left out. Its methods may be called by several goroutines.
type measure struct {
	w   *Walker
	ctx context.Context // of the walk: what it calls has no other way to end
}

// measureNames is how many names of a directory are looked at together: more of them would be in
// memory for each of the directories on the way.
const measureNames = 4096

// one counts a name.
func (m *measure) one(d *Dir, name []byte, typ fileindex.Type, c *leftCount) {
	if typ != fileindex.Dir {
		var st Stat
		if d.Stat(name, &st) != nil {
			return // it is gone, or cannot be looked at: it is left out all the same
		}
		if st.Type != fileindex.Dir {
			c.files.Add(1)
			c.bytes.Add(Share(&st))
			return
		}
	}
	c.dirs.Add(1)
	if d.crosses(name) {
		c.unseen.Add(1)
		return
	}
	m.all(d.child(name), c, nil)
}

// all counts the content of a directory, but for what leads to include paths. Neither a descriptor
// nor a buffer is held while what is below is counted, but in directories with more names than are
// looked at together.
func (m *measure) all(d *Dir, c *leftCount, but *branch) {
	l := &listing{most: measureNames}
	some := func() error {
		for i := range l.refs {
			if err := m.ctx.Err(); err != nil {
				return err
			}
			if name := l.name(i); but.child(name) == nil {
				m.one(d, name, l.refs[i].typ, c)
			}
		}
		l.names, l.refs = l.names[:0], l.refs[:0]
		return nil
	}
	l.overflow = some
	err := m.list(d, l)
	if err == nil {
		err = some()
	}
	if err != nil && m.ctx.Err() == nil {
		c.unseen.Add(1)
	}
}

func (m *measure) list(d *Dir, l *listing) error {
	fd, err := d.acquire()
	if err != nil {
		return err
	}
	defer d.release()
	buf := m.w.direntBufs.Get().(*[]byte)
	defer m.w.direntBufs.Put(buf)
	if err := d.list(fd, *buf, l); err != nil {
		return err
	}
	return l.err
}

// Share is the part of a file's bytes that one of its names stands for.
func Share(st *Stat) int64 {
	if st.Type != fileindex.File {
		return 0
	}
	return st.Size / int64(max(st.Links, 1))
}
