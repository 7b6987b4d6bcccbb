package pipeline

import (
	"context"
	"fmt"
	"runtime"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
)

// commit makes the point of what the trees hold.
func (r *run) commit(ctx context.Context, paths, inodes *orderer) (Result, error) {
	root := fileindex.Root{Include: r.opts.Selection.Include, OS: runtime.GOOS, Version: r.opts.Version, Dirs: paths.dirs}
	root.Thin = r.note()
	var err error
	if root.Paths, err = paths.builder.Finish(ctx); err != nil {
		return Result{}, err
	}
	if root.Inodes, err = inodes.builder.Finish(ctx); err != nil {
		return Result{}, err
	}
	body := point.Body{
		Files: root.Paths.Entries, Bytes: paths.bytes + inodes.bytes, Errors: r.count.errors.Load(),
		Options: r.options,
	}
	if r.opts.Tracker != nil {
		if body.Tracker, err = r.opts.Tracker(ctx); err != nil {
			return Result{}, err
		}
	}
	if body.Errors > 0 {
		body.Completeness = point.WithErrors
	}
	typ := point.Complete
	if r.early.cut.Load() {
		if root.Paths.Entries == 0 {
			return Result{}, errs.New(errs.Cancelled, "backup.nothing-yet", "end backup %s early: nothing is complete yet", r.opts.Attempt)
		}
		typ, body.Completeness = point.Partial, point.Unfinished
		root.Dirs = 0 // nobody can go by a point that lacks something
		r.partial()
	}
	draft, err := r.draft(ctx, typ, &root, &body)
	if err != nil {
		return Result{}, err
	}
	r.own.be(atStore)
	if err := r.store.Commit(ctx, draft); err != nil {
		return Result{}, fmt.Errorf("commit restore point %s: %w", r.opts.Attempt, err)
	}
	return Result{Body: body, Root: root, Partial: typ == point.Partial, Narrowed: r.narrow != nil}, nil
}

// draft saves the root, waits until all is with the store, and seals the body.
func (r *run) draft(ctx context.Context, typ point.Type, root *fileindex.Root, body *point.Body) (point.Draft, error) {
	var err error
	if r.narrow != nil {
		if err := r.narrow.taken.ask(ctx); err != nil {
			return point.Draft{}, err
		}
	}
	if body.Root, err = root.Save(ctx, r.hasher, r.pool); err != nil {
		return point.Draft{}, err
	}
	if err := r.pool.flush(); err != nil {
		return point.Draft{}, err
	}
	sealed, err := point.SealBody(r.opts.Keys.ComputerKey, r.opts.Keys.RepositoryID, r.opts.Attempt, *body)
	if err != nil {
		return point.Draft{}, err
	}
	return point.Draft{Type: typ, RootID: body.Root.ID(), Body: sealed}, nil
}
