package node

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/durable"
	"keepward/internal/errs"
)

// Reporter keeps what attempts report until the server has answered: events and the end on
// disk, of progress only the newest. One directory per attempt, D/attempts/<id>:
//
//	attempt.pb  AttemptState: task and id
//	events.pb   delimited Events, numbered from 1 in seq
//	end.pb      AttemptEnd, once there is one
//
// Reports of one attempt arrive in order, the end last. What was sent but not answered
// before a crash is sent again; the server knows events by their seq.
type Reporter struct {
	dir string
	log *slog.Logger

	mu       sync.Mutex
	attempts map[string]*attempt
	wake     chan struct{} // capacity 1: a pending wake-up says it all
}

type attempt struct {
	state    *keepwardv1.AttemptState
	dir      string
	progress *keepwardv1.Progress // newest not yet sent
	sentAt   time.Time            // of the last progress
	events   *spool
	end      *keepwardv1.AttemptEnd
	dropped  bool
}

const (
	fileAttempt = "attempt.pb"
	fileEvents  = "events.pb"
	fileEnd     = "end.pb"
)

func openReporter(dir string, log *slog.Logger) (*Reporter, error) {
	r := &Reporter{dir: dir, log: log, attempts: map[string]*attempt{}, wake: make(chan struct{}, 1)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, errs.New(errs.KindOf(err), "datadir.create", "create attempts directory: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "datadir.read", "read attempts: %w", err)
	}
	for _, e := range entries {
		a, err := readAttempt(filepath.Join(dir, e.Name()))
		if err != nil {
			// A directory cut off while it was made or removed says nothing any more.
			log.Warn("an attempt's directory is unreadable and is removed", "attempt", e.Name(), "error", err)
			_ = os.RemoveAll(filepath.Join(dir, e.Name()))
			continue
		}
		r.attempts[a.state.GetAttempt()] = a
	}
	return r, nil
}

func readAttempt(dir string) (*attempt, error) {
	a := &attempt{dir: dir, state: &keepwardv1.AttemptState{}}
	if err := readMessage(filepath.Join(dir, fileAttempt), a.state); err != nil {
		return nil, err
	}
	end := &keepwardv1.AttemptEnd{}
	err := readMessage(filepath.Join(dir, fileEnd), end)
	switch {
	case err == nil:
		a.end, a.state.Ended = end, true
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	a.events, err = openSpool(filepath.Join(dir, fileEvents))
	return a, err
}

func readMessage(path string, m proto.Message) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return proto.Unmarshal(b, m)
}

// Begin makes an attempt known; to repeat it is harmless.
func (r *Reporter) Begin(id, task string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.attempts[id]; known {
		return nil
	}
	a := &attempt{dir: filepath.Join(r.dir, id), state: &keepwardv1.AttemptState{Attempt: id, Task: task}}
	b, err := proto.Marshal(a.state)
	if err == nil {
		err = os.MkdirAll(a.dir, 0o700)
	}
	if err == nil {
		err = durable.WriteFile(filepath.Join(a.dir, fileAttempt), b, 0o600)
	}
	if err == nil {
		a.events, err = openSpool(filepath.Join(a.dir, fileEvents))
	}
	if err != nil {
		return errs.New(errs.KindOf(err), "datadir.write", "begin attempt %s: %w", id, err)
	}
	r.attempts[id] = a
	return nil
}

// Unfinished names the attempts without an end. Right after Open these are the ones that
// an earlier process began: the role ends those that died with it.
func (r *Reporter) Unfinished() []*keepwardv1.AttemptState {
	return r.states(func(a *attempt) bool { return a.end == nil })
}

// Ended tells whether the end of an attempt is known and not yet answered.
func (r *Reporter) Ended(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attempts[id]
	return a != nil && a.end != nil
}

func (r *Reporter) ended() []*keepwardv1.AttemptState {
	return r.states(func(a *attempt) bool { return a.end != nil })
}

func (r *Reporter) states(want func(*attempt) bool) []*keepwardv1.AttemptState {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*keepwardv1.AttemptState
	for _, a := range r.attempts {
		if want(a) {
			out = append(out, proto.CloneOf(a.state))
		}
	}
	return out
}

// Progress replaces the newest progress of an attempt; it is sent at most twice a second.
func (r *Reporter) Progress(id string, p *keepwardv1.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.attempts[id]; a != nil && a.end == nil && !a.dropped {
		a.progress = proto.CloneOf(p)
		r.signal()
	}
}

// Events appends to an attempt's log. Seq is given here, and time where it is missing. An
// event that comes with a seq was numbered where it was made: one the log has already is
// left out, so that it can be handed over twice.
func (r *Reporter) Events(id string, events ...*keepwardv1.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attempts[id]
	if a == nil || a.end != nil || a.dropped {
		return
	}
	now := timestamppb.Now()
	for _, e := range events {
		if e.GetSeq() != 0 && e.GetSeq() <= a.events.count {
			continue
		}
		e = proto.CloneOf(e)
		if e.GetTime() == nil {
			e.Time = now
		}
		if err := a.events.append(e); err != nil {
			r.log.Error("an event could not be kept", "attempt", id, "code", e.GetCode(), "error", err)
		}
	}
	r.signal()
}

// End makes an attempt's end durable and sends it until the server has answered. The first
// end counts.
func (r *Reporter) End(id string, end *keepwardv1.AttemptEnd) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attempts[id]
	if a == nil || a.end != nil {
		return nil
	}
	if a.dropped {
		r.forget(id)
		return nil
	}
	b, err := proto.Marshal(end)
	if err == nil {
		err = a.events.seal()
	}
	if err == nil {
		err = durable.WriteFile(filepath.Join(a.dir, fileEnd), b, 0o600)
	}
	// Unwritable or not, the server is told as long as this process lives.
	a.end, a.state.Ended = proto.CloneOf(end), true
	r.signal()
	if err != nil {
		return errs.New(errs.KindOf(err), "datadir.write", "keep the end of attempt %s: %w", id, err)
	}
	return nil
}

// drop forgets an attempt that the server does not want; one that still runs is forgotten
// at its end.
func (r *Reporter) drop(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attempts[id]
	switch {
	case a == nil:
	case a.end != nil:
		r.forget(id)
	default:
		a.dropped, a.progress = true, nil
	}
}

// forget is called with the lock held.
func (r *Reporter) forget(id string) {
	a := r.attempts[id]
	delete(r.attempts, id)
	a.events.close()
	// What names the attempt goes first: what is left of a torn removal must not look like
	// one that ended without being reported.
	for _, name := range []string{fileAttempt, fileEnd, fileEvents} {
		_ = os.Remove(filepath.Join(a.dir, name))
	}
	if err := os.RemoveAll(a.dir); err != nil {
		r.log.Warn("a reported attempt could not be removed", "attempt", id, "error", err)
	}
}

func (r *Reporter) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Reporter) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.attempts {
		a.events.close()
	}
}
