package pipeline

import (
	"context"
	"errors"
	"io"

	"keepward/internal/errs"
	"keepward/internal/repo/chunk"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/signature"
	"keepward/internal/source"
)

// minZeros is the shortest run of zeros that is an extent of its own: shorter ones compress
// to nothing, and would cut the chunks around them short.
const minZeros = 64 << 10

func (w *worker) largeUnit(ctx context.Context, u *unit) {
	it := &u.items[0]
	defer it.g.pending.Done()
	if w.readLarge(ctx, u, it) {
		u.of.finished(u)
	}
}

// readLarge answers false when the whole backup has failed.
func (w *worker) readLarge(ctx context.Context, u *unit, it *work) bool {
	first := w.pool.hold(u.need)
	f, err := it.dir.Open(it.name())
	if err != nil {
		w.pool.unhold(first)
		w.lose(it, err)
		return true
	}
	defer f.Close()
	if w.hooks.Opened != nil {
		w.hooks.Opened(it.e.Path)
	}
	st, ok := w.look(it, f, w.clock())
	if !ok {
		w.pool.unhold(first)
		return true
	}
	if st.Size >= signature.MinFile { // the others are soon read again
		w.unit, w.answered = u, u.of.reading(u)
		defer func() { w.unit = nil }()
	}
	return w.largeFrom(ctx, it, f, &st, first)
}

// large reads a file of any size in content-defined chunks.
func (w *worker) large(ctx context.Context, it *work, f source.File, st *source.Stat) {
	first, err := w.pool.block(int(min(st.Size, maxBuffer)), w.seal)
	if err != nil {
		return // the whole backup has failed
	}
	w.largeFrom(ctx, it, f, st, first)
}

// largeFrom is large with the first buffer, which it gives back. It answers false when the
// whole backup has failed.
func (w *worker) largeFrom(ctx context.Context, it *work, f source.File, st *source.Stat, first *hold) bool {
	if w.early.wished() { // it could not be read to its end in the time that is left
		w.pool.unhold(first)
		w.leaveOut(it)
		return true
	}
	w.traces = found(f, st.Size)
	f.Readahead()
	n, err := w.content(w.early.reading, it, f, st, first)
	w.traces.passed(st.Size)
	var fatal errStore
	switch {
	case err != nil && w.early.reading.Err() != nil && ctx.Err() == nil:
		w.leaveOut(it)
		return true
	case errors.As(err, &fatal) || err != nil && ctx.Err() != nil:
		w.pool.fail(err)
		return false
	case err != nil:
		w.lose(it, err)
		return true
	}
	if w.hooks.Read != nil {
		w.hooks.Read(it.e.Path)
	}
	w.settle(it, f, st, n)
	return true
}

// content makes the extents of a large file, and its signature, and answers how much of it
// there was.
func (w *worker) content(ctx context.Context, it *work, f source.File, st *source.Stat, first *hold) (int64, error) {
	from, err := w.takeUp(ctx, it, f, st, first.buf)
	if err != nil {
		w.pool.unhold(first)
		return 0, err
	}
	if it.old != nil && st.Size >= signature.MinFile {
		parent, err := openParent(ctx, w.fetch, it.old)
		switch kind := errs.KindOf(err); {
		case err == nil:
			return w.inplace(ctx, it, f, st, first, parent, from)
		case kind != errs.Corrupt && kind != errs.NotFound:
			w.pool.unhold(first)
			return 0, errStore{err}
		}
		w.unusable(it.e.Path, err)
	}
	r := &largeReader{w: w, it: it, f: f, size: st.Size, hold: first, extents: w.newExtents()}
	defer func() { w.pool.unhold(r.hold) }()
	if st.Size >= signature.MinFile {
		r.sign = newSigner(w.signatures, w.hasher, w)
	}
	at := int64(0)
	if from != nil && r.sign != nil {
		at, r.extents, r.sign.out = from.at, from.extents, from.sums
		if err := r.sign.bytes(ctx, from.rest); err != nil {
			return 0, err
		}
	}
	n, err := r.read(ctx, at, sparse(st))
	if err == nil {
		err = r.extents.finish(ctx, it.e)
	}
	if err == nil && r.sign != nil {
		err = r.sign.finish(ctx, it.e, n)
	}
	return n, err
}

