package pipeline

import (
	"context"

	"keepward/internal/errs"
	"keepward/internal/repo/chunk"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/signature"
	"keepward/internal/source"
)

const (
	// readStep is how much is read at once: what was just read is hashed from the
	// processor's cache.
	readStep = 512 << 10
)

// inplace reads a file whose parent has a signature: what equals the parent, block by block,
// keeps the parent's extents. Its window is the part of the file that lies in hold and has no
// extents yet; all of it is read and hashed, and what is stored comes from there alone, so
// that the new signature is of what is stored.
type inplace struct {
	w      *worker
	it     *work
	path   []byte
	f      source.File
	size   int64
	parent *parentFile // nil: it cannot be read any further
	// ahead tells the holes of what is read, here of what is stored.
	ahead, here *layout
	sums        *signature.Writer
	hasher      *signature.Hasher

	hold       *hold
	start, end int   // of the window in hold
	at         int64 // offset in the file of the window's start
	last       bool  // behind the window comes a hole or the end of the file
	blocks     []block
	pieces     []fileindex.Extent // of the blocks
	long       bool               // a long run is being cut
	search     chunk.Search       // for the end of the chunk of it that begins with the window
	extents    extentList
	pack       packer
}

// block is a block of the window. The first one may have been cut in part.
type block struct {
	at   int64
	n    int
	zero bool
	// keep: it lies in pieces[from:to], of the parent's.
	keep     bool
	from, to int
}

func (b *block) end() int64 { return b.at + int64(b.n) }

// inplace reads a file beside what its parent has of it, from its beginning or from where an
// attempt before has come to. It gives first and parent back.
func (w *worker) inplace(ctx context.Context, it *work, f source.File, st *source.Stat, first *hold, parent *parentFile, from *begun) (int64, error) {
	r := &inplace{
		w: w, it: it, path: it.e.Path, f: f, size: st.Size, parent: parent, ahead: newLayout(f, st), here: newLayout(f, st),
		sums: signature.NewWriter(w.hasher, w), hasher: w.signatures, hold: first,
		extents: w.newExtents(),
	}
	r.pack = packer{w: w, to: &r.extents}
	defer r.close()
	if from != nil {
		if err := r.goOn(ctx, from); err != nil {
			return 0, err
		}
	}
	n, err := r.read(ctx)
	if err != nil || n == 0 {
		return n, err
	}
	if err := r.extents.finish(ctx, it.e); err != nil {
		return n, err
	}
	h, err := r.sums.Finish(ctx, n)
	if err != nil {
		return n, errStore{err}
	}
	it.e.Signature = &h
	return n, nil
}

func (r *inplace) close() {
	r.pack.close()
	if r.parent != nil {
		r.parent.close()
	}
	r.w.pool.unhold(r.hold)
}

// unusable reports a file that is read like a new one, or the rest of it.
func (w *worker) unusable(path []byte, err error) {
	w.reports.event(Event{
		Level: source.Warning, Code: "signature.unusable", Path: path,
		Text: err.Error() + "; what the parent has of it is not compared any further, and the rest is stored as of a new file",
	})
}

// read answers how much of the file there was.
func (r *inplace) read(ctx context.Context) (int64, error) {
	for r.at < r.size {
		if err := ctx.Err(); err != nil {
			return r.at, err
		}
		if err := r.w.stepped(ctx, r.it, r.beginning); err != nil {
			return r.at, err
		}
		took, err := r.step(ctx)
		if err == nil && !took {
			err = r.more(ctx)
		}
		if err != nil {
			return r.at, err
		}
	}
	return r.size, r.pack.flush(ctx)
}

// more reads on, or passes a hole once the window is empty.
func (r *inplace) more(ctx context.Context) error {
	from := r.at + int64(r.end-r.start)
	stop, gap := r.ahead.gap(from, min(from+readStep, r.size), signature.Block)
	if stop == from {
		if r.at == from {
			return r.hole(ctx, gap-from)
		}
		r.last = true
		return nil
	}
	if err := r.room(ctx); err != nil {
		return err
	}
	want := int(min(stop-from, int64(len(r.hold.buf)-r.end)/signature.Block*signature.Block))
	got, err := r.w.readAt(r.f, r.hold.buf[r.end:r.end+want], from)
	r.w.count.readBytes.Add(int64(got))
	if err != nil {
		return err
	}
	if got < want {
		r.size = from + int64(got) // it has become shorter
	}
	r.last = from+int64(got) == r.size
	fresh := r.hold.buf[r.end : r.end+got]
	r.end += got
	return r.compare(ctx, fresh, from)
}

// room makes room for a block behind the window.
func (r *inplace) room(ctx context.Context) error {
	if r.start == r.end && r.hold.users.Load() == 1 {
		r.start, r.end = 0, 0 // it is still in the processor's cache
		return nil
	}
	if len(r.hold.buf)-r.end >= signature.Block {
		return nil
	}
	next, err := r.w.renew(r.hold, maxBuffer)
	if err != nil {
		return errStore{err}
	}
	n := copy(next.buf, r.hold.buf[r.start:r.end])
	if next != r.hold {
		r.w.pool.unhold(r.hold)
	}
	r.hold, r.start, r.end = next, 0, n
	if len(next.buf)-n < signature.Block {
		return errs.New(errs.Internal, "", "compare %q with its parent: %d bytes do not tell where an extent ends", r.path, n)
	}
	return nil
}

