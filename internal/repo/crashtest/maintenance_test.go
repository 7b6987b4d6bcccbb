package crashtest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"keepward/internal/repo"
	"keepward/internal/repo/compact"
	"keepward/internal/repo/merge"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/sweep"
)

// term is the owner's, in all histories.
const term = 1

// upkeep is what one sweep does beside the sweeping.
type upkeep struct {
	compact, merge bool
	moves          bool // compaction must find something to move
	punch          bool // compaction has keys, and must take dead members out of bundles if it moves
	keep           int  // an attempt whose checkpoints are still wanted; zero: none
}

// everything is what recovery has done.
var everything = upkeep{compact: true, merge: true}

// sweepOnce runs one sweep and answers its report. Points to purge that are gone then are
// noted so.
func (u upkeep) sweepOnce(ctx context.Context, w *world, purge []point.Attempt) (report sweep.Report, err error) {
	for _, a := range purge {
		w.noteWant(a, maybePurged)
	}
	a := repotest.Attempt(w.number())
	err = w.with(ctx, func(r *repo.Repository) error {
		o := sweep.Options{Attempt: a, Term: term, Purge: purge}
		if u.keep > 0 {
			o.KeepCheckpoints = map[point.Attempt]bool{repotest.Attempt(u.keep): true}
		}
		switch {
		case u.punch:
			w.note(func(e *expectation) { e.punches = true })
			o.Rewriter = keyed{rewriter{r, a, w.allKeys()}}
		case u.compact:
			o.Rewriter = rewriter{r, a, nil}
		}
		if u.merge {
			o.Merger = joiner{r, a}
		}
		report, err = sweep.Run(ctx, r, o)
		return err
	})
	for _, a := range report.Purged {
		w.noteWant(a, purged)
	}
	for a := range report.Refused {
		w.noteWant(a, func(x *want) { x.purging, x.point, x.deleted = false, there, x.deleted&^no })
	}
	return report, err
}

// rewriter is compaction as the sweep asks for it.
type rewriter struct {
	r    *repo.Repository
	a    point.Attempt
	keys *compact.Recompression
}

// keyed is a rewriter that knows which members of bundles are needed.
type keyed struct{ rewriter }

func (x keyed) Sufficient(ctx context.Context, all []repo.Remnant) (map[seal.ID]bool, error) {
	return compact.Sufficient(ctx, x.r, x.keys, nil, all)
}

// allKeys are those of an order that brings the keys of all points.
func (w *world) allKeys() *compact.Recompression {
	computers := w.site.Master.ComputersKey()
	return &compact.Recompression{Keys: w.site.Keys("sweep"), IssueKey: w.site.Master.IssueKey(), ComputersKey: &computers}
}

func (x rewriter) Rewrite(ctx context.Context, m sweep.Movable) (sweep.Rewritten, error) {
	packs := make([]compact.Pack, len(m.Packs))
	for i, u := range m.Packs {
		packs[i] = compact.Pack{Key: u.Pack, Size: u.Size, Live: u.LiveBytes, Dead: u.Bytes - u.LiveBytes, Marked: u.Marked > 0}
	}
	done, err := compact.Run(ctx, x.r, packs, compact.Options{
		Attempt: x.a, Recompress: x.keys, Live: m.Live, Doomed: m.Doomed, PackSize: 2 * packSize, JoinBelow: packSize / 2,
	})
	if len(done.Kept)+len(done.Damaged) > 0 && err == nil {
		err = fmt.Errorf("compaction found %d damaged records and kept %d packs", len(done.Damaged), len(done.Kept))
	}
	return sweep.Rewritten{Packs: done.Condemn, ReadBytes: done.ReadBytes, WrittenBytes: done.WrittenBytes, Bundles: done.Punched, Punched: done.PunchedBytes}, err
}

// joiner is merging as the sweep asks for it.
type joiner struct {
	r *repo.Repository
	a point.Attempt
}

func (x joiner) Merge(ctx context.Context) (sweep.Merged, error) {
	done, err := merge.Run(ctx, x.r, merge.Options{
		Attempt: x.a, FanIn: 2, Remove: func(ctx context.Context, name string) error { return x.r.RemoveSegment(ctx, name) },
	})
	if len(done.Damaged) > 0 && err == nil {
		err = fmt.Errorf("merging found damaged segments: %v", done.Damaged)
	}
	return sweep.Merged{Removed: done.Merged, Left: done.After}, err
}

// sweepTries bounds how often a sweep is ordered until it ends. Each time only the attempts
// that were named are waited for.
const sweepTries = 4

// toEnd sweeps as the server does: attempts that are over are fenced when the sweep names
// them. Attempts that live are never fenced, and then it may not end.
func (u upkeep) toEnd(ctx context.Context, w *world, purge []point.Attempt) (sweep.Report, error) {
	moved, punched := 0, int64(0)
	for range sweepTries {
		report, err := u.sweepOnce(ctx, w, purge)
		moved, punched = moved+len(report.Rewritten.Packs), punched+report.Rewritten.Bundles
		if err == nil && report.Done && u.moves && moved == 0 {
			err = errors.New("no pack was written anew")
		}
		if err == nil && report.Done && u.moves && u.punch && punched == 0 {
			err = errors.New("no member was taken out of a bundle")
		}
		if err != nil || report.Done {
			return report, err
		}
		for _, a := range report.Unsettled {
			if w.lives[a] != nil {
				return report, nil
			}
			if err := fenceOf(a)(ctx, w); err != nil {
				return report, err
			}
		}
	}
	return sweep.Report{}, errors.New("the sweep does not end")
}

func numbers(ns []int) []point.Attempt {
	var out []point.Attempt
	for _, n := range ns {
		out = append(out, repotest.Attempt(n))
	}
	return out
}

// sweeps sweeps to the end.
func (u upkeep) sweeps(purge ...int) step {
	return func(ctx context.Context, w *world) error {
		_, err := u.toEnd(ctx, w, numbers(purge))
		return err
	}
}

// waits sweeps once and must find that it has to wait for attempts.
func (u upkeep) waits(ns ...int) step {
	return func(ctx context.Context, w *world) error {
		report, err := u.sweepOnce(ctx, w, nil)
		if err == nil && !slices.Equal(report.Unsettled, numbers(ns)) {
			err = fmt.Errorf("the sweep waits for %v", report.Unsettled)
		}
		return err
	}
}

// sweep is what recovery does. The first sweep may only end what another one began, and what
// is moved and merged may free more; but soon there must be nothing left to do.
func (c *recovery) sweep(ctx context.Context, _ *repo.Repository) error {
	var report sweep.Report
	u := everything
	u.punch = c.found().punches
	for range sweepTries {
		var err error
		if report, err = u.toEnd(ctx, c.world, nil); err != nil {
			return err
		}
		if report.CondemnedPacks == 0 && report.DeletedPacks == 0 {
			return nil
		}
	}
	return fmt.Errorf("sweeps always find something to do: %+v", report)
}
