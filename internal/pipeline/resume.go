package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/signature"
	"keepward/internal/source"
)

// This file is a large file that is read in more than one attempt: how far one has got goes into
// a checkpoint, and the next attempt goes on there if the file is as it was.

// covered is how many bytes of the file have extents.
func (l *extentList) covered() int64 {
	n := l.offset
	for i := range l.list {
		n += l.list[i].Len
	}
	return n
}

// snapshot gives e the extents so far and leaves the list as it is.
func (l *extentList) snapshot(ctx context.Context, e *fileindex.Entry) error {
	c := *l
	c.list = slices.Clone(l.list)
	if l.tree != nil {
		c.tree = l.tree.Clone()
	}
	return c.finish(ctx, e)
}

// beginning gives e what there is of a file: extents, and a signature that covers at least as
// many whole blocks, since more was read than has extents. None of it: there is too little.
func beginning(ctx context.Context, e *fileindex.Entry, extents *extentList, sums *signature.Writer, size int64) error {
	blocks := sums.Blocks()
	if blocks == 0 || extents.covered() == 0 {
		return nil
	}
	if err := extents.snapshot(ctx, e); err != nil {
		return err
	}
	h, err := sums.Clone().Finish(ctx, min(blocks*signature.Block, size))
	if err != nil {
		return errStore{err}
	}
	e.Signature = &h
	return nil
}

func (r *largeReader) beginning(ctx context.Context, e *fileindex.Entry) error {
	if r.sign == nil {
		return nil
	}
	return beginning(ctx, e, &r.extents, r.sign.out, r.size)
}

// beginning closes the bundle that is open: what follows the block that it begins with has no
// extents before.
func (r *inplace) beginning(ctx context.Context, e *fileindex.Entry) error {
	if err := r.pack.flush(ctx); err != nil {
		return err
	}
	return beginning(ctx, e, &r.extents, r.sums, r.size)
}

// stepped is called by who reads a large file after each step: it seals what a checkpoint waits
// for, and answers one that is wanted.
func (w *worker) stepped(ctx context.Context, it *work, beginning func(context.Context, *fileindex.Entry) error) error {
	if w.unit == nil {
		return nil
	}
	u := w.unit.of
	w.pool.hurry(w.seal)
	if w.mark.due() {
		u.want(w.clock())
	}
	number := u.wanted.Load()
	if number == w.answered {
		return nil
	}
	w.answered = number
	e := *it.e
	e.Path = slices.Clone(e.Path)
	e.State |= fileindex.Incomplete
	e.Extents, e.Map, e.Signature = nil, fileindex.Tree{}, nil
	if err := beginning(ctx, &e); err != nil {
		return err
	}
	if e.Signature == nil {
		u.answer(w.unit, number, nil)
	} else {
		u.answer(w.unit, number, &e)
	}
	if w.hooks.Answered != nil {
		w.hooks.Answered(it.e.Path)
	}
	return nil
}

// begun is what an attempt before has stored of a large file that is as it was then.
type begun struct {
	at      int64 // so much of the file has extents
	extents extentList
	sums    *signature.Writer // of the whole blocks before at
	rest    []byte            // of the file: what stands between them and at
}

// sameAs tells whether a file that was begun is the same still: a change would have moved one of
// these. A file that was young when it was begun may have changed without.
func sameAs(e *fileindex.Entry, st *source.Stat) bool {
	return e.State&fileindex.Racy == 0 && e.Type == fileindex.File && st.Type == fileindex.File && e.Size == st.Size &&
		e.MTime == st.MTime && e.CTime == st.CTime && e.Inode == st.Inode && e.Device == st.Device
}

// takeUp answers what an attempt before has of a file; nil: it is read from its beginning. room
// is for bytes of the file.
func (w *worker) takeUp(ctx context.Context, it *work, f source.File, st *source.Stat, room []byte) (*begun, error) {
	e := it.begun
	if e == nil || e.Signature == nil || !sameAs(e, st) {
		return nil, nil
	}
	b := &begun{extents: w.newExtents(), sums: signature.NewWriter(w.hasher, w)}
	err := b.load(ctx, w.fetch, e)
	var fatal errStore
	switch kind := errs.KindOf(err); {
	case errors.As(err, &fatal):
		return nil, err
	case kind == errs.Corrupt || kind == errs.NotFound:
		return nil, nil // it costs time, not the backup
	case err != nil:
		return nil, errStore{err}
	}
	n := int(b.at % signature.Block)
	got, err := w.readAt(f, room[:n], b.at-int64(n))
	w.count.readBytes.Add(int64(got))
	if err != nil || got < n {
		return nil, err
	}
	b.rest = room[:n]
	w.reports.event(Event{
		Level: source.Info, Code: "file.resumed", Path: it.e.Path,
		Text: fmt.Sprintf("went on at byte %d of %d, where the attempt before had come to", b.at, st.Size),
	})
	return b, nil
}

// load takes over the extents and the hashes of their whole blocks.
func (b *begun) load(ctx context.Context, f fileindex.Fetcher, e *fileindex.Entry) error {
	err := fileindex.ForEachExtent(ctx, f, e, func(at int64, x fileindex.Extent) error {
		if at != b.at || x.Len <= 0 || x.Len > e.Size-b.at {
			return errs.New(errs.Corrupt, "entry.extent", "read extents: one of %d bytes begins at %d where %d is due", x.Len, at, b.at)
		}
		b.at += x.Len
		return b.extents.add(ctx, x)
	})
	if err != nil {
		return err
	}
	sums, err := signature.Open(ctx, f, *e.Signature)
	if err != nil {
		return err
	}
	for range b.at / signature.Block {
		sum, err := sums.Next(ctx)
		if errors.Is(err, io.EOF) {
			return errs.New(errs.Corrupt, "signature.damaged", "read signature: it ends before byte %d", b.at)
		}
		if err != nil {
			return err
		}
		if err := b.sums.Add(ctx, sum); err != nil {
			return errStore{err}
		}
	}
	return nil
}

// goOn begins where an attempt before has ended. That may be within a block, which is compared
// as a whole and has extents in part: what follows is cut like a long run.
func (r *inplace) goOn(ctx context.Context, b *begun) error {
	part := int64(len(b.rest))
	r.extents, r.sums, r.at = b.extents, b.sums, b.at-part
	if r.parent != nil {
		if err := r.parent.pass(ctx, r.at); err != nil {
			if err := r.endure(ctx, err); err != nil {
				return err
			}
		}
	}
	if part == 0 {
		return nil
	}
	want := int(min(signature.Block, r.size-r.at))
	got, err := r.w.readAt(r.f, r.hold.buf[:want], r.at)
	r.w.count.readBytes.Add(int64(got))
	if err != nil {
		return err
	}
	if int64(got) <= part && got < want {
		return fmt.Errorf("read from byte %d on: the file became shorter", b.at)
	}
	if got < want {
		r.size = r.at + int64(got)
	}
	if err := r.compare(ctx, r.hold.buf[:got], r.at); err != nil {
		return err
	}
	r.last = r.at+int64(got) == r.size
	r.start, r.end, r.at, r.long = int(part), got, b.at, true
	return nil
}
