package pipeline

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"

	"keepward/internal/repo/chunk"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/signature"
	"keepward/internal/source"
)

// worker completes entries and seals chunks. Its state is its goroutine's own.
type worker struct {
	// life is the context of the whole backup. What a worker seals and sends may be of any file,
	// also while it waits in the middle of a large one, which may be let go of.
	life    context.Context
	pool    *pool
	reports *reports
	count   *Counters
	chunker *chunk.Chunker
	keys    *seal.Keys
	hasher  *seal.Hasher
	sealer  *seal.Sealer
	fetch   *fetcher
	// signatures hashes the blocks of large files.
	signatures *signature.Hasher
	hooks      Hooks
	clock      func() time.Time

	seat *seat
	// effort is the controller's; dice are this worker's share of it.
	effort *atomic.Int32
	dice   dice
	early  *early

	mark  *marker
	trail *Trail
	// unit is the large file in work, answered the last checkpoint that it has answered; nil:
	// there is none.
	unit     *unit
	answered int64

	traces traces
	warmth warmth // of the unit in work

	record []byte
	refs   []seal.ID
	bundle bundle
}

// run works until the pool has nothing more.
func (w *worker) run(ctx context.Context) {
	for {
		w.seat.be(atRest)
		j, u := w.pool.take()
		w.seat.be(atCPU)
		switch {
		case j != nil:
			w.seal(j)
		case u == nil:
			return
		default:
			w.read(ctx, u)
			w.pool.doneReading()
		}
	}
}

// runExtra reads beside the workers, where the pool lets it.
func (w *worker) runExtra(ctx context.Context) {
	for {
		w.seat.be(atRest)
		u := w.pool.takeExtra()
		if u == nil {
			return
		}
		w.seat.be(atCPU)
		w.read(ctx, u)
		w.pool.doneExtra()
	}
}

func (w *worker) read(ctx context.Context, u *unit) {
	switch {
	case u.streams:
		w.streamUnit(ctx, u)
	case u.large:
		w.largeUnit(ctx, u)
	default:
		w.smallUnit(ctx, u)
	}
}

// seal compresses, seals and sends a chunk.
func (w *worker) seal(j *job) {
	w.refs = w.refs[:0]
	for i := range j.refs {
		w.refs = append(w.refs, j.refs[i].ID())
	}
	defer w.seat.during(atCPU)()
	// The index is small, and read at every backup.
	w.sealer.PreferSpeed(!j.kind.Meta() && w.dice.quick(effort(w.effort.Load())))
	var err error
	if w.record, err = w.sealer.Seal(w.record[:0], j.kind, j.h, w.refs, j.content); err == nil {
		w.seat.be(atStore)
		err = w.pool.store.Put(w.life, w.record)
		w.seat.be(atCPU)
	}
	if err != nil {
		w.pool.fail(err)
		return
	}
	w.count.sentBytes.Add(int64(len(w.record)))
	w.count.resentBytes.Add(w.trail.put(&j.h, int64(len(w.record))))
	w.pool.done(j)
}

// Save takes a node; it is a fileindex.Saver for what the worker itself builds.
func (w *worker) Save(_ context.Context, c fileindex.Chunk) error {
	return w.pool.save(c, w.seal)
}

// bundle is what a worker collects of a unit's small files: their bytes lie in one buffer
// behind room for the header.
type bundle struct {
	start  int // of the first member
	end    int
	files  int // looked at so far: for each there is room for one member in the header
	hashes []seal.H
	sizes  []int
	// users are the extents that name a member; their H is known when all are read.
	users []*fileindex.Extent
	// extents is where extents are taken from, many at a time.
	extents []fileindex.Extent
}

func (b *bundle) reset(start int) {
	b.start, b.end, b.files = start, start, 0
	b.hashes, b.sizes, b.users = b.hashes[:0], b.sizes[:0], b.users[:0]
}

func (w *worker) smallUnit(ctx context.Context, u *unit) {
	hold := w.pool.hold(u.need)
	b := &w.bundle
	b.reset(seal.BundleHeaderLen(u.files))
	now := w.clock()
	w.warmth = unknownWarmth
	for i := range u.items {
		it := &u.items[i]
		if it.e.Type == fileindex.File {
			b.files++
			w.small(ctx, it, hold.buf, now)
		} else {
			w.plain(it)
		}
		if ctx.Err() != nil {
			break
		}
	}
	w.closeBundle(hold)
	w.pool.unhold(hold)
	if ctx.Err() == nil {
		u.of.finished(u)
		if w.mark.due() {
			u.of.want(now)
		}
	}
	u.complete()
}