func (w *worker) newExtents() extentList { return extentList{saver: w, hasher: w.hasher} }

// offerData hands over a chunk that lies in h and answers its extent.
func (w *worker) offerData(content []byte, h *hold) fileindex.Extent {
	j := &job{kind: seal.KindData, h: w.hasher.Hash(seal.KindData, content), content: content, hold: h}
	h.users.Add(1)
	x := fileindex.Extent{Kind: fileindex.InChunk, H: j.h, Len: int64(len(content))}
	w.pool.offer(j)
	return x
}

// errStore marks a failure that is the store's or the pool's, not the file's.
type errStore struct{ error }

func (e errStore) Unwrap() error { return e.error }

// largeReader cuts one file into extents. Its window is the part of the file that lies in
// hold and is not yet cut.
type largeReader struct {
	w       *worker
	it      *work
	f       source.File
	from    io.Reader // is read in the place of f, and tells by its end how long it is; nil: f
	size    int64
	hold    *hold
	start   int   // of the window in hold
	end     int   //
	at      int64 // offset in the file of the window's start
	extents extentList
	sign    *signer      // nil: the file is too small to have a signature
	zeros   bool         // the extent before is one of zeros
	search  chunk.Search // for the end of the chunk that begins with the window

	// clear is the offset up to which no run of zeros begins; run is where the next begins,
	// -1: none is known.
	clear, run int64
}

// read reads from offset from on and answers how much of the file there was.
func (r *largeReader) read(ctx context.Context, from int64, sparse bool) (int64, error) {
	for at := from; at < r.size; {
		start, end := at, r.size
		if sparse {
			var err error
			if start, end, err = r.f.NextData(at, r.size); err != nil {
				start, end = r.size, r.size
			}
			if start > at {
				if err := r.skip(ctx, start-at); err != nil {
					return at, err
				}
			}
		}
		got, err := r.segment(ctx, start, end)
		if err != nil || got < end {
			return got, err
		}
		at = end
	}
	return r.size, nil
}

// skip passes a hole.
func (r *largeReader) skip(ctx context.Context, n int64) error {
	if r.sign != nil {
		if err := r.sign.hole(ctx, n); err != nil {
			return err
		}
	}
	return r.extents.add(ctx, fileindex.Extent{Kind: fileindex.Hole, Len: n})
}

// segment cuts the bytes from start to end and answers how far the file went.
func (r *largeReader) segment(ctx context.Context, start, end int64) (int64, error) {
	r.at, r.clear, r.run, r.zeros = start, start, -1, false
	r.start = r.end
	for r.at < end {
		if err := ctx.Err(); err != nil {
			return r.at, err
		}
		if err := r.w.stepped(ctx, r.it, r.beginning); err != nil {
			return r.at, err
		}
		if r.start == r.end {
			if err := r.refill(ctx, end); err != nil {
				return r.at, err
			}
			if r.start == r.end {
				return r.at, nil // the file has become shorter
			}
		}
		last := r.at+int64(r.end-r.start) >= end
		n, err := r.cut(ctx, last)
		if err != nil {
			return r.at, err
		}
		if n == 0 {
			before := r.end - r.start
			if err := r.refill(ctx, end); err != nil {
				return r.at, err
			}
			if r.end-r.start == before {
				end = r.at + int64(before) // shorter: what is here is all
			}
		}
	}
	return r.at, nil
}

// cut takes one extent from the window's start. It answers 0 when more of the file is needed
// to know where the extent ends; last: there is no more.
func (r *largeReader) cut(ctx context.Context, last bool) (int, error) {
	data := r.hold.buf[r.start:r.end]
	r.findZeros(data, last)
	limit, sure := len(data), last
	switch {
	case r.run >= 0:
		limit, sure = int(r.run-r.at), true
	case !last: // a run may begin behind it
		limit = int(r.clear - r.at)
	}
	if limit == 0 && sure || r.zeros && leadingZeros(data, r.at) > 0 {
		n := leadingZeros(data, r.at)
		r.zeros, r.run = true, -1
		return n, r.pass(ctx, n, fileindex.Extent{Kind: fileindex.Zeros, Len: int64(n)})
	}
	n, found := r.w.chunker.Resume(&r.search, data[:limit])
	if !found && !sure {
		return 0, nil
	}
	r.zeros = false
	x := r.w.offerData(data[:n], r.hold)
	return n, r.pass(ctx, n, x)
}

