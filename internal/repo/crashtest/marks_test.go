package crashtest

import (
	"context"
	"time"

	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
)

// change is an act on a point: what may be found while it goes on, and what must be after it.
func change(a point.Attempt, may, must func(*want), act func(context.Context, *repo.Repository, point.Attempt) error) step {
	return func(ctx context.Context, w *world) error {
		w.noteWant(a, may)
		err := w.with(ctx, func(r *repo.Repository) error { return act(ctx, r, a) })
		if err == nil {
			w.noteWant(a, must)
		}
		return err
	}
}

var because = repo.Note{Time: time.Unix(1_700_000_200, 0), Reason: "test"}

func remove(n int) step { return removeOf(repotest.Attempt(n)) }

func removeOf(a point.Attempt) step {
	return change(a, func(x *want) { x.deleted |= yes }, func(x *want) { x.deleted = yes }, func(ctx context.Context, r *repo.Repository, a point.Attempt) error {
		return r.MarkDeleted(ctx, a, because)
	})
}

func undelete(n int) step { return undeleteOf(repotest.Attempt(n)) }

func undeleteOf(a point.Attempt) step {
	return change(a, func(x *want) { x.deleted |= no }, func(x *want) { x.deleted = no }, func(ctx context.Context, r *repo.Repository, a point.Attempt) error {
		return r.Undelete(ctx, a)
	})
}

func hold(n int) step { return holdOf(repotest.Attempt(n)) }

func holdOf(a point.Attempt) step {
	return change(a, func(x *want) { x.held |= yes }, func(x *want) { x.held = yes }, func(ctx context.Context, r *repo.Repository, a point.Attempt) error {
		return r.Hold(ctx, a, because)
	})
}

func release(n int) step { return releaseOf(repotest.Attempt(n)) }

func releaseOf(a point.Attempt) step {
	return change(a, func(x *want) { x.held |= no }, func(x *want) { x.held = no }, func(ctx context.Context, r *repo.Repository, a point.Attempt) error {
		return r.Release(ctx, a)
	})
}

func purge(n int) step { return purgeOf(repotest.Attempt(n)) }

func purgeOf(a point.Attempt) step {
	return change(a, maybePurged, purged, func(ctx context.Context, r *repo.Repository, a point.Attempt) error {
		_, err := r.Purge(ctx, a)
		return err
	})
}

// maybePurged is a point that somebody began to purge: its marker goes last.
func maybePurged(x *want) { x.point, x.deleted, x.purging = x.point|absent, x.deleted|no, true }

func purged(x *want) { x.point, x.deleted = absent, no }