// closeBundle hands over what was collected: a single content as a chunk of its own.
func (w *worker) closeBundle(hold *hold) {
	b := &w.bundle
	if len(b.sizes) == 0 {
		return
	}
	j := &job{kind: seal.KindData, hold: hold}
	if len(b.sizes) == 1 {
		j.h, j.content = b.hashes[0], hold.buf[b.start:b.end]
		b.users[0].Kind, b.users[0].Member = fileindex.InChunk, 0
	} else {
		from := b.start - seal.BundleHeaderLen(len(b.sizes))
		header := seal.AppendBundleHeader(hold.buf[from:from], b.hashes, b.sizes)
		j.kind, j.h = seal.KindBundle, w.hasher.Hash(seal.KindBundle, header)
		j.content = hold.buf[from:b.end]
	}
	for _, x := range b.users {
		x.H = j.h
	}
	hold.users.Add(1)
	w.pool.offer(j)
}

// small reads a small file into the bundle.
func (w *worker) small(ctx context.Context, it *work, buf []byte, now time.Time) {
	w.seat.be(atSource)
	f, err := it.dir.Open(it.name())
	if err != nil {
		w.lose(it, err)
		return
	}
	defer f.Close()
	if w.hooks.Opened != nil {
		w.hooks.Opened(it.e.Path)
	}
	before, ok := w.look(it, f, now)
	if !ok {
		return
	}
	b := &w.bundle
	size := int(before.Size)
	// It may have grown since the walk. One byte more than it has shows whether it grows now.
	if before.Size >= seal.SmallFile || b.end+size+1 > len(buf) {
		w.large(ctx, it, f, &before)
		return
	}
	forget := w.warmth.forget(f, before.Size)
	n, err := f.ReadAll(buf[b.end:b.end+size+1], size)
	if forget {
		f.Forget(0, 0)
	}
	w.count.readBytes.Add(int64(min(n, size)))
	if err != nil {
		w.lose(it, err)
		return
	}
	if w.hooks.Read != nil {
		w.hooks.Read(it.e.Path)
	}
	w.settle(it, f, &before, int64(n))
	w.seat.be(atCPU)
	content := buf[b.end : b.end+int(it.e.Size)]
	switch {
	case len(content) == 0:
	case sparse(&before) && n >= size:
		if !w.smallSparse(it, f, buf) {
			w.large(ctx, it, f, &before)
		}
	case allZero(content):
		it.e.Extents = b.extent(fileindex.Extent{Kind: fileindex.Zeros, Len: int64(len(content))})
	default:
		it.e.Extents = b.extent(w.member(content))
		b.users = append(b.users, &it.e.Extents[0])
		b.end += len(content)
	}
}

// extent is a list of one extent.
func (b *bundle) extent(x fileindex.Extent) []fileindex.Extent {
	if len(b.extents) == cap(b.extents) {
		b.extents = make([]fileindex.Extent, 0, 64) // the old ones are their entries' now
	}
	n := len(b.extents)
	b.extents = append(b.extents, x)
	return b.extents[n : n+1 : n+1]
}

// member makes content, which lies at the bundle's end, its next member.
func (w *worker) member(content []byte) fileindex.Extent {
	b := &w.bundle
	b.hashes = append(b.hashes, w.hasher.Hash(seal.KindData, content))
	b.sizes = append(b.sizes, len(content))
	return fileindex.Extent{Kind: fileindex.InBundle, Member: uint32(len(b.sizes) - 1), Len: int64(len(content))}
}

