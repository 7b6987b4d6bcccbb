package agent

import (
	"context"
	"sync"
	"time"

	"keepward/internal/errs"
	"keepward/internal/pipeline"
	"keepward/internal/repo/point"
	"keepward/internal/wire"
)

// soundEvery is how often it is asked at most, while files cannot be read, whether the snapshot
// has ended.
const soundEvery = time.Second

// sound reads the snapshots. One that has ended meanwhile fails the attempt with that reason: it is
// what matters, and not the files that could not be read of it.
func (o *shot) sound(ctx context.Context, client *wire.DataClient, opts *pipeline.Options, read func(context.Context, pipeline.Store) error) error {
	if o == nil || !o.of.taker.CanEnd(o.set) {
		return read(ctx, client)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := &doubts{shot: o, ctx: ctx, cancel: cancel, to: opts.Event}
	opts.Event = d.event
	err := read(ctx, soundStore{client, d})
	if bad := d.settle(); bad != nil {
		return bad
	}
	return err
}

// doubts keeps events of files that could not be read until it is known whose fault it is.
type doubts struct {
	shot   *shot
	ctx    context.Context // of the reading
	cancel context.CancelCauseFunc
	to     func(pipeline.Event)

	mu   sync.Mutex
	held []pipeline.Event
	last time.Time
	bad  error
}

func (d *doubts) event(e pipeline.Event) {
	if e.Code != "file.unreadable" && e.Code != "dir.unreadable" && e.Code != "xattr.failed" {
		d.to(e)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = append(d.held, e)
	if d.bad == nil && time.Since(d.last) >= soundEvery {
		d.check()
	}
}

// check asks whether the snapshots are still whole; d.mu must be held.
func (d *doubts) check() {
	err := d.shot.of.taker.Check(context.WithoutCancel(d.ctx), d.shot.set)
	d.last = time.Now()
	if errs.CodeOf(err) == "snapshot.overflow" {
		d.bad, d.held, d.shot.ended = err, nil, true
		d.cancel(err)
		return
	}
	if err != nil {
		d.shot.of.failed(err) // asked again at the end
	}
	for _, e := range d.held {
		d.to(e)
	}
	d.held = nil
}

// settle answers whether a snapshot has ended, and lets go what was kept.
func (d *doubts) settle() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bad == nil && len(d.held) > 0 {
		d.check()
	}
	return d.bad
}

// whole answers why what was read may not be the state of one moment; nil: it is.
func (d *doubts) whole(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bad != nil {
		return d.bad
	}
	err := d.shot.of.taker.Check(ctx, d.shot.set)
	if errs.CodeOf(err) == "snapshot.overflow" {
		d.bad, d.held, d.shot.ended = err, nil, true
	}
	return err
}

// soundStore makes no point of what is not the state of one moment.
type soundStore struct {
	*wire.DataClient
	doubts *doubts
}

func (s soundStore) Commit(ctx context.Context, d point.Draft) error {
	if err := s.doubts.whole(ctx); err != nil {
		return err
	}
	return s.DataClient.Commit(ctx, d)
}