func (r *largeReader) pass(ctx context.Context, n int, x fileindex.Extent) error {
	r.start += n
	r.at += int64(n)
	r.clear, r.search = max(r.clear, r.at), chunk.Search{}
	return r.extents.add(ctx, x)
}

// findZeros looks for the next long run of zeros in the window, on blocks of the file.
func (r *largeReader) findZeros(data []byte, last bool) {
	if r.run >= 0 {
		return
	}
	const block = int64(len(zeroBlock))
	windowEnd := r.at + int64(len(data))
	at := (r.clear + block - 1) / block * block
	begin := int64(-1)
	for at < windowEnd {
		next := min(at+block, windowEnd)
		if next-at < block && !last {
			break
		}
		if !allZero(data[at-r.at : next-r.at]) {
			begin = -1
			r.clear = next
		} else if begin < 0 {
			begin = at
		}
		at = next
		if begin >= 0 && at-begin >= minZeros {
			r.run = begin
			return
		}
	}
}

// leadingZeros is how many bytes of zeros stand at the start of data, in whole blocks of the
// file or to the end of data.
func leadingZeros(data []byte, at int64) int {
	n := 0
	for n < len(data) {
		next := min(n+len(zeroBlock)-int((at+int64(n))%int64(len(zeroBlock))), len(data))
		if !allZero(data[n:next]) {
			break
		}
		n = next
	}
	return n
}

// refill reads on behind the window, which moves to another buffer when this one is full.
func (r *largeReader) refill(ctx context.Context, end int64) error {
	window := r.end - r.start
	rest := end - r.at - int64(window)
	// What was just read is hashed from the processor's cache.
	step := int(min(rest, readStep))
	if len(r.hold.buf)-r.end < step {
		next, err := r.w.renew(r.hold, int(min(int64(window)+rest, maxBuffer)))
		if err != nil {
			return errStore{err}
		}
		copy(next.buf, r.hold.buf[r.start:r.end])
		if next != r.hold {
			r.w.pool.unhold(r.hold)
		}
		r.hold, r.start, r.end = next, 0, window
	}
	var n int
	var err error
	if r.from != nil {
		n, err = r.w.readStream(r.from, r.hold.buf[r.end:r.end+step])
	} else {
		n, err = r.w.readAt(r.f, r.hold.buf[r.end:r.end+step], r.at+int64(window))
	}
	r.w.count.readBytes.Add(int64(n))
	if err == nil && r.sign != nil {
		err = r.sign.bytes(ctx, r.hold.buf[r.end:r.end+n])
	}
	r.end += n
	return err
}

// extentList collects the extents of a file: in the entry, or in a content map when there are
// too many.
type extentList struct {
	list   []fileindex.Extent
	saver  fileindex.Saver
	hasher *seal.Hasher
	tree   *fileindex.Builder
	offset int64 // where the last extent of list begins, in the file
}

// add appends an extent; those that one can name become one.
func (l *extentList) add(ctx context.Context, x fileindex.Extent) error {
	if n := len(l.list); n > 0 && l.list[n-1].Append(&x) {
		return nil
	}
	l.list = append(l.list, x)
	if l.tree == nil && len(l.list) <= fileindex.MaxExtents {
		return nil
	}
	if l.tree == nil {
		l.tree = fileindex.NewBuilder(seal.KindMap, l.hasher, l.saver)
	}
	return l.spill(ctx, 1)
}

// spill moves all extents but the last keep ones to the map.
func (l *extentList) spill(ctx context.Context, keep int) error {
	n := len(l.list) - keep
	for _, x := range l.list[:n] {
		if err := l.tree.AddExtent(ctx, l.offset, x); err != nil {
			return errStore{err}
		}
		l.offset += x.Len
	}
	l.list = append(l.list[:0], l.list[n:]...)
	return nil
}

// finish gives the entry its extents.
func (l *extentList) finish(ctx context.Context, e *fileindex.Entry) error {
	if l.tree == nil {
		e.Extents = l.list
		return nil
	}
	if err := l.spill(ctx, 0); err != nil {
		return err
	}
	tree, err := l.tree.Finish(ctx)
	if err != nil {
		return errStore{err}
	}
	e.Map, e.Extents = tree, nil
	return nil
}
