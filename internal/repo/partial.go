package repo

import (
	"context"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/storage"
)

// CommitCheckpoint settles an attempt that is ended early and whose agent brings nothing to an end
// any more: its last checkpoint becomes its partial point. All that a checkpoint refers to was
// durable before it was made, and the attempt is not settled, so nothing of it was swept since. An
// attempt without a checkpoint is fenced. It answers whether a point stands there now, durably.
func (r *Repository) CommitCheckpoint(ctx context.Context, a point.Attempt, reason string) (committed bool, err error) {
	if r.cfg.Writable() != nil {
		return r.Fence(ctx, a, reason)
	}
	content, err := r.LatestCheckpoint(ctx, a)
	if errs.KindOf(err) == errs.NotFound {
		return r.Fence(ctx, a, reason)
	}
	if err != nil {
		return false, err
	}
	p, err := point.Parse(content)
	if err != nil {
		return false, err
	}
	if p.Type != point.Checkpoint || p.Attempt != a || p.RepositoryID != r.cfg.ID {
		return r.Fence(ctx, a, reason) // somebody put another object under the name
	}
	// Issue and body are sealed for this repository and attempt, not for what the object is.
	d := point.Draft{Type: point.Partial, RootID: p.RootID, Refs: p.Refs, Body: p.Body}
	err = r.b.Put(ctx, pointName(a), point.Encode(r.cfg.ID, a, d, p.Issue))
	if err != nil && errs.KindOf(err) != errs.Exists {
		return false, err
	}
	// Put refuses to replace: what stands there was first, and has the last word.
	if committed, err = r.committed(ctx, a); err != nil {
		return false, err
	}
	if c, ok := r.b.(storage.Cleaner); ok {
		_ = c.Clean(ctx, attemptDir(a)) // as Fence does
	}
	_ = r.CloseAttempt(ctx, a)
	return committed, nil
}

// IsPartial tells whether what stands under an attempt's name is a partial point.
func (r *Repository) IsPartial(ctx context.Context, a point.Attempt) (bool, error) {
	content, err := r.Point(ctx, a)
	if err != nil {
		return false, err
	}
	p, err := point.Parse(content)
	return err == nil && p.Type == point.Partial, err
}
