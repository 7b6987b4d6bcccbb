package repo

import (
	"context"
	"iter"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
)

// Object is a stored point or checkpoint.
type Object struct {
	Name    string // within the repository
	Attempt point.Attempt
	Number  uint32 // of a checkpoint: the higher, the later
	Content []byte
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

// Points reads all points and tombstones. What cannot be read comes with its error and name;
// the rest goes on. Everything reported is durable.
func (r *Repository) Points(ctx context.Context) iter.Seq2[Object, error] {
	return r.objects(ctx, pointsDir, func(name string) (point.Attempt, uint32, error) {
		a, err := point.ParseAttempt(name[len(pointsDir)+1:])
		if err != nil {
			return a, 0, badName(name)
		}
		return a, 0, nil
	})
}

// Checkpoints reads all checkpoints, those of an attempt in their order.
func (r *Repository) Checkpoints(ctx context.Context) iter.Seq2[Object, error] {
	return r.objects(ctx, checkpointDir, parseNumbered)
}

// LatestCheckpoint reads the last checkpoint of an attempt that is whole.
func (r *Repository) LatestCheckpoint(ctx context.Context, a point.Attempt) ([]byte, error) {
	var latest []byte
	for o, err := range r.Checkpoints(ctx) {
		if err != nil && o.Name == "" {
			return nil, err // the listing failed, not one object
		}
		if err != nil || o.Attempt != a {
			continue
		}
		if _, err := point.Parse(o.Content); err == nil {
			latest = o.Content
		}
	}
	if latest == nil {
		return nil, errs.New(errs.NotFound, "checkpoint.not-found", "read checkpoint of attempt %s: there is none", a)
	}
	return latest, nil
}

func (r *Repository) objects(ctx context.Context, dir string, parse func(string) (point.Attempt, uint32, error)) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		infos, err := r.list(ctx, dir)
		if err != nil {
			yield(Object{}, err)
			return
		}
		for _, info := range infos {
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
// there. It answers which of the two stands there, durably.
func (r *Repository) Fence(ctx context.Context, a point.Attempt, reason string) (committed bool, err error) {
	err = r.b.Put(ctx, pointName(a), point.EncodeTombstone(r.cfg.ID, a, reason))
	if err == nil {
		return false, nil
	}
	if errs.KindOf(err) != errs.Exists {
		return false, err
	}
	content, err := r.Point(ctx, a)
	if err != nil {
		return false, err
	}
	p, err := point.Parse(content)
	return err == nil && p.Type != point.Tombstone, err
}