// compare makes blocks of fresh, which stands at offset at.
func (r *inplace) compare(ctx context.Context, fresh []byte, at int64) error {
	r.forget()
	for len(fresh) > 0 {
		n := min(signature.Block, len(fresh))
		sum := r.hasher.Sum(fresh[:n])
		fresh = fresh[n:]
		if err := r.sums.Add(ctx, sum); err != nil {
			return errStore{err}
		}
		b := block{at: at, n: n, zero: sum == 0}
		if err := r.match(ctx, &b, sum); err != nil {
			return err
		}
		r.blocks = append(r.blocks, b)
		at += int64(n)
	}
	return nil
}

// forget drops the pieces of blocks that were passed.
func (r *inplace) forget() {
	drop := len(r.pieces)
	for i := range r.blocks {
		if r.blocks[i].keep {
			drop = r.blocks[i].from
			break
		}
	}
	r.pieces = append(r.pieces[:0], r.pieces[drop:]...)
	for i := range r.blocks {
		r.blocks[i].from -= drop
		r.blocks[i].to -= drop
	}
}

// match looks whether the parent has the block.
func (r *inplace) match(ctx context.Context, b *block, sum uint64) error {
	if r.parent == nil {
		return nil
	}
	old, err := r.parent.next(ctx)
	if err != nil {
		return r.endure(ctx, err)
	}
	same := old.length == int64(b.n) && old.sum == sum && len(old.pieces) > 0
	if old.stale && (b.zero || !same) {
		r.parent.refund(old.length)
	}
	if !same && !b.zero {
		r.parent.differs(int64(b.n))
	}
	if !same || old.stale {
		return nil
	}
	b.keep, b.from = true, len(r.pieces)
	r.pieces = append(r.pieces, old.pieces...)
	b.to = len(r.pieces)
	return nil
}

// endure gives a parent up that is damaged: the rest of the file is read like a new one.
func (r *inplace) endure(ctx context.Context, err error) error {
	switch errs.KindOf(err) {
	case errs.Corrupt, errs.NotFound:
		r.parent.close()
		r.parent = nil
		r.w.unusable(r.path, err)
		return nil
	}
	return errStore{err}
}

// hole passes n bytes of hole, whole blocks or to the end of the file. The window is empty.
func (r *inplace) hole(ctx context.Context, n int64) error {
	if err := r.sums.Zeros(ctx, (n+signature.Block-1)/signature.Block); err != nil {
		return errStore{err}
	}
	r.at += n
	r.last, r.long = false, false
	if r.parent != nil {
		if err := r.parent.pass(ctx, r.at); err != nil {
			if err := r.endure(ctx, err); err != nil {
				return err
			}
		}
	}
	return r.pack.add(ctx, fileindex.Extent{Kind: fileindex.Hole, Len: n})
}

// step makes extents of the start of the window. It answers false when more of the file is
// needed to know where they end.
func (r *inplace) step(ctx context.Context) (bool, error) {
	if r.start == r.end {
		return false, nil
	}
	if r.long {
		return r.cut(ctx)
	}
	n := 0
	keep := r.blocks[0].keep
	for n < len(r.blocks) && r.blocks[n].keep == keep {
		n++
	}
	switch {
	case keep:
		for i := range r.blocks[:n] {
			if err := r.keep(ctx, &r.blocks[i]); err != nil {
				return false, err
			}
		}
	case n >= longRun:
		r.long = true
		return r.cut(ctx)
	case n == len(r.blocks) && !r.last:
		return false, nil
	default:
		for i := range r.blocks[:n] {
			if err := r.store(ctx, &r.blocks[i]); err != nil {
				return false, err
			}
		}
	}
	r.pass(r.blocks[n-1].end())
	return true, nil
}

// pass goes on to offset.
func (r *inplace) pass(offset int64) {
	r.start += int(offset - r.at)
	r.at, r.search = offset, chunk.Search{}
	n := 0
	for n < len(r.blocks) && r.blocks[n].end() <= offset {
		n++
	}
	r.blocks = append(r.blocks[:0], r.blocks[n:]...)
}

// window is the bytes of the window from offset from to offset to.
func (r *inplace) window(from, to int64) []byte {
	return r.hold.buf[r.start+int(from-r.at) : r.start+int(to-r.at)]
}

// keep takes a block over from the parent. What is zeros there may be a hole by now, or have
// been one.
func (r *inplace) keep(ctx context.Context, b *block) error {
	at := b.at
	for _, x := range r.pieces[b.from:b.to] {
		var err error
		if x.Kind == fileindex.Hole || x.Kind == fileindex.Zeros {
			err = r.zeros(ctx, at, at+x.Len)
		} else {
			err = r.pack.add(ctx, x)
		}
		if err != nil {
			return err
		}
		at += x.Len
	}
	r.w.count.keptBytes.Add(int64(b.n))
	return nil
}

// zeros makes extents of bytes that are zeros.
func (r *inplace) zeros(ctx context.Context, from, to int64) error {
	for from < to {
		hole, end := r.here.at(from)
		x := fileindex.Extent{Kind: fileindex.Zeros, Len: min(end, to) - from}
		if hole {
			x.Kind = fileindex.Hole
		}
		if err := r.pack.add(ctx, x); err != nil {
			return err
		}
		from += x.Len
	}
	return nil
}

// store stores a block that differs, but for its holes.
func (r *inplace) store(ctx context.Context, b *block) error {
	if b.zero {
		return r.zeros(ctx, b.at, b.end())
	}
	for at := b.at; at < b.end(); {
		hole, end := r.here.at(at)
		end = min(end, b.end())
		content := r.window(at, end)
		var err error
		// It may have been data when it was read.
		if hole && allZero(content) {
			err = r.pack.add(ctx, fileindex.Extent{Kind: fileindex.Hole, Len: end - at})
		} else {
			err = r.pack.block(ctx, content)
		}
		if err != nil {
			return err
		}
		at = end
	}
	return nil
}
