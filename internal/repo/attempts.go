package repo

import (
	"context"

	"keepward/internal/errs"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/point"
	"keepward/internal/storage"
)

// OpenAttempt is an attempt that may still write: it has an open marker, and nothing stands
// under its point name.
type OpenAttempt struct {
	ledger.Open
	// Settled: a point or a tombstone stands under its name by now; the marker is stale.
	Settled bool
}

// openMarker announces an attempt before it relies on anything: either a sweep sees the
// marker, or the attempt sees the sweep's list. It answers the list in force.
func (r *Repository) openMarker(ctx context.Context, o ledger.Open) (Generation, error) {
	g, err := r.Generation(ctx)
	if err != nil {
		return g, err
	}
	o.Repository, o.Generation = r.cfg.ID, g.Number
	// One that is there is the same attempt's, begun before: what it had read is older, so it
	// is waited for rather longer than shorter.
	if err := r.b.Put(ctx, attemptName(o.Attempt), o.Encode()); err != nil && errs.KindOf(err) != errs.Exists {
		return g, err
	}
	return r.Generation(ctx)
}

// OpenMaintenance announces an attempt that copies chunks and relies on none. Its packs are
// no candidates of another sweep until CloseAttempt, or until it is fenced.
func (r *Repository) OpenMaintenance(ctx context.Context, a point.Attempt, term uint64) error {
	// It relies on nothing, so it need not know a list, nor that a list can be read.
	o := ledger.Open{Repository: r.cfg.ID, Attempt: a, Term: term, Maintenance: true}
	if err := r.b.Put(ctx, attemptName(a), o.Encode()); err != nil && errs.KindOf(err) != errs.Exists {
		return err
	}
	return nil
}

// CloseAttempt removes an open marker. It is for attempts that are settled, and for
// maintenance that has ended.
func (r *Repository) CloseAttempt(ctx context.Context, a point.Attempt) error {
	return r.remove(ctx, attemptName(a))
}

// OpenAttempts are the attempts with an open marker. One whose marker cannot be read counts
// as a writer that has read no list. What is reported as settled is durable.
func (r *Repository) OpenAttempts(ctx context.Context) ([]OpenAttempt, error) {
	infos, err := r.list(ctx, attemptsDir)
	if err != nil {
		return nil, err
	}
	var out []OpenAttempt
	for _, info := range infos {
		a, err := point.ParseAttempt(info.Name[len(attemptsDir)+1:])
		if err != nil {
			continue // not ours
		}
		content, err := r.b.Get(ctx, info.Name, ledger.MaxOpen)
		if errs.KindOf(err) == errs.NotFound {
			continue // ended since it was listed
		}
		var o OpenAttempt
		if err == nil {
			o.Open, err = ledger.ParseOpen(content)
		}
		switch {
		case errs.KindOf(err) == errs.Corrupt, err == nil && (o.Attempt != a || o.Repository != r.cfg.ID):
			o.Open = ledger.Open{Repository: r.cfg.ID, Attempt: a}
		case err != nil:
			return nil, err
		}
		if o.Settled, err = r.Settled(ctx, a); err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// Settled tells whether a point or a tombstone stands under an attempt's name, durably. A
// damaged one counts: nothing can be put there any more.
func (r *Repository) Settled(ctx context.Context, a point.Attempt) (bool, error) {
	there, err := storage.Exists(ctx, r.b, pointName(a))
	if err != nil || !there {
		return false, err
	}
	return true, r.b.Sync(ctx, pointsDir)
}

// remove deletes an object; one that is gone is no error.
func (r *Repository) remove(ctx context.Context, name string) error {
	d, ok := r.b.(storage.Deleter)
	if !ok {
		return errs.New(errs.Invalid, "repository.backend", "delete %s in %s: this kind of storage cannot delete", name, r.b.Location())
	}
	if err := d.Delete(ctx, name); err != nil && errs.KindOf(err) != errs.NotFound {
		return err
	}
	return nil
}
