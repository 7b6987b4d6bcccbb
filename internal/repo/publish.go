package repo

import (
	"context"

	"keepward/internal/errs"
	"keepward/internal/repo/segment"
)

// publish makes packs durable, then the segment that tells of them; w.mu is held.
func (w *Writer) publish(ctx context.Context) error {
	if err := w.durable(); err != nil {
		return err
	}
	if len(w.rows) == 0 {
		return nil
	}
	w.setLengths()
	name, err := w.putSegment(ctx)
	if err != nil {
		return err
	}
	w.stats.Segments++
	if err := w.r.openSegment(ctx, name); err != nil {
		return err
	}
	w.forget()
	return nil
}

// putSegment stores the pending rows under the next free number; w.mu is held.
func (w *Writer) putSegment(ctx context.Context) (name string, err error) {
	for {
		w.segments++
		name = segmentName(w.opts.Attempt, w.segments)
		err = w.r.b.Put(ctx, name, segment.Encode(segment.Header{
			RepositoryID: w.r.cfg.ID, Attempt: w.opts.Attempt, Owner: w.opts.Owner, Number: w.segments,
		}, w.table, w.rows))
		if errs.KindOf(err) != errs.Exists { // a check may have rebuilt the index under this number
			return name, err
		}
	}
}

// salvage publishes the rows whose packs are durable, where an attempt ends before it could;
// w.mu is held. It is a favour to the next attempt: if it fails, the packs are garbage.
func (w *Writer) salvage() {
	durable := map[packKey]bool{}
	for _, p := range w.closed {
		durable[packKey{w.opts.Attempt, p.class, p.number}] = p.committed
	}
	all, rows := w.table, w.rows
	w.table, w.tableAt, w.rows = nil, map[packKey]uint32{}, nil
	for _, row := range rows {
		p := all[row.Pack]
		k := packKey{p.Attempt, p.Class, p.Number}
		if durable[k] || p.Attempt != w.opts.Attempt {
			w.addRow(k, row)
		}
	}
	w.setLengths()
	if len(w.rows) > 0 {
		_, _ = w.putSegment(context.Background())
	}
}

// setLengths completes the table for packs that were closed; w.mu is held.
func (w *Writer) setLengths() {
	for _, p := range w.closed {
		if at, ok := w.tableAt[packKey{w.opts.Attempt, p.class, p.number}]; ok {
			w.table[at].Length = p.size
		}
	}
}
