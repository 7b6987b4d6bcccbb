package agent

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/pipeline"
	"keepward/internal/snapshot"
	"keepward/internal/wire/wiretest"
)

// leaky is a provider whose snapshots show the volume itself, and end when they are told.
type leaky struct {
	snapshot.Provider
	mu     sync.Mutex
	ended  bool
	checks int
	taken  int
}

func (*leaky) Kind() snapshot.Kind { return "leaky" }

func (p *leaky) Create(_ context.Context, v snapshot.Volume, n snapshot.Name, _ func(string) bool) (*snapshot.Snapshot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = false
	p.taken++
	return &snapshot.Snapshot{Kind: "leaky", Volume: v, Name: n, Taken: time.Now(), Parts: []snapshot.Part{{At: v.Mount, ID: "1", Path: "."}}}, nil
}

func (p *leaky) Open(_ context.Context, s *snapshot.Snapshot) (string, func(), error) {
	return s.Volume.Mount, func() {}, nil
}

func (p *leaky) Check(context.Context, *snapshot.Snapshot) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checks++
	if p.ended {
		return &snapshot.Ended{Why: "its room is used up", Hint: "give it more"}
	}
	return nil
}

func (p *leaky) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
}

// A snapshot whose room is used up while it is read makes no point, and is not kept for the next
// attempt: that takes another one.
func TestASnapshotThatEndsMakesNoPoint(t *testing.T) {
	src := t.TempDir()
	put(t, filepath.Join(src, "f"), "x")
	p := &leaky{Provider: snapshot.NewNone()}
	taker := snapshot.NewTaker(t.TempDir())
	taker.Providers = []snapshot.Provider{p, snapshot.NewNone()}
	taker.Volumes = func() ([]snapshot.Volume, error) {
		return []snapshot.Volume{{ID: 1, Mount: src, Type: "x", Source: "disk"}}, nil
	}
	s := &site{t: t, server: wiretest.NewServer(t), dir: t.TempDir(), mover: newMover(), shots: taker}
	gate := make(chan struct{})
	s.mover.gate, s.mover.reached = gate, make(chan struct{})
	s.start()
	id := s.snapshotted(src, nil)
	<-s.mover.reached
	p.end()
	close(gate)
	end := s.server.End(id)
	if f := end.GetFailure(); f.GetCode() != "snapshot.overflow" || !strings.Contains(f.GetMessage(), src+": its room is used up; the volume itself is unharmed") || f.GetHint() != "give it more" {
		t.Errorf("ended with %v", end)
	}
	if end.GetCommitted() || len(s.mover.points) > 0 {
		t.Errorf("there is a point, committed %v", end.GetCommitted())
	}
	id = s.snapshotted(src, nil)
	if end := s.server.End(id); end.GetOutcome() != "done" || len(s.said(id, "snapshot.kept")) != 0 {
		t.Errorf("ended with %v", end)
	}
	// One that is kept and ends meanwhile is not read either.
	again := make(chan struct{})
	s.mover.gate, s.mover.reached, s.mover.once = again, make(chan struct{}), sync.Once{}
	put(t, filepath.Join(src, "g"), "y")
	id = s.snapshotted(src, nil)
	<-s.mover.reached
	s.stop(id)
	p.end()
	close(again)
	id = s.snapshotted(src, func(m *keepwardv1.StartBackupRequest) { m.SnapshotKept = nil })
	if end := s.server.End(id); end.GetOutcome() != "done" || p.taken != 4 {
		t.Errorf("after %d snapshots it ended with %v", p.taken, end)
	}
}

// While files cannot be read, it is known whose fault that is before anybody is told of them.
func TestFilesOfASnapshotThatEndedAreNotReported(t *testing.T) {
	p := &leaky{Provider: snapshot.NewNone()}
	taker := snapshot.NewTaker(t.TempDir())
	taker.Providers = []snapshot.Provider{p, snapshot.NewNone()}
	o := &shot{of: &shots{taker: taker}, set: &snapshot.Set{Snapshots: []*snapshot.Snapshot{{Kind: "leaky"}}}}
	unreadable := func(path string) pipeline.Event {
		return pipeline.Event{Code: "file.unreadable", Path: []byte(path)}
	}
	run := func(read func(ctx context.Context, event func(pipeline.Event)) error) (told []string, err error) {
		opts := &pipeline.Options{Event: func(e pipeline.Event) { told = append(told, string(e.Path)) }}
		err = o.sound(t.Context(), nil, opts, func(ctx context.Context, _ pipeline.Store) error { return read(ctx, opts.Event) })
		return told, err
	}
	told, err := run(func(_ context.Context, event func(pipeline.Event)) error {
		event(unreadable("a"))
		event(unreadable("b"))
		event(pipeline.Event{Code: "file.changed", Path: []byte("c")})
		return nil
	})
	if slices.Sort(told); err != nil || !slices.Equal(told, []string{"a", "b", "c"}) || p.checks != 2 {
		t.Errorf("whole: told of %q, error %v, %d checks", told, err, p.checks)
	}
	told, err = run(func(ctx context.Context, event func(pipeline.Event)) error {
		p.end()
		event(unreadable("a"))
		event(unreadable("b"))
		<-ctx.Done()
		return ctx.Err()
	})
	if errs.CodeOf(err) != "snapshot.overflow" || len(told) > 0 || !o.ended {
		t.Errorf("ended: told of %q, error %v", told, err)
	}
}
