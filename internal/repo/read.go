package repo

import (
	"context"
	"io"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// ReadRecord reads the record at a place into buf, or a larger one, and checks its checksum
// and that it is the chunk that the place is said to hold. The record's bytes are buf's.
// An error of kind Corrupt or NotFound names chunk and pack.
func (r *Repository) ReadRecord(ctx context.Context, l Location, buf []byte) (seal.Record, error) {
	if l.Length > seal.MaxRecord {
		return seal.Record{}, damaged(l, errs.New(errs.Corrupt, "record.length", "%d bytes are too many", l.Length))
	}
	p, err := r.packs.acquire(ctx, l.PackName())
	if err != nil {
		if errs.KindOf(err) == errs.NotFound {
			return seal.Record{}, errs.New(errs.NotFound, "pack.missing", "read chunk %s: its pack %s is missing: %w", l.ID, l.PackName(), err).
				WithHint("run a check of the repository: it names the files that need this pack")
		}
		return seal.Record{}, err
	}
	defer r.packs.release(p)
	if cap(buf) < int(l.Length) {
		buf = make([]byte, l.Length)
	}
	buf = buf[:l.Length]
	if n, err := p.reader.ReadAt(buf, int64(l.Offset)); n < len(buf) {
		if err == nil || err == io.EOF {
			err = errs.New(errs.Corrupt, "pack.short", "the pack ends within it")
		}
		return seal.Record{}, damaged(l, err)
	}
	rec, err := seal.ParseRecord(buf)
	if err == nil && (rec.ID != l.ID || rec.Len() != len(buf)) {
		err = errs.New(errs.Corrupt, "record.place", "there is another record, %s", rec.ID)
	}
	if err != nil {
		return seal.Record{}, damaged(l, err)
	}
	return rec, nil
}

// damaged names chunk and pack; an error that is not about the bytes keeps its kind.
func damaged(l Location, err error) error {
	kind, code := errs.KindOf(err), "chunk.damaged"
	if kind != errs.Corrupt {
		code = errs.CodeOf(err)
	}
	return errs.New(kind, code, "read chunk %s in pack %s at %d: %w", l.ID, l.PackName(), l.Offset, err).
		WithHint("run a check of the repository with its data: it names the files that need this chunk")
}

// Read reads a chunk from wherever it can be read.
func (r *Repository) Read(ctx context.Context, id seal.ID, buf []byte) (seal.Record, error) {
	return r.readRefreshed(ctx, id, buf, nil, nil)
}

// readRefreshed is readAny at the places that the index tells of, in their order or that of
// order. If none of them will do, the chunk may have moved: it lists again and tries what is
// new. What is good nowhere is made good by parity, if there is some.
func (r *Repository) readRefreshed(ctx context.Context, id seal.ID, buf []byte, order func([]Location), good func(*seal.Record) error) (seal.Record, error) {
	places := func() []Location {
		all := r.Locations(ctx, id)
		if order != nil {
			order(all)
		} else {
			r.fullestFirst(ctx, all)
		}
		return all
	}
	tried := places()
	rec, err := r.readAny(ctx, id, tried, buf, good)
	switch errs.KindOf(err) {
	case errs.NotFound, errs.Corrupt:
		if rerr := r.Refresh(ctx); rerr != nil {
			return rec, joinErr(err, rerr)
		}
		fresh := slices.DeleteFunc(places(), func(l Location) bool { return slices.ContainsFunc(tried, l.SamePlace) })
		if len(fresh) > 0 {
			rec, err = r.readAny(ctx, id, fresh, buf, good)
		}
	case errs.Unavailable: // the disk does not give it
	default:
		return rec, err
	}
	if err == nil {
		return rec, nil
	}
	all := r.Places(ctx, id) // also those that are marked as damaged
	if order != nil {
		order(all)
	}
	if mended, ok := r.readMended(ctx, all, good); ok {
		return mended, nil
	}
	return rec, err
}

// readAny reads a chunk from the first of places that has it, and has it good, where good is
// given. The error is that of the first.
func (r *Repository) readAny(ctx context.Context, id seal.ID, places []Location, buf []byte, good func(*seal.Record) error) (seal.Record, error) {
	var first error
	for _, l := range places {
		rec, err := r.ReadRecord(ctx, l, buf)
		if err == nil && good != nil {
			err = good(&rec)
		}
		if err == nil {
			return rec, nil
		}
		if ctx.Err() != nil {
			return seal.Record{}, err
		}
		first = firstErr(first, err)
	}
	if first == nil {
		first = errs.New(errs.NotFound, "chunk.missing", "read chunk %s: the repository does not hold it", id).
			WithHint("run a check of the repository: it names the files that need this chunk")
	}
	return seal.Record{}, first
}

// ReadFor is Read for one computer: what its own attempts stored, or a mover has proved, is
// tried first. Ids stand in clear, so another computer may have stored something else under
// an id that this one needs.
func (r *Repository) ReadFor(ctx context.Context, owner [16]byte, id seal.ID, buf []byte) (seal.Record, error) {
	return r.readRefreshed(ctx, id, buf, func(all []Location) { r.prefer(ctx, owner, all) }, nil)
}

// doubt is 0 for a place that may be relied on for owner's points.
func doubt(l *Location, owner [16]byte) int {
	if l.Owner == owner || l.Proved() {
		return 0
	}
	return 1
}

// ReadGood is Read for who can open chunks: it takes the first place whose record good
// answers without an error.
func (r *Repository) ReadGood(ctx context.Context, id seal.ID, good func(*seal.Record) error) error {
	_, err := r.readRefreshed(ctx, id, nil, nil, good)
	return err
}
