package compact

import (
	"bufio"
	"context"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
	"keepward/internal/storage"
)

const (
	// packBuffer joins records into one write.
	packBuffer = 1 << 20
	// maxPending rows are kept before a segment is published: 20 MiB, and what a killed run does
	// for nothing.
	maxPending = 1 << 16
)

// output writes the new packs and then the segments that tell of them. After the first error
// nothing more is written.
type output struct {
	r   *repo.Repository
	o   Options
	err error

	owner  [16]byte
	class  pack.Class
	open   *newPack // nil: none
	number map[pack.Class]uint32

	order   uint32 // of packs begun, of both classes: what `after` counts
	closed  []*newPack
	pending map[seal.ID][]copied // of open and closed
	marks   []repo.Location      // damaged places, not yet published

	segment   uint32 // the number of the last segment that was put, or tried
	published uint32 // packs up to this in order are in the index
	bytes     int64
	packs     int
	segments  int
}

// newPack is a pack of this run that the index does not tell of yet.
type newPack struct {
	key     pack.Key
	order   uint32
	owner   [16]byte
	out     storage.Writer
	buf     *bufio.Writer
	size    int64
	bytes   int64 // of records
	entries []pack.Entry
	needs   []need
}

// copied is where a chunk lies in a new pack.
type copied struct {
	order uint32
	need  need
}

func newOutput(r *repo.Repository, o Options) *output {
	return &output{r: r, o: o, number: map[pack.Class]uint32{}, pending: map[seal.ID][]copied{}}
}

// begin says whose the records are that come now. No pack is open.
func (w *output) begin(owner [16]byte, class pack.Class) { w.owner, w.class = owner, class }

// has tells whether a new pack holds the chunk, as good for owner as need says.
func (w *output) has(id seal.ID, n need, owner [16]byte) (order uint32, ok bool) {
	for _, c := range w.pending[id] {
		if (c.need.proved || !n.proved && slices.Contains(c.need.owners, owner)) && !c.need.punched {
			return c.order, true
		}
	}
	return 0, false
}

// fail makes err the end.
func (w *output) fail(err error) error {
	if w.err == nil {
		w.err = err
	}
	return err
}

// add writes a record and answers the order of its pack.
func (w *output) add(ctx context.Context, rec *seal.Record, n need) (uint32, error) {
	if w.open == nil {
		if err := w.create(ctx); err != nil {
			return 0, w.fail(err)
		}
	}
	p := w.open
	n.punched = n.punched || rec.Punched
	if _, err := p.buf.Write(rec.Bytes()); err != nil {
		return 0, w.fail(err)
	}
	p.entries = append(p.entries, pack.Entry{ID: rec.ID, Offset: uint32(p.size), Length: uint32(rec.Len()), Kind: rec.Kind, Punched: rec.Punched})
	p.needs = append(p.needs, n)
	p.size += int64(rec.Len())
	p.bytes += int64(rec.Len())
	w.pending[rec.ID] = append(w.pending[rec.ID], copied{p.order, n})
	if p.size < w.o.PackSize {
		return p.order, nil
	}
	return p.order, w.close(ctx)
}

// create begins a pack under the next free number: a run of the same attempt may have been
// here before.
func (w *output) create(ctx context.Context) error {
	for {
		w.number[w.class]++
		k := pack.Key{Attempt: w.o.Attempt, Class: w.class, Number: w.number[w.class]}
		// The pack lives longer than ctx: it is ended in order when the run is.
		out, err := w.r.Backend().Create(context.WithoutCancel(ctx), repo.PackName(k.Attempt, k.Class, k.Number))
		if errs.KindOf(err) == errs.Exists {
			continue
		}
		if err != nil {
			return err
		}
		w.order++
		w.open = &newPack{key: k, order: w.order, owner: w.owner, out: out, buf: bufio.NewWriterSize(out, packBuffer), size: pack.HeaderSize}
		_, err = w.open.buf.Write(pack.Header{
			Class: k.Class, RepositoryID: w.r.Config().ID, Attempt: k.Attempt, Owner: w.owner, Number: k.Number,
		}.Append(nil))
		return err
	}
}

