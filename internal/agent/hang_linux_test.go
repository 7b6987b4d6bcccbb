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
	"keepward/internal/snapshot"
	"keepward/internal/wire/wiretest"
)

// stuck hangs as a kernel does, whatever its context says, and remembers what is there.
type stuck struct {
	snapshot.Provider
	begun, goOn chan struct{}

	mu   sync.Mutex
	have []snapshot.Name
	gone chan struct{} // closed at the first removal
}

func newStuck() *stuck {
	return &stuck{Provider: snapshot.NewNone(), begun: make(chan struct{}, 10), goOn: make(chan struct{}), gone: make(chan struct{})}
}

func (*stuck) Kind() snapshot.Kind { return "stuck" }

func (p *stuck) Create(_ context.Context, v snapshot.Volume, n snapshot.Name, _ func(string) bool) (*snapshot.Snapshot, error) {
	p.begun <- struct{}{}
	<-p.goOn
	p.mu.Lock()
	defer p.mu.Unlock()
	p.have = append(p.have, n)
	return &snapshot.Snapshot{Kind: "stuck", Volume: v, Name: n, Taken: time.Now(), Parts: []snapshot.Part{{At: "/", ID: "1", Path: "."}}}, nil
}

func (p *stuck) Remove(_ context.Context, _ snapshot.Volume, n snapshot.Name) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.have = slices.DeleteFunc(p.have, func(h snapshot.Name) bool { return h == n })
	close(p.gone)
	return nil
}

// A take that hangs in the kernel holds nothing: its time over, the application is let go at once,
// and what comes of it later is removed. While it hangs nobody is held for another one.
func TestATakeThatHangsHoldsNothing(t *testing.T) {
	for _, watchdog := range []bool{false, true} {
		for retries, code := range []string{"snapshot.held", "snapshot.hangs"} {
			p := newStuck()
			taker := snapshot.NewTaker(t.TempDir())
			taker.Providers, taker.Volumes = []snapshot.Provider{p}, disk
			taker.Wait = func(context.Context, time.Duration) error { return nil }
			src, seen := t.TempDir(), filepath.Join(t.TempDir(), "seen")
			s := &site{
				t: t, server: wiretest.NewServer(t), dir: t.TempDir(), mover: newMover(), shots: taker, watchdog: watchdog, limit: 50 * time.Millisecond,
			}
			s.start()
			id := s.snapshotted(src, func(m *keepwardv1.StartBackupRequest) {
				m.SnapshotRetries = int32(retries)
				m.Scripts = &keepwardv1.Scripts{PreFreeze: shell(t, "echo freeze >>"+seen), PostThaw: shell(t, "echo thaw >>"+seen)}
			})
			<-p.begun
			end := s.server.End(id)
			if end.GetFailure().GetCode() != code || retries > 0 && !strings.HasSuffix(end.GetFailure().GetMessage(), "tried 2 times") {
				t.Errorf("ended with %v", end)
			}
			if got := content(t, seen); got != "freeze\nthaw\n" {
				t.Errorf("the scripts ran as %q", got)
			}
			close(p.goOn)
			<-p.gone
			if len(p.have) > 0 {
				t.Errorf("left over: %v", p.have)
			}
		}
	}
}

// A stop lets go at once, too.
func TestAnAttemptThatIsStoppedHoldsNothing(t *testing.T) {
	p := newStuck()
	taker := snapshot.NewTaker(t.TempDir())
	taker.Providers, taker.Volumes = []snapshot.Provider{p}, disk
	thawed := filepath.Join(t.TempDir(), "thawed")
	s := &site{t: t, server: wiretest.NewServer(t), dir: t.TempDir(), mover: newMover(), shots: taker, watchdog: true, limit: time.Hour}
	s.start()
	id := s.snapshotted(t.TempDir(), func(m *keepwardv1.StartBackupRequest) {
		m.Scripts = &keepwardv1.Scripts{PreFreeze: shell(t, "true"), PostThaw: shell(t, "echo x >>"+thawed)}
	})
	<-p.begun
	s.stop(id)
	if end := s.server.End(id); end.GetOutcome() != "aborted" {
		t.Errorf("ended with %v", end)
	}
	if got := content(t, thawed); got != "x\n" {
		t.Errorf("thawed %q, want once", got)
	}
	close(p.goOn)
	<-p.gone
}
