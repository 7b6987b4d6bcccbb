package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/zeebo/blake3"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/source"
)

// marker makes checkpoints. It belongs to the goroutine that builds the trees; only due may be
// asked by others.
type marker struct {
	r     *run
	every time.Duration
	bytes int64
	at    atomic.Int64 // of the last one, in nanoseconds of the clock
	sent  atomic.Int64 // bytes sent until then
	read  atomic.Int64 // bytes read until then
}

func newMarker(r *run) *marker {
	m := &marker{r: r, every: r.opts.CheckpointEvery, bytes: r.opts.CheckpointBytes}
	m.at.Store(r.opts.Clock().UnixNano())
	if m.every == 0 {
		m.every = DefaultCheckpointEvery
	}
	if m.bytes == 0 {
		m.bytes = defaultCheckpointBytes
	}
	return m
}

// due tells whether it is time for a checkpoint. Nothing sent and nothing read since the last
// means nothing to keep.
func (m *marker) due() bool {
	sent := m.r.count.sentBytes.Load()
	if sent == m.sent.Load() && m.r.count.readBytes.Load() == m.read.Load() {
		return false
	}
	return sent-m.sent.Load() >= m.bytes || m.r.opts.Clock().UnixNano()-m.at.Load() >= int64(m.every)
}

// content makes the root and the body of a checkpoint from the tree under way.
type content func(ctx context.Context) (fileindex.Root, point.Body, error)

// maybe makes a checkpoint when one is due and those who read large files have said how far
// they have come.
func (m *marker) maybe(ctx context.Context, u *underway, build content) error {
	if !m.due() {
		return nil
	}
	if now := m.r.opts.Clock(); !u.ready(now) {
		u.want(now)
		if !u.ready(now) {
			return nil
		}
	}
	defer u.made()
	defer m.r.pool.letGo()
	// It holds what there was at this moment; what is done while it is made is for the next.
	at, sent, read := m.r.opts.Clock().UnixNano(), m.r.count.sentBytes.Load(), m.r.count.readBytes.Load()
	m.r.opts.Trail.settle()
	root, body, err := build(ctx)
	if err != nil {
		return err
	}
	root.Include, root.OS, root.Version = m.r.opts.Selection.Include, runtime.GOOS, m.r.opts.Version
	body.Errors, body.Completeness, body.Options = m.r.count.errors.Load(), point.Unfinished, m.r.options
	draft, err := m.r.draft(ctx, point.Checkpoint, &root, &body)
	if err != nil {
		return err
	}
	if err := m.r.store.Checkpoint(ctx, draft); err != nil {
		return fmt.Errorf("record checkpoint of attempt %s: %w", m.r.opts.Attempt, err)
	}
	m.r.opts.Trail.settled(read)
	m.at.Store(at)
	m.sent.Store(sent)
	m.read.Store(read)
	return nil
}

// between has an orderer make its checkpoints. One that cannot be made ends the backup at once.
func (r *run) between(o *orderer, build content) func(context.Context) error {
	return func(ctx context.Context) error {
		err := r.mark.maybe(ctx, o.underway, build)
		if err != nil {
			r.pool.fail(err)
		}
		return err
	}
}

// pathsSoFar are the contents of a checkpoint while the path tree is built. The tree so far is
// finished on a copy; what both share is stored once.
func (r *run) pathsSoFar(paths *orderer) content {
	return func(ctx context.Context) (root fileindex.Root, body point.Body, err error) {
		if root.Paths, err = paths.builder.Clone().Finish(ctx); err != nil {
			return root, body, err
		}
		if body.Last, err = paths.lastKey(ctx); err != nil {
			return root, body, err
		}
		body.Files, body.Bytes = root.Paths.Entries, paths.bytes
		root.Ahead, err = paths.ahead(ctx, r.hasher, r.pool)
		return root, body, err
	}
}

// inodesSoFar are the contents of one while the inode table is built: the path tree is complete.
func (r *run) inodesSoFar(paths, inodes *orderer) content {
	return func(ctx context.Context) (root fileindex.Root, body point.Body, err error) {
		if root.Paths, err = paths.builder.Clone().Finish(ctx); err != nil {
			return root, body, err
		}
		if root.Inodes, err = inodes.builder.Clone().Finish(ctx); err != nil {
			return root, body, err
		}
		if body.Last, err = paths.lastKey(ctx); err != nil {
			return root, body, err
		}
		body.Files, body.Bytes = root.Paths.Entries, paths.bytes+inodes.bytes
		root.AheadInodes, err = inodes.ahead(ctx, r.hasher, r.pool)
		return root, body, err
	}
}

// bases are what the trees of a backup are compared with.
type bases struct {
	paths, inodes base
	// What a checkpoint has beside its path tree.
	pathsAhead, inodesAhead []*base

	some         bool
	files, bytes int64 // of the parent
}

