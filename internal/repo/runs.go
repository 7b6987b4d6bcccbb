package repo

import (
	"cmp"
	"context"
	"io"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

const (
	// runGap is the gap between two records that is read rather than left out: a disk needs
	// longer to seek than to read it.
	runGap = 1 << 20
	// runSize bounds the bytes of a run, so that a few readers hold little and none waits
	// long for the others' window. A single longer record is a run of its own.
	runSize = 2 << 20
)

// Run is records that lie near each other in one pack, to be read in one piece.
type Run struct {
	places []runPlace // ascending by offset; one without a place if the index has none
	size   int
}

type runPlace struct {
	at int // index among the ids asked for
	id seal.ID
	l  Location
}

// Runs parts ids into runs for owner's points: the packs in the order of their first use, each
// from its beginning to its end. What no index knows is a run by itself, whose Read says so.
func (r *Repository) Runs(ctx context.Context, owner [16]byte, ids []seal.ID) []Run {
	order := make(map[place]int)      // by the place of the pack's beginning
	packs := make([][]runPlace, 0, 4) // most batches lie in one pack or two
	var runs []Run
	for i, id := range ids {
		all := r.LocationsFor(ctx, owner, id)
		if len(all) == 0 {
			runs = append(runs, Run{places: []runPlace{{at: i, id: id}}})
			continue
		}
		k := all[0].place()
		k.offset = 0
		n, known := order[k]
		if !known {
			n = len(packs)
			order[k] = n
			packs = append(packs, nil)
		}
		packs[n] = append(packs[n], runPlace{at: i, id: id, l: all[0]})
	}
	for _, p := range packs {
		slices.SortStableFunc(p, func(a, b runPlace) int { return cmp.Compare(a.l.Offset, b.l.Offset) })
		runs = appendRuns(runs, p)
	}
	return runs
}

// appendRuns parts the places of one pack, sorted.
func appendRuns(runs []Run, p []runPlace) []Run {
	from, end := 0, int64(0)
	for i := range p {
		start, stop := int64(p[i].l.Offset), int64(p[i].l.Offset)+int64(p[i].l.Length)
		first := int64(p[from].l.Offset)
		if i > from && (start-end >= runGap || stop-first > runSize) {
			runs = append(runs, Run{places: p[from:i], size: int(end - first)})
			from, end = i, 0
		}
		end = max(end, stop)
	}
	if from < len(p) {
		runs = append(runs, Run{places: p[from:], size: int(end - int64(p[from].l.Offset))})
	}
	return runs
}

// Size is how many bytes ReadRun reads.
func (n *Run) Size() int { return n.size }

// Asked is how many of them are those of its records.
func (n *Run) Asked() int {
	sum := 0
	for i := range n.places {
		sum += int(n.places[i].l.Length)
	}
	return sum
}

// ReadRun reads a run into buf, or a larger one if it is too small, and calls fn once for each
// of its records, with the index it had among the ids and the record or why it cannot be had.
// A record that is not good where it lies is read from another place. The record's bytes are
// buf's, or its own memory.
func (r *Repository) ReadRun(ctx context.Context, owner [16]byte, n Run, buf []byte, fn func(i int, rec seal.Record, err error)) {
	whole, bad := r.readRange(ctx, n, buf)
	for _, p := range n.places {
		rec, err := seal.Record{}, bad
		if err == nil {
			rec, err = parseAt(whole[p.l.Offset-n.places[0].l.Offset:], p.l)
		}
		if err != nil {
			// The way of single records knows other places, and what to say.
			rec, err = r.ReadFor(ctx, owner, p.id, nil)
		}
		fn(p.at, rec, err)
	}
}

func (r *Repository) readRange(ctx context.Context, n Run, buf []byte) ([]byte, error) {
	first := n.places[0].l
	if n.size == 0 || n.size > max(runSize, seal.MaxRecord) {
		return nil, errs.New(errs.Corrupt, "record.length", "%d bytes are no run", n.size)
	}
	p, err := r.packs.acquire(ctx, first.PackName())
	if err != nil {
		return nil, err
	}
	defer r.packs.release(p)
	if cap(buf) < n.size {
		buf = make([]byte, n.size)
	}
	buf = buf[:n.size]
	if got, err := p.reader.ReadAt(buf, int64(first.Offset)); got < len(buf) {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf, nil
}

// parseAt reads the record at the start of b, which must be the one that l names.
func parseAt(b []byte, l Location) (seal.Record, error) {
	rec, err := seal.ParseRecord(b[:l.Length])
	if err == nil && (rec.ID != l.ID || rec.Len() != int(l.Length)) {
		err = errs.New(errs.Corrupt, "record.place", "there is another record, %s", rec.ID)
	}
	return rec, err
}

// LocationsFor are the places of a chunk in the order in which owner's points try them.
func (r *Repository) LocationsFor(ctx context.Context, owner [16]byte, id seal.ID) []Location {
	all := r.Locations(ctx, id)
	r.prefer(ctx, owner, all)
	return all
}
