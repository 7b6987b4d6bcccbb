package crashtest

import (
	"context"

	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
)

// checkpointed stores all files of an attempt and records a checkpoint that can become a point.
func checkpointed(n int) step {
	return on(n, func(ctx context.Context, _ *world, l *life) error {
		d, err := l.backup.Store(ctx, l.w, l.backup.Files)
		if err != nil {
			return err
		}
		issue, err := l.backup.Issue()
		if err != nil {
			return err
		}
		return l.w.Checkpoint(ctx, d, issue)
	})
}

// endEarly makes the last checkpoint of an attempt its partial point, from another process.
func endEarly(n int) step {
	a := repotest.Attempt(n)
	return func(ctx context.Context, w *world) error {
		w.noteWant(a, func(x *want) { x.point, x.kind = x.point|there|fenced, point.Partial })
		return w.with(ctx, func(r *repo.Repository) error {
			committed, err := r.CommitCheckpoint(ctx, a, "test")
			if err != nil {
				return err
			}
			w.noteWant(a, func(x *want) {
				if x.point = fenced; committed {
					x.point = there
				}
			})
			return nil
		})
	}
}
