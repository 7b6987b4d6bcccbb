package repo

import (
	"cmp"
	"context"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// mended is said of what parity made good.
const mended = "nothing is lost: it was mended by the parity of its pack, in a pack of its own"

// noteHash keeps by which hash a chunk that is not good is known: what is mended is compared.
func (c *checker) noteHash(h seal.H) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hashes[h.ID()] = h
}

// mend makes what was found damaged anew where its pack has parity, and lies nowhere else. Nothing
// is written in place: what is mended goes into new packs, as if its computer had stored it again.
func (c *checker) mend(ctx context.Context) error {
	if !c.opts.Repair {
		return nil
	}
	rows := slices.Clone(c.badRows)
	slices.SortFunc(rows, func(a, b badRow) int {
		return cmp.Or(a.pack.Compare(b.pack), cmp.Compare(a.entry.Offset, b.entry.Offset))
	})
	w := &mendedPacks{c: c}
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].pack == rows[0].pack {
			n++
		}
		if err := w.pack(ctx, rows[0].pack, rows[:n]); err != nil {
			return joinErr(err, w.close(context.WithoutCancel(ctx)))
		}
		rows = rows[n:]
	}
	return w.close(ctx)
}

// mendedPacks writes one new pack for each that is damaged: so each keeps its computer.
type mendedPacks struct {
	c       *checker
	opener  *seal.Opener
	open    bool // the check's attempt is announced
	number  map[pack.Class]uint32
	content []byte
}

// pack mends one pack, as far as its parity suffices.
func (w *mendedPacks) pack(ctx context.Context, k pack.Key, rows []badRow) error {
	m, err := w.c.r.mender(ctx, k)
	if err != nil {
		return ctx.Err() // it has no parity, or none that can be read: there is nothing to say
	}
	defer m.close()
	var good []mendedRecord
	var out *packWriter
	for _, b := range rows {
		if err := ctx.Err(); err != nil {
			if out != nil {
				out.abort()
			}
			return err
		}
		if _, again := w.c.mended[b.entry.ID]; again || !w.c.lost(ctx, b.entry.ID) {
			continue
		}
		rec, proved, err := w.record(m, b.entry)
		if err != nil {
			continue // the finding stays as it is
		}
		if out == nil {
			if out, err = w.begin(ctx, k); err != nil {
				return err
			}
		}
		n := mendedRecord{entry: entryOf(rec, out.size)}
		n.owners, n.flags = w.c.r.saidAt(ctx, k, b.entry)
		if proved {
			n.flags |= segment.Proved
		}
		if err := out.add(&rec); err != nil {
			out.abort()
			return err
		}
		good = append(good, n)
		w.c.mended[b.entry.ID] = true
	}
	if out == nil {
		return nil
	}
	if err := out.commit(ctx); err != nil {
		return err
	}
	return w.publish(ctx, k.Class, out, good)
}

// mendedRecord is a record of a new pack, and what the index says of it.
type mendedRecord struct {
	entry  pack.Entry
	owners [][16]byte
	flags  segment.Flags
}

// record makes a record anew and compares its content with its hash, where that is known.
func (w *mendedPacks) record(m *mender, e pack.Entry) (rec seal.Record, proved bool, err error) {
	if rec, err = m.record(e); err != nil {
		return rec, false, err
	}
	h, known := w.c.hashes[e.ID]
	if !known || w.c.opts.Keys == nil {
		return rec, false, nil
	}
	if w.opener == nil {
		if w.opener, err = seal.NewOpener(w.c.opts.Keys); err != nil {
			return rec, false, err
		}
	}
	content, err := w.opener.Open(w.content, &rec, h)
	if err != nil {
		return rec, false, err
	}
	w.content = content
	if rec.Kind.Meta() {
		_, _, err = checkRefs(&rec, content)
	}
	return rec, true, err
}

// begin opens a pack of the check's attempt, which no sweep takes until the index tells of it.
func (w *mendedPacks) begin(ctx context.Context, k pack.Key) (*packWriter, error) {
	r, a := w.c.r, w.c.opts.Attempt
	if !w.open {
		if err := r.OpenMaintenance(ctx, a, w.c.opts.Term); err != nil {
			return nil, err
		}
		w.open, w.number = true, map[pack.Class]uint32{}
	}
	for {
		w.number[k.Class]++
		p, err := newPackWriter(context.WithoutCancel(ctx), r.b, pack.Header{
			Class: k.Class, RepositoryID: r.cfg.ID, Attempt: a, Owner: r.ownerOf(k.Attempt), Number: w.number[k.Class],
		})
		if errs.KindOf(err) != errs.Exists { // an earlier run of the attempt may have been here
			return p, err
		}
	}
}