// bases opens the parent and the checkpoint.
func (r *run) bases(ctx context.Context) (*bases, error) {
	b := &bases{paths: base{damaged: r.reports.damaged}, inodes: base{damaged: r.reports.damaged}}
	checkpoint, err := r.openCheckpoint(ctx)
	if err != nil {
		return nil, err
	}
	parent, err := r.openParent(ctx)
	if err == nil && parent != nil {
		r.compared = r.compareWith(ctx, parent)
		r.narrow, err = r.narrowDown(ctx, parent)
	}
	if err != nil {
		return nil, err
	}
	if checkpoint != nil {
		r.goOnFrom(b, checkpoint)
	}
	if parent != nil {
		r.renewal.parse(parent.root.Thin)
		b.some, b.files, b.bytes = true, parent.body.Files, parent.body.Bytes
		b.paths.parts = append(b.paths.parts, part{cursor: fileindex.NewCursor(r.fetch, seal.KindNode, parent.root.Paths)})
		b.inodes.parts = append(b.inodes.parts, part{cursor: fileindex.NewCursor(r.fetch, seal.KindInode, parent.root.Inodes)})
	}
	b.paths.strict, b.inodes.strict = r.narrow != nil, r.narrow != nil
	return b, nil
}

// openCheckpoint answers nil if there is none. One that is lost costs time, not the backup.
func (r *run) openCheckpoint(ctx context.Context) (*earlier, error) {
	if r.opts.Checkpoint == "" {
		return nil, nil
	}
	e, err := openEarlier(ctx, r.store, r.opts.Keys, r.fetch, r.opts.Checkpoint)
	if err != nil {
		return nil, ctx.Err()
	}
	return e, nil
}

// openParent answers nil if there is none.
func (r *run) openParent(ctx context.Context) (*earlier, error) {
	if r.opts.Parent == "" || r.opts.Full {
		return nil, nil
	}
	e, err := openEarlier(ctx, r.store, r.opts.Keys, r.fetch, r.opts.Parent)
	if errs.CodeOf(err) == "point.needs-damaged" {
		// Compared with nothing, every chunk is asked for and what is damaged is stored again.
		r.reports.damaged(err)
		return nil, nil
	}
	return e, err
}

// goOnFrom takes a checkpoint into the bases.
func (r *run) goOnFrom(b *bases, e *earlier) {
	alone := func(kind seal.Kind, t fileindex.Tree) *base {
		return &base{parts: []part{{cursor: fileindex.NewCursor(r.fetch, kind, t)}}, damaged: func(error) {}, hops: r.narrow != nil}
	}
	b.pathsAhead = []*base{alone(seal.KindNode, e.root.Ahead)}
	b.inodesAhead = []*base{alone(seal.KindInode, e.root.Inodes), alone(seal.KindInode, e.root.AheadInodes)}
	if len(e.body.Last) == 0 {
		return
	}
	if r.narrow != nil {
		// What did not change since the parent is the parent's, whatever the attempt before took for
		// it; of what did, that attempt may have read some.
		b.pathsAhead = append(b.pathsAhead, alone(seal.KindNode, e.root.Paths))
		return
	}
	b.paths.parts = append(b.paths.parts, part{cursor: fileindex.NewCursor(r.fetch, seal.KindNode, e.root.Paths), last: e.body.Last})
	b.some = true
}

func (b *bases) close() {
	b.paths.close()
	b.inodes.close()
	for _, ahead := range append(b.pathsAhead, b.inodesAhead...) {
		ahead.close()
	}
}

// damaged reports a parent that cannot be compared with, or not to its end.
func (r *reports) damaged(err error) {
	r.event(Event{Level: source.Warning, Code: "parent.damaged", Text: err.Error() + "; every file is read instead"})
}

// fingerprint tells selections apart by what they take.
func fingerprint(s *source.Selection, f *source.Filter, parts bool) []byte {
	h := blake3.New()
	lists := [][]string{s.Include, s.Exclude}
	if len(s.Only) > 0 {
		lists = append(lists, s.Only)
	}
	// What is left out by itself may change with the version of the agent, and on the computer.
	var itself []string
	for _, r := range f.Automatic() {
		itself = append(itself, r.Text)
	}
	for _, list := range append(lists, itself) {
		_, _ = h.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(list)))) // never fails
		for _, p := range list {
			_, _ = h.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(p))))
			_, _ = h.WriteString(p)
		}
	}
	flags := byte(0)
	for i, set := range []bool{s.OneFileSystem, s.IncludeCaches, len(s.Only) > 0, parts} {
		if set {
			flags |= 1 << i
		}
	}
	_, _ = h.Write([]byte{flags})
	return h.Sum(nil)[:16]
}
