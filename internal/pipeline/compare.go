package pipeline

import (
	"bytes"
	"context"

	"keepward/internal/extsort"
	"keepward/internal/repo/fileindex"
	"keepward/internal/source"
)

// comparison collects what a backup that looks at everything finds to differ from its parent, so
// that what a tracker would have told can be checked. It belongs to the goroutine of the walk.
type comparison struct {
	before *Before
	sorter *extsort.Sorter
	err    error  // the first, of the scratch directory
	gone   []byte // the key of the last entry that is gone, should more below it be
}

// comparisonMemory is what it keeps in memory.
const comparisonMemory = 4 << 20

// compareWith is what a parent is compared by, nil if that is not wanted or would prove nothing.
func (r *run) compareWith(ctx context.Context, e *earlier) *comparison {
	if r.opts.Check == nil || r.opts.Checkpoint != "" || !whole(e) || !bytes.Equal(e.body.Options, r.options) {
		return nil
	}
	return &comparison{
		before: &Before{Token: e.body.Tracker, Links: !e.root.Inodes.Empty(), ctx: ctx, fetch: r.fetch, root: &e.root},
		sorter: extsort.New(r.opts.Scratch, comparisonMemory),
	}
}

func (c *comparison) close() {
	if c != nil {
		c.sorter.Close()
		c.before.close()
	}
}

// add notes that something differs under a key.
func (c *comparison) add(key []byte) {
	if err := c.sorter.Add(key); err != nil && c.err == nil {
		c.err = err
	}
}

// met notes an entry that was looked at; old is the parent's.
func (c *comparison) met(f *seen, old *fileindex.Entry) {
	if c != nil && (old == nil || differs(old, f.st)) {
		c.add(f.key)
	}
}

// link notes a name of a file that has several.
func (c *comparison) link(f *seen, stays bool) {
	if c != nil && !stays {
		c.add(f.key)
	}
}

// inode notes a file that has several names.
func (c *comparison) inode(i *inode, st *source.Stat, old *fileindex.Entry) {
	if c == nil || old != nil && !differs(old, st) {
		return
	}
	for _, p := range i.paths {
		c.add(fileindex.PathKey(p))
	}
}

// left notes an entry of the parent that is gone; of what is gone with its directory, only that.
func (c *comparison) left(e *fileindex.Entry) {
	key := fileindex.PathKey(e.Path)
	if c.gone != nil && len(key) > len(c.gone) && bytes.HasPrefix(key, c.gone) && key[len(c.gone)] == 0 {
		return
	}
	c.gone = key
	c.add(key)
}

// differs tells whether a file is not what the parent has, by what a stat tells.
func differs(e *fileindex.Entry, st *source.Stat) bool {
	if e.Type != st.Type || st.Type == fileindex.File && e.Size != st.Size {
		return true
	}
	return !sameStat(e, st)
}

// Differing are the paths at which a backup differs from its parent, in the order of the index.
type Differing func(fn func(path []byte) error) error

// check tells who wants to know what differed.
func (r *run) check(ctx context.Context) error {
	c := r.compared
	if c == nil || r.early.cut.Load() {
		return nil
	}
	if c.err != nil {
		return c.err
	}
	missed, err := r.opts.Check(ctx, c.before, func(fn func(path []byte) error) error {
		var last []byte
		return c.sorter.Each(func(key []byte) error {
			if last != nil && bytes.Equal(last, key) {
				return nil
			}
			last = append(last[:0], key...)
			return fn(fileindex.KeyPath(key))
		})
	})
	r.count.missed.Store(missed)
	return err
}
