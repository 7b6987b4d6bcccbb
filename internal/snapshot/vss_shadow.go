package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keepward/internal/errs"
)

// Bounds of what Windows is waited for.
const (
	// vssLook is how often it is looked whether what goes on in Windows shall end early.
	vssLook = 250 * time.Millisecond
	// vssCancel is how long what was cancelled is waited for: writers that hang do not end with it.
	vssCancel = 10 * time.Second
	// vssComplete is how long the writers may take to hear that a backup is over.
	vssComplete = 30 * time.Second
	// vssAgain is after how long it is tried again while somebody else makes a shadow copy, which
	// holds volumes for ten seconds at most, and writers for a minute.
	vssAgain = 2 * time.Second
)

// shadow is a shadow copy of this process, from before it is made until it is gone. It belongs to one
// thread, which makes it, waits until it is to be removed, and removes it: the object that it is made
// with must live as long, and may not be shared.
type shadow struct {
	snap *Snapshot
	// ctx ends when it is to be removed, or not to be made any more.
	ctx  context.Context
	drop context.CancelCauseFunc
	// taken is told once whether it is there; from then on device, id and snap stay as they are.
	taken chan error // has room: nobody may listen any more
	asks  chan func(VSSBackup)
	gone  chan struct{} // closed when its thread has ended; then left is why it may still be there
	left  error

	// What only the thread looks at before taken.
	id            VSSID
	device        string
	started, made bool // the set was begun; the shadow copy is there
}

// errDropped is why a shadow copy ends that was to end.
var errDropped = errors.New("it is removed")

// serve is the thread. made is called when no other one stands in the way of this any more.
func (s *shadow) serve(service VSSService, made func()) {
	b, err := service.Open()
	if err != nil {
		made()
		s.taken <- vssFailed("CreateVssBackupComponents", err)
		return
	}
	if err = s.take(b); err != nil {
		s.left = s.end(b)
		made()
		s.taken <- err
		return
	}
	made()
	s.taken <- nil
	for s.ctx.Err() == nil {
		select {
		case ask := <-s.asks:
			ask(b)
		case <-s.ctx.Done():
		}
	}
	s.left = s.end(b)
}

// take makes the shadow copy. Windows asks for these calls in this order.
func (s *shadow) take(b VSSBackup) error {
	v := s.snap.Volume
	for _, step := range []struct {
		call string
		do   func() error
	}{
		{"InitializeForBackup", b.InitializeForBackup},
		{"SetContext", func() error { return b.SetContext(VSSCtxBackup) }},
		{"SetBackupState", b.SetBackupState},
		{"GatherWriterMetadata", func() error { return finish(s.ctx, b.GatherWriterMetadata) }},
		{"IsVolumeSupported", func() error {
			ok, err := b.IsVolumeSupported(v.Source)
			if err == nil && !ok {
				err = unfit(vssNoSupport)
			}
			return err
		}},
		{"StartSnapshotSet", func() error { return s.start(b) }},
		{"AddToSnapshotSet", func() (err error) { s.id, err = b.AddToSnapshotSet(v.Source); return err }},
		{"PrepareForBackup", func() error { return finish(s.ctx, b.PrepareForBackup) }},
		{"DoSnapshotSet", func() error {
			s.snap.Taken = time.Now()
			err := finish(s.ctx, b.DoSnapshotSet)
			s.made = err == nil
			return err
		}},
		{"GetSnapshotProperties", func() error {
			p, err := b.GetSnapshotProperties(s.id)
			if s.device = p.Device; err == nil && s.device == "" {
				err = errors.New("it is not said where the shadow copy lies")
			}
			return err
		}},
	} {
		if s.ctx.Err() != nil {
			return fmt.Errorf("%s: %w", step.call, context.Cause(s.ctx))
		}
		var no *Unfit
		if err := step.do(); errors.As(err, &no) {
			return err
		} else if err != nil {
			return vssFailed(step.call, err)
		}
	}
	return nil
}

// start begins a set. There is one at a time on a computer: that of another program is waited for.
func (s *shadow) start(b VSSBackup) error {
	for {
		_, err := b.StartSnapshotSet()
		if err == nil {
			s.started = true
			return nil
		}
		if !errors.Is(err, VSSInProgress) || wait(s.ctx, vssAgain) != nil {
			return err
		}
	}
}

// finish waits for what begin has begun. It ends early with ctx, but not before Windows has ended it,
// if that does not take long: what is released while it goes on may stand in the way of the next.
func finish(ctx context.Context, begin func() (VSSAsync, error)) error {
	a, err := begin()
	if err != nil {
		return err
	}
	defer a.Release()
	for ctx.Err() == nil {
		if ended, err := a.Wait(vssLook); ended || err != nil {
			return err
		}
	}
	_ = a.Cancel() // what cannot be cancelled is waited for all the same
	for until := time.Now().Add(vssCancel); time.Now().Before(until); {
		ended, err := a.Wait(vssLook)
		switch {
		case errors.Is(err, VSSCancelled):
			return context.Cause(ctx)
		case ended || err != nil:
			return err // it was done before it heard of it: then it is, and must be undone
		}
	}
	return context.Cause(ctx)
}

// end undoes what was done, and gives the object back. What it answers is why the shadow copy may be
// there still.
func (s *shadow) end(b VSSBackup) error {
	defer b.Release()
	switch {
	case !s.started:
		return nil
	case !s.made:
		_ = b.AbortBackup() // what is released is ended too
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), vssComplete)
	defer cancel()
	if finish(ctx, b.BackupComplete) != nil {
		_ = b.AbortBackup() // the writers hear of the end either way, by this or by the release
	}
	return remove(b, s.id)
}

// remove removes a shadow copy; one that is not there is removed.
func remove(b VSSBackup, id VSSID) error {
	if err := b.DeleteSnapshot(id); err != nil && !errors.Is(err, VSSNotFound) {
		return vssFailed("DeleteSnapshots", err)
	}
	return nil
}

// ask has the thread of a shadow copy that is there do something.
func (s *shadow) ask(ctx context.Context, do func(VSSBackup) error) error {
	done := make(chan error, 1) // nobody may listen any more
	select {
	case s.asks <- func(b VSSBackup) { done <- do(b) }:
	case <-s.gone:
		return errs.New(errs.NotFound, "", "ask for shadow copy %s: it is removed", s.id)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
