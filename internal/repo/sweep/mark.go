package sweep

import (
	"context"
	"fmt"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// batch is how many metadata records are read in the order in which they lie. With the depth
// of the trees it bounds what waits.
const batch = 4096

// marker finds what points and checkpoints need, by the ids that their metadata names in
// clear. Each id has one bit, set before what is below it is looked at, so each record is read
// once.
type marker struct {
	*lookup
	r    *repo.Repository
	opts *Options
	// stack are metadata chunks that are marked and not read. Those last found are read first,
	// so that it stays short.
	stack []at
	buf   []byte
	rows  []found

	read    int64 // metadata records
	missing int64 // ids that no segment has
	lost    error // the first of them, and who needs it

	firstMissing seal.ID
	// seen are the points that were followed, sorted.
	seen            []point.Attempt
	points          []point.Attempt // those that are no tombstones, sorted
	seenCheckpoints []string
}

func newMarker(r *repo.Repository, o *Options) (*marker, error) {
	l, err := newLookup(r.Segments(), tableRows)
	if err != nil {
		return nil, damagedIndex(err)
	}
	return &marker{lookup: l, r: r, opts: o}, nil
}

// live tells whether a point needs a chunk. If the index cannot tell, it does.
func (m *marker) live(id seal.ID) bool {
	b, ok, err := m.find(&id)
	return err != nil || ok && m.get(b)
}

// objects marks all that the points and checkpoints that are there need and that is not marked
// yet. It answers how many of them were new.
func (m *marker) objects(ctx context.Context) (fresh int, err error) {
	names, err := m.r.PointNames(ctx)
	if err != nil {
		return 0, err
	}
	checkpoints, err := m.newCheckpoints(ctx)
	if err != nil {
		return 0, err
	}
	// Points and checkpoints are listed: their segments were published before them.
	if err := m.r.Refresh(ctx); err != nil {
		return 0, err
	}
	m.extend(m.r.Segments())
	seen := make([]point.Attempt, 0, len(names))
	for i, a := range names {
		m.opts.progress(Marking, int64(i), int64(len(names)))
		if m.opts.DryRun && slices.Contains(m.opts.Purge, a) {
			continue // as if it were gone
		}
		seen = append(seen, a)
		if _, old := slices.BinarySearchFunc(m.seen, a, point.Attempt.Compare); old {
			continue
		}
		content, err := m.r.Point(ctx, a)
		if errs.KindOf(err) == errs.NotFound {
			continue // purged since it was listed
		}
		is, err := m.object(ctx, "restore point "+a.String(), a, content, err)
		if err != nil {
			return fresh, err
		}
		fresh += is
		if is > 0 {
			m.points = append(m.points, a)
		}
	}
	m.seen = seen
	slices.SortFunc(m.points, point.Attempt.Compare)
	for _, o := range checkpoints {
		is, err := m.object(ctx, o.Name, o.Attempt, o.Content, nil)
		if err != nil {
			return fresh, err
		}
		fresh += is
	}
	return fresh, nil
}

// newCheckpoints lists the checkpoints that count and were not there before.
func (m *marker) newCheckpoints(ctx context.Context) (fresh []repo.Object, err error) {
	var seen []string
	known := false
	for o, err := range m.r.Checkpoints(ctx) {
		if !known { // they are listed: their segments were published before them
			known = true
			if err := m.r.Refresh(ctx); err != nil {
				return fresh, err
			}
			m.extend(m.r.Segments())
		}
		if err == nil {
			_, err = point.Parse(o.Content)
		}
		if errs.KindOf(err) == errs.Corrupt {
			continue // it is nobody's parent: the attempt begins anew
		}
		if err != nil {
			return nil, err
		}
		counts, err := m.r.CheckpointCounts(ctx, o.Attempt)
		if err != nil {
			return nil, err
		}
		seen = append(seen, o.Name)
		if _, old := slices.BinarySearch(m.seenCheckpoints, o.Name); !old && counts(o.Number) {
			fresh = append(fresh, o)
		}
	}
	m.seenCheckpoints = seen
	return fresh, nil
}

// committed tells whether an attempt has made a point.
func (m *marker) committed(a point.Attempt) bool {
	_, ok := slices.BinarySearchFunc(m.points, a, point.Attempt.Compare)
	return ok
}

// object follows a point or a checkpoint. One that cannot be read ends the sweep: what it
// needs is not known.
func (m *marker) object(ctx context.Context, name string, a point.Attempt, content []byte, err error) (counts int, _ error) {
	var p point.Point
	if err == nil {
		p, err = point.Parse(content)
	}
	if err == nil && (p.Attempt != a || p.RepositoryID != m.r.Config().ID) {
		err = errs.New(errs.Corrupt, "point.place", "it is another attempt's, or another repository's")
	}
	if err != nil {
		if k := errs.KindOf(err); k == errs.Corrupt || k == errs.Invalid {
			err = errs.New(k, "sweep.point", "sweep: what %s needs cannot be told, so nothing may be deleted: %w", name, err).
				WithHint("delete the point, or put it back from a copy of the repository, and sweep again")
		}
		return 0, err
	}
	if p.Type == point.Tombstone {
		return 0, nil
	}
	for _, id := range append([]seal.ID{p.RootID}, p.Refs...) {
		if err := m.mark(&id); err != nil {
			return 0, err
		}
	}
	if err := m.follow(ctx); err != nil {
		return 0, m.blame(name, err)
	}
	if m.missing > 0 && m.lost == nil {
		m.lost = errs.New(errs.Corrupt, "", "%s, and perhaps others, need chunk %s", name, m.firstMissing)
	}
	return 1, nil
}

// whole tells whether all that is needed was found. What no segment tells of may be metadata:
// then what is below it is needed and not marked.
func (m *marker) whole() error {
	if m.missing == 0 {
		return nil
	}
	return errs.New(errs.Corrupt, "sweep.missing", "sweep: %d chunks that points need are nowhere in the repository, so it cannot be told what else is needed, and nothing may be deleted: %w", m.missing, m.lost).
		WithHint("check the repository: it names the points; put the lost packs back, or delete these points, and sweep again")
}

// blame names the point that needs what cannot be read.
func (m *marker) blame(name string, err error) error {
	if k := errs.KindOf(err); k != errs.Corrupt && k != errs.NotFound {
		return err
	}
	return errs.New(errs.Corrupt, "sweep.metadata", "sweep: what %s needs cannot be told, so nothing may be deleted: %w", name, err).
		WithHint("check the repository with its data; if this cannot be repaired, delete the points that need it and sweep again")
}

func damagedIndex(err error) error {
	if errs.KindOf(err) != errs.Corrupt {
		return err
	}
	return errs.New(errs.Corrupt, "sweep.index", "sweep: the index is damaged, so nothing may be deleted: %w", err).
		WithHint("check the repository: a check repairs its index")
}

// mark sets the bit of an id. If it was not set, and it may be metadata, it waits to be read.
func (m *marker) mark(id *seal.ID) error {
	b, ok, err := m.find(id)
	if err != nil {
		return damagedIndex(err)
	}
	if !ok {
		if m.missing++; m.missing == 1 {
			m.firstMissing = *id
		}
		return nil
	}
	if m.get(b) {
		return nil
	}
	m.put(b)
	if m.rows, err = m.lookup.rows(m.rows[:0], id); err != nil {
		return damagedIndex(err)
	}
	// Whoever stores a chunk says of what kind it is: one who lies must not hide what is below
	// another's.
	if i := slices.IndexFunc(m.rows, func(f found) bool { return f.Kind.Meta() }); i >= 0 {
		m.stack = append(m.stack, m.rowOf(b))
	}
	return nil
}

// rowOf is the row that a bit stands for.
func (l *lookup) rowOf(b bit) at {
	if b.set == 0 {
		return l.table[b.n].at
	}
	return at{uint32(l.large[b.set-1]), uint32(b.n)}
}

// follow reads what waits until nothing does.
func (m *marker) follow(ctx context.Context) error {
	var todo []waiting
	for len(m.stack) > 0 {
		from := max(0, len(m.stack)-batch)
		todo = todo[:0]
		for _, a := range m.stack[from:] {
			row, err := m.segs[a.seg].At(int64(a.row))
			if err != nil {
				return damagedIndex(err)
			}
			todo = append(todo, waiting{row.ID, repo.LocationOf(m.segs[a.seg].Segment, row)})
		}
		m.stack = m.stack[:from]
		slices.SortFunc(todo, func(a, b waiting) int { return a.place.ComparePlace(b.place) })
		for i := range todo {
			if err := m.visit(ctx, &todo[i].id); err != nil {
				return err
			}
		}
	}
	return nil
}

type waiting struct {
	id    seal.ID
	place repo.Location
}

// visit reads a metadata chunk and marks what it refers to. Ids stand in clear, and another
// computer may have stored something else under this one: all its places count.
func (m *marker) visit(ctx context.Context, id *seal.ID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	rows, err := m.lookup.rows(nil, id)
	if err != nil {
		return damagedIndex(err)
	}
	var first error
	good := false
	for _, l := range m.metaPlaces(rows) {
		if err := m.opts.wait(ctx, int64(l.Length)); err != nil {
			return err
		}
		rec, err := m.r.ReadRecord(ctx, l, m.buf)
		if k := errs.KindOf(err); k == errs.Corrupt || k == errs.NotFound {
			if first == nil {
				first = err
			}
			continue
		}
		if err != nil {
			return err
		}
		m.buf, good = rec.Bytes(), true
		m.read++
		for i := range rec.NumRefs() {
			ref := rec.Ref(i)
			if err := m.mark(&ref); err != nil {
				return err
			}
		}
	}
	if good {
		return nil
	}
	// It may have been moved since the index was read.
	err = m.r.ReadGood(ctx, *id, func(rec *seal.Record) error {
		if !rec.Kind.Meta() {
			return errs.New(errs.Corrupt, "sweep.kind", "the record is no metadata")
		}
		for i := range rec.NumRefs() {
			ref := rec.Ref(i)
			if err := m.mark(&ref); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && first != nil && errs.KindOf(err) == errs.NotFound {
		err = first
	}
	if err != nil {
		return fmt.Errorf("follow chunk %s: %w", id, err)
	}
	return nil
}

// metaPlaces are the distinct places of an id that are not marked as damaged.
func (m *marker) metaPlaces(rows []found) []repo.Location {
	var out, bad []repo.Location
	for i := range rows {
		l := repo.LocationOf(m.segs[rows[i].seg].Segment, rows[i].Row)
		same := func(o repo.Location) bool { return o.SamePlace(l) }
		switch {
		case l.Flags&segment.Damaged != 0:
			bad = append(bad, l)
		case l.Kind.Meta() && !slices.ContainsFunc(out, same):
			out = append(out, l)
		}
	}
	return slices.DeleteFunc(out, func(l repo.Location) bool {
		return slices.ContainsFunc(bad, func(b repo.Location) bool { return b.SamePlace(l) })
	})
}
