package repo

import (
	"context"

	"keepward/internal/errs"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/point"
)

// Purge removes a point for good. One without a readable delete marker is errs.Denied with
// code point.not-deleted, a held one with point.held. One that is gone is no error: purged
// is then false. It is for the sweep of the repository's owner only.
func (r *Repository) Purge(ctx context.Context, a point.Attempt) (purged bool, err error) {
	if err := r.isPoint(ctx, a, "purge"); errs.KindOf(err) == errs.NotFound {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if _, err := r.marker(ctx, ledger.Deleted, markName(ledger.Deleted, a)); err != nil {
		if errs.KindOf(err) == errs.NotFound {
			err = errs.New(errs.Denied, "point.not-deleted", "purge restore point %s: it is not marked as deleted", a)
		}
		return false, err
	}
	if err := r.notHeld(ctx, a, "purge"); err != nil {
		return false, err
	}
	// The open marker first: without a name it would look like an attempt that goes on. The
	// delete marker last: without it nothing would say that the point was to go.
	for _, name := range []string{attemptName(a), pointName(a), markName(ledger.Deleted, a)} {
		if err := r.remove(ctx, name); err != nil {
			return false, err
		}
	}
	return true, nil
}
