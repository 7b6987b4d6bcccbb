package repo

import (
	"context"
	"iter"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/storage"
)

// Object is a stored point or checkpoint.
type Object struct {
	Name    string // within the repository
	Attempt point.Attempt
	Number  uint32 // of a checkpoint: the higher, the later
	Content []byte
	// Deleted and Held are the point's markers. A deleted point is hidden, and needed until it
	// is purged.
	Deleted, Held *Note
}

// Point reads what stands under an attempt's point name: a point or a tombstone. It is
// durable when this returns.
func (r *Repository) Point(ctx context.Context, a point.Attempt) ([]byte, error) {
	content, err := r.b.Get(ctx, pointName(a), point.MaxSize)
	if errs.KindOf(err) == errs.NotFound {
		return nil, errs.New(errs.NotFound, "point.not-found", "read restore point %s: there is none", a)
	}
	if err != nil {
		return nil, err
	}
	return content, r.b.Sync(ctx, pointsDir)
}

// Points reads all points and tombstones, deleted points among them. What cannot be read comes
// with its error and name; the rest goes on. Everything reported is durable.
func (r *Repository) Points(ctx context.Context) iter.Seq2[Object, error] {
	return r.PointsAfter(ctx, "")
}

// PointsAfter is Points from behind the point of an id on, in the order of their ids; to ask
// for the rest of a long list costs no reading of what came before.
func (r *Repository) PointsAfter(ctx context.Context, id string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		deleted, held, err := r.marks(ctx)
		if err != nil {
			yield(Object{}, err)
			return
		}
		for o, err := range r.objects(ctx, pointsDir, pointsDir+"/"+id, parsePointName) {
			o.Deleted, o.Held = deleted[o.Attempt], held[o.Attempt]
			if !yield(o, err) {
				return
			}
		}
	}
}

func parsePointName(name string) (point.Attempt, uint32, error) {
	a, err := point.ParseAttempt(name[len(pointsDir)+1:])
	if err != nil {
		return a, 0, badName(name)
	}
	return a, 0, nil
}

// Checkpoints reads all checkpoints, those of an attempt in their order.
func (r *Repository) Checkpoints(ctx context.Context) iter.Seq2[Object, error] {
	return r.objects(ctx, checkpointDir, "", parseNumbered)
}

// lastCheckpoint is the number of an attempt's last checkpoint; 0: there is none.
func (r *Repository) lastCheckpoint(ctx context.Context, a point.Attempt) (last uint32, err error) {
	err = r.b.List(ctx, checkpointDir, func(i storage.Info) error {
		if of, n, err := parseNumbered(i.Name); err == nil && of == a {
			last = max(last, n)
		}
		return nil
	})
	return last, err
}

// CheckpointCounts answers which checkpoints of an attempt count: not those that were put
// after the attempt had been cut off.
func (r *Repository) CheckpointCounts(ctx context.Context, a point.Attempt) (func(number uint32) bool, error) {
	all := func(uint32) bool { return true }
	content, err := r.Point(ctx, a)
	if k := errs.KindOf(err); k == errs.NotFound || k == errs.Corrupt {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := point.Parse(content)
	if err != nil || p.Type != point.Tombstone {
		return all, nil //nolint:nilerr // a damaged point says nothing of checkpoints
	}
	return p.CheckpointCounts, nil
}

// LatestCheckpoint reads the last checkpoint of an attempt that is whole. What the attempt put
// after it had been cut off does not count.
func (r *Repository) LatestCheckpoint(ctx context.Context, a point.Attempt) ([]byte, error) {
	counts, err := r.CheckpointCounts(ctx, a)
	if err != nil {
		return nil, err
	}
	infos, err := r.list(ctx, checkpointDir)
	if err != nil {
		return nil, err
	}
	for _, info := range slices.Backward(infos) { // names of one attempt list in their order
		if of, n, err := parseNumbered(info.Name); err != nil || of != a || !counts(n) {
			continue
		}
		content, err := r.b.Get(ctx, info.Name, point.MaxSize)
		if err != nil && errs.KindOf(err) != errs.Corrupt && errs.KindOf(err) != errs.NotFound {
			return nil, err
		}
		if _, perr := point.Parse(content); err == nil && perr == nil {
			return content, nil
		}
	}
	return nil, errs.New(errs.NotFound, "checkpoint.not-found", "read checkpoint of attempt %s: there is none", a)
}

func (r *Repository) objects(ctx context.Context, dir, after string, parse func(string) (point.Attempt, uint32, error)) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		infos, err := r.list(ctx, dir)
		if err != nil {
			yield(Object{}, err)
			return
		}
		for _, info := range infos {
			if info.Name <= after {
				continue
			}
			o := Object{Name: info.Name}
			o.Attempt, o.Number, err = parse(info.Name)
			if err == nil {
				o.Content, err = r.b.Get(ctx, info.Name, point.MaxSize)
			}
			if errs.KindOf(err) == errs.NotFound {
				continue // deleted since it was listed
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// Fence settles an attempt: it puts a tombstone under its point name, unless a point is
// there. It answers which of the two stands there, durably. Packs that the attempt left
// unfinished are removed.
func (r *Repository) Fence(ctx context.Context, a point.Attempt, reason string) (committed bool, err error) {
	if r.cfg.Writable() != nil { // the attempt was not allowed to write either
		committed, err = r.committed(ctx, a)
		if errs.KindOf(err) == errs.NotFound {
			err = nil
		}
		return committed, err
	}
	committed, err = r.settle(ctx, a, reason)
	if c, ok := r.b.(storage.Cleaner); ok && err == nil {
		// If its mover still lives, it loses packs that nobody may use any more. What cannot be
		// removed is garbage, and no reason to call the attempt unsettled.
		_ = c.Clean(ctx, attemptDir(a))
	}
	if err == nil {
		// A marker that stays is stale, and a sweep removes it.
		_ = r.CloseAttempt(ctx, a)
	}
	return committed, err
}

func (r *Repository) settle(ctx context.Context, a point.Attempt, reason string) (committed bool, err error) {
	// The checkpoints that count are those from before: what a mover that was cut off puts
	// later may rely on what a sweep, which no longer waits for it, deletes.
	last, err := r.lastCheckpoint(ctx, a)
	if err != nil {
		return false, err
	}
	err = r.b.Put(ctx, pointName(a), point.EncodeTombstone(r.cfg.ID, a, reason, last))
	if err == nil {
		return false, nil
	}
	if errs.KindOf(err) != errs.Exists {
		return false, err
	}
	return r.committed(ctx, a)
}

// committed tells whether what stands under an attempt's name is a point.
func (r *Repository) committed(ctx context.Context, a point.Attempt) (bool, error) {
	content, err := r.Point(ctx, a)
	if err != nil {
		return false, err
	}
	p, err := point.Parse(content)
	return err == nil && p.Type != point.Tombstone, err
}