// smallSparse makes the extents of a small file with holes, which lies at the bundle's end:
// its runs of data become one member each, moved together. It answers false when there are
// too many for an entry.
func (w *worker) smallSparse(it *work, f source.File, buf []byte) bool {
	b := &w.bundle
	size := it.e.Size
	var xs []fileindex.Extent
	for at := int64(0); at < size; {
		start, end, err := f.NextData(at, size)
		if err != nil {
			start, end = size, size
		}
		if start > at {
			xs = append(xs, fileindex.Extent{Kind: fileindex.Hole, Len: start - at})
		}
		if end > start {
			kind := fileindex.InBundle
			if allZero(buf[b.end+int(start) : b.end+int(end)]) {
				kind = fileindex.Zeros
			}
			xs = append(xs, fileindex.Extent{Kind: kind, Len: end - start})
		}
		at = end
	}
	members := 0
	for _, x := range xs {
		if x.Kind == fileindex.InBundle {
			members++
		}
	}
	if len(xs) > fileindex.MaxExtents || len(b.sizes)+members > b.files {
		return false // the header has no room for several members of one file, unless others had none
	}
	from := b.end
	for i := range xs {
		n := int(xs[i].Len)
		if xs[i].Kind == fileindex.InBundle {
			copy(buf[b.end:], buf[from:from+n])
			xs[i] = w.member(buf[b.end : b.end+n])
			b.users = append(b.users, &xs[i])
			b.end += n
		}
		from += n
	}
	it.e.Extents = xs
	return true
}

// look stats the open file and makes the entry what is seen now.
func (w *worker) look(it *work, f source.File, now time.Time) (source.Stat, bool) {
	var st source.Stat
	if err := f.Stat(&st); err != nil {
		w.lose(it, err)
		return st, false
	}
	if st.Type != fileindex.File {
		w.lose(it, errReplaced)
		return st, false
	}
	w.count.readFiles.Add(1)
	uid, gid := it.e.UID, it.e.GID
	fill(it.e, &st)
	it.e.State = it.e.State&^fileindex.Racy | racy(&st, it.dir.Seen(now))
	if it.e.UID != uid || it.e.GID != gid {
		// It was given away since the walk. The names are the sequencer's to look up, so
		// they wait for the next backup.
		it.e.User, it.e.Group = nil, nil
		it.e.State |= fileindex.Racy
	}
	it.e.Flags = f.Flags()
	xs, err := f.Xattrs()
	if err != nil {
		w.reports.event(Event{Level: source.Warning, Code: "xattr.failed", Text: err.Error(), Path: it.e.Path})
	}
	it.e.Xattrs = xs
	return st, true
}

// settle compares the file with how it was before it was read; n bytes were got, or more than
// its size when it has grown.
func (w *worker) settle(it *work, f source.File, before *source.Stat, n int64) {
	var after source.Stat
	err := f.Stat(&after)
	if err == nil && after.SameFile(before) && n == before.Size {
		return
	}
	it.e.State |= fileindex.Racy
	if n < before.Size {
		it.e.Size = n
		w.reports.event(Event{Level: source.Warning, Code: "file.shrank", Text: "it became shorter while it was read; it is stored as far as it went", Path: it.e.Path})
		return
	}
	w.reports.event(Event{Level: source.Warning, Code: "file.changed", Text: "it changed while it was read; what is stored may never have stood in it like that", Path: it.e.Path})
}

// lose reports an entry that cannot be in the point. One that need not have been read stays
// as it was.
func (w *worker) lose(it *work, err error) {
	if it.right != nil {
		it.right.Path = it.e.Path // which lives as long as the group
		*it.e = *it.right
		return
	}
	w.reports.lost(it.e.Path, err)
	it.e.Type = 0
}

// plain completes an entry that has no content.
func (w *worker) plain(it *work) {
	var err error
	name := it.name()
	switch it.e.Type {
	case fileindex.Dir:
		name = nil
		it.e.Flags = it.dir.Flags()
	case fileindex.Symlink:
		if it.e.Target, err = it.dir.Readlink(name); err != nil {
			w.lose(it, err)
			return
		}
	}
	if it.e.Xattrs, err = it.dir.Xattrs(name); err != nil && !isGone(err) {
		w.reports.event(Event{Level: source.Warning, Code: "xattr.failed", Text: err.Error(), Path: it.e.Path})
	}
}

var zeroBlock [4096]byte

// allZero tells whether b holds nothing but zeros; most contents fail at the first bytes.
func allZero(b []byte) bool {
	for len(b) > len(zeroBlock) {
		if b[0] != 0 || !bytes.Equal(b[:len(zeroBlock)], zeroBlock[:]) {
			return false
		}
		b = b[len(zeroBlock):]
	}
	return bytes.Equal(b, zeroBlock[:len(b)])
}
