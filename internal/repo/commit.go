package repo

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// Commit ends the attempt with its point: packs durable, then every id that is referred to
// looked up, then the index segment durable, then the point by put-if-absent. If the attempt
// was cut off meanwhile it is errs.Denied with code attempt.fenced. After another failure of
// the last step the point may or may not be there: Fence settles it.
func (w *Writer) Commit(ctx context.Context, d point.Draft, issue []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return w.whyLost(ctx, err)
	}
	if d.Type != point.Complete && d.Type != point.Partial {
		return errs.New(errs.Invalid, "point.type", "commit attempt %s: a %s cannot be committed", w.opts.Attempt, d.Type)
	}
	if err := w.ready(ctx, d); err != nil {
		return w.whyLost(ctx, err)
	}
	err := w.putPoint(ctx, point.Encode(w.r.cfg.ID, w.opts.Attempt, d, issue))
	if err != nil {
		return w.poison(err)
	}
	// The point settles the attempt: a marker that stays is stale, and a sweep removes it.
	_ = w.r.CloseAttempt(context.WithoutCancel(ctx), w.opts.Attempt)
	w.end()
	return nil
}

// ready makes durable all that d needs and checks that it is there; w.mu is held.
func (w *Writer) ready(ctx context.Context, d point.Draft) error {
	if err := w.durable(); err != nil {
		return err
	}
	if err := w.complete(ctx, d); err != nil {
		return err
	}
	if err := w.publish(ctx); err != nil {
		return w.poison(err)
	}
	// What was taken over from the parent was not asked for: it may be marked by now.
	return w.poison(w.r.Intact(ctx, w.opts.Owner, d.RootID, d.Refs))
}

// complete checks that every id that new chunks and d refer to is there; w.mu is held.
func (w *Writer) complete(ctx context.Context, d point.Draft) error {
	wanted := slices.Collect(maps.Keys(w.missing))
	for _, id := range append([]seal.ID{d.RootID}, d.Refs...) {
		if !w.held[id] {
			wanted = append(wanted, id)
		}
	}
	absent, err := w.absent(ctx, wanted)
	open := false
	if len(absent) > 0 && err == nil {
		absent, open, err = w.stillAbsent(ctx, absent)
	}
	if err != nil {
		return err
	}
	if len(absent) > 0 && open {
		return errs.New(errs.Busy, "commit.condemned", "commit attempt %s: it took over what lies in packs that a sweep is about to judge", w.opts.Attempt).
			WithHint("nothing is wrong: run the job again when the sweep has ended")
	}
	clear(w.missing) // what is there now stays there
	if len(absent) == 0 {
		return nil
	}
	text := ""
	for _, id := range absent[:min(3, len(absent))] {
		text += fmt.Sprintf(" %s", id)
	}
	return w.poison(errs.New(errs.Corrupt, "commit.chunk-missing", "commit attempt %s: %d chunks it refers to are not in the repository, among them%s", w.opts.Attempt, len(absent), text).
		WithHint("run the job in full: every file is read and what is missing is stored again"))
}

// stillAbsent looks again for what was taken over: it may have been published, or moved, since
// the index was read, or a sweep may have spared it. open tells that one may do so yet.
func (w *Writer) stillAbsent(ctx context.Context, ids []seal.ID) (absent []seal.ID, open bool, err error) {
	if err = w.r.Refresh(ctx); err == nil {
		open, err = w.relied.reconsider(ctx, w.r)
	}
	if err == nil {
		absent, err = w.absent(ctx, ids)
	}
	return absent, open, err
}

// putPoint puts the point; w.mu is held.
func (w *Writer) putPoint(ctx context.Context, content []byte) error {
	name := pointName(w.opts.Attempt)
	err := w.r.b.Put(ctx, name, content)
	if errs.KindOf(err) != errs.Exists {
		return err
	}
	there, gerr := w.r.Point(ctx, w.opts.Attempt)
	if gerr != nil {
		return gerr
	}
	p, perr := point.Parse(there)
	switch {
	case perr != nil:
		return perr
	case p.Type == point.Tombstone:
		return fenced(w.opts.Attempt, p.Reason)
	case bytes.Equal(there, content):
		return nil
	}
	return errs.New(errs.Exists, "attempt.committed", "commit attempt %s: it has a point already", w.opts.Attempt)
}

func fenced(a point.Attempt, reason string) error {
	return errs.New(errs.Denied, "attempt.fenced", "commit attempt %s: it was cut off: %s", a, reason)
}

// Checkpoint makes all that was stored durable and records an unfinished point. Everything
// that d's chunks refer to must be stored.
func (w *Writer) Checkpoint(ctx context.Context, d point.Draft, issue []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return err
	}
	if err := w.notFenced(ctx); err != nil {
		return w.poison(err)
	}
	if err := w.ready(ctx, d); err != nil {
		return err
	}
	d.Type = point.Checkpoint
	w.points++
	return w.poison(w.r.b.Put(ctx, checkpointName(w.opts.Attempt, w.points), point.Encode(w.r.cfg.ID, w.opts.Attempt, d, issue)))
}

// whyLost is why an attempt cannot be made durable: one that was cut off has lost its open packs,
// and what it finds then is not the reason; w.mu is held.
func (w *Writer) whyLost(ctx context.Context, err error) error {
	cut := w.notFenced(ctx)
	if errs.CodeOf(cut) != "attempt.fenced" {
		return err
	}
	w.err = cut
	return cut
}

// notFenced saves an attempt that was cut off the rest of its work; w.mu is held. That it
// cannot commit does not rest on this.
func (w *Writer) notFenced(ctx context.Context) error {
	there, err := w.r.Point(ctx, w.opts.Attempt)
	if errs.KindOf(err) == errs.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := point.Parse(there)
	if err == nil && p.Type == point.Tombstone {
		err = fenced(w.opts.Attempt, p.Reason)
	}
	return err
}