// close makes the open pack durable, and publishes if much is pending.
func (w *output) close(ctx context.Context) error {
	p := w.open
	if p == nil || w.err != nil {
		return w.err
	}
	_, err := p.buf.Write(pack.AppendDirectory(nil, p.size, p.entries))
	if err == nil {
		err = p.buf.Flush()
	}
	if err == nil {
		err = p.out.Commit(context.WithoutCancel(ctx))
	}
	if err != nil {
		return w.fail(err)
	}
	w.open = nil
	w.closed = append(w.closed, p)
	if len(w.pending) < maxPending {
		return nil
	}
	return w.publish(ctx)
}

// mark has the next segment say that a place is damaged.
func (w *output) mark(l repo.Location) { w.marks = append(w.marks, l) }

// publish puts the segment of all closed packs. No pack is open.
func (w *output) publish(ctx context.Context) error {
	if len(w.closed) == 0 && len(w.marks) == 0 {
		return nil
	}
	packs, rows := w.rows()
	var err error
	w.segment, err = w.r.PublishSegment(context.WithoutCancel(ctx), segment.Header{Attempt: w.o.Attempt, Number: w.segment + 1}, packs, rows)
	if err != nil {
		return w.fail(err)
	}
	w.segments++
	for _, p := range w.closed {
		w.bytes += p.bytes
		w.packs++
		w.published = p.order
	}
	w.closed, w.marks = nil, nil
	clear(w.pending)
	return nil
}

// rows are what the segment says: for each record one row of each of its owners.
func (w *output) rows() (packs []segment.Pack, rows []segment.Row) {
	type owned struct {
		pack.Key
		owner [16]byte
	}
	at := map[owned]uint32{}
	add := func(k pack.Key, owner [16]byte, length int64, row segment.Row) {
		o := owned{k, owner}
		n, ok := at[o]
		if !ok {
			n = uint32(len(packs))
			at[o] = n
			packs = append(packs, segment.Pack{Attempt: k.Attempt, Class: k.Class, Number: k.Number, Length: length, Owner: owner})
		}
		row.Pack = n
		rows = append(rows, row)
	}
	for _, p := range w.closed {
		length := p.size + int64(len(pack.AppendDirectory(nil, p.size, p.entries)))
		for i, e := range p.entries {
			row := segment.Row{ID: e.ID, Offset: e.Offset, Length: e.Length, Kind: e.Kind}
			if p.needs[i].proved {
				row.Flags |= segment.Proved
			}
			if e.Punched {
				row.Flags |= segment.Punched
			}
			for _, owner := range p.needs[i].owners {
				add(p.key, owner, length, row)
			}
		}
	}
	for _, l := range w.marks {
		add(l.PackKey(), [16]byte{}, 0, segment.Row{ID: l.ID, Offset: l.Offset, Length: l.Length, Kind: l.Kind, Flags: segment.Damaged})
	}
	return packs, rows
}

// end makes known what is durable. After an error the open pack is dropped; what the index
// could not be told of is taken back, so that a full disk is not left fuller.
func (w *output) end(ctx context.Context, cause error) error {
	if cause == nil {
		if cause = w.close(ctx); cause == nil {
			cause = w.publish(ctx)
		}
		if cause == nil {
			return nil
		}
	}
	if w.open != nil {
		w.open.out.Abort()
		if errs.KindOf(cause) != errs.Exists { // it may have got its name before it failed
			w.remove(ctx, w.open)
		}
		w.open = nil
	}
	w.err = nil
	if err := w.publish(ctx); err != nil {
		w.takeBack(ctx)
	}
	return cause
}

// takeBack removes the packs that no segment tells of, unless the put that failed has left its
// segment after all.
func (w *output) takeBack(ctx context.Context) {
	there, err := storage.Exists(context.WithoutCancel(ctx), w.r.Backend(), repo.SegmentName(w.o.Attempt, w.segment))
	if there || err != nil {
		return
	}
	for _, p := range w.closed {
		w.remove(ctx, p)
	}
}

// remove deletes a pack that nobody can know of. If it cannot, it is garbage that the next
// sweep finds.
func (w *output) remove(ctx context.Context, p *newPack) {
	_ = w.r.DeletePack(context.WithoutCancel(ctx), p.key)
}