// publish has the index tell where what was mended lies, for all who relied on it.
func (w *mendedPacks) publish(ctx context.Context, class pack.Class, p *packWriter, records []mendedRecord) error {
	c := w.c
	var packs []segment.Pack
	var rows []segment.Row
	at := map[[16]byte]uint32{}
	for _, rec := range records {
		for _, owner := range rec.owners {
			n, ok := at[owner]
			if !ok {
				n = uint32(len(packs))
				at[owner] = n
				packs = append(packs, segment.Pack{Attempt: c.opts.Attempt, Class: class, Number: p.number, Length: p.size, Owner: owner})
			}
			rows = append(rows, segment.Row{ID: rec.entry.ID, Pack: n, Offset: rec.entry.Offset, Length: rec.entry.Length, Kind: rec.entry.Kind, Flags: rec.flags})
		}
	}
	c.publishing.Lock()
	defer c.publishing.Unlock()
	n, err := c.r.PublishSegment(ctx, segment.Header{Attempt: c.opts.Attempt, Number: c.numbers.segment + 1}, packs, rows)
	c.numbers.segment = n
	return err
}

// close ends the announcement: what was written is known to others, or it is garbage.
func (w *mendedPacks) close(ctx context.Context) error {
	if w.opener != nil {
		w.opener.Close()
	}
	if !w.open {
		return nil
	}
	return w.c.r.CloseAttempt(ctx, w.c.opts.Attempt)
}

// saidAt are those who rely on a record at its place, and whether it is said to be punched.
func (r *Repository) saidAt(ctx context.Context, k pack.Key, e pack.Entry) (owners [][16]byte, flags segment.Flags) {
	at := place{k.Attempt, k.Class, k.Number, e.Offset}
	for _, l := range r.found(ctx, e.ID) {
		if l.place() != at || l.Flags&segment.Damaged != 0 {
			continue
		}
		flags |= l.Flags & segment.Punched
		if !slices.Contains(owners, l.Owner) {
			owners = append(owners, l.Owner)
		}
	}
	if len(owners) == 0 { // the index does not know it
		owners = [][16]byte{r.ownerOf(k.Attempt)}
	}
	return owners, flags
}

// mendedNode opens a metadata chunk that is good nowhere at a place that is marked as damaged and
// is not any more, or as its parity makes it, in memory: what hangs below it is needed too.
func (v *treeWalk) mendedNode(ctx context.Context, p *prover, h seal.H) (refs []reference, found bool) {
	for _, l := range markedPlaces(v.c.r.Places(ctx, h.ID())) {
		if refs, _, err := v.at(ctx, p, h, l); err == nil {
			return refs, true
		}
	}
	_, found = v.c.r.readMended(ctx, v.c.r.Places(ctx, h.ID()), func(rec *seal.Record) error {
		content, err := p.opener.Open(nil, rec, h)
		if err == nil {
			refs, _, err = checkRefs(rec, content)
		}
		return err
	})
	return refs, found
}

// parity looks at the parity of a pack that was read and is good, and removes it if it is damaged:
// it is made anew. That of a damaged pack is left alone, since some of it may help.
func (c *checker) parity(ctx context.Context, k pack.Key) error {
	rd, err := c.r.b.Open(ctx, parityName(k))
	if errs.KindOf(err) == errs.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	o, err := c.r.openParity(k, rd)
	if err == nil && o.Size != c.sizeOf(k) {
		err = errs.New(errs.Corrupt, "parity.size", "read %s: it is of a pack of %d bytes", parityName(k), o.Size)
	}
	if err == nil {
		err = o.Verify()
	}
	c.read.Add(rd.Size())
	_ = rd.Close() // only read
	switch errs.KindOf(err) {
	case "":
		return nil
	case errs.Cancelled:
		return err
	case errs.Invalid: // of a newer version
		return nil
	}
	f := Finding{Object: "parity", Name: parityName(k), Code: "parity.damaged", Text: err.Error(), Repaired: "nothing is lost by it: its pack is good"}
	if c.opts.Repair && errs.KindOf(err) == errs.Corrupt {
		if err := c.r.remove(ctx, parityName(k)); err != nil {
			return err
		}
		f.Repaired += "; it was removed, to be made anew"
	}
	c.find(f)
	return nil
}

func (c *checker) sizeOf(k pack.Key) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.there[k]
}
