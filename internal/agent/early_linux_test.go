package agent

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/wire"
)

func (s *site) endEarly(id string) error {
	_, err := s.client.StopAttempt(s.t.Context(), connect.NewRequest(&keepwardv1.StopAttemptRequest{
		Order: &keepwardv1.Order{Attempt: id, Term: 5}, Reason: "ended by admin", Commit: true,
	}))
	return err
}

func TestABackupThatIsToldToEndEarlyMakesAPartialPoint(t *testing.T) {
	s := newSite(t)
	gate := make(chan struct{})
	s.mover.gate, s.mover.reached = gate, make(chan struct{})
	src := t.TempDir()
	content := make([]byte, 2<<20)
	for i := range 60 { // more than an agent reads ahead while its mover does not answer
		_, _ = rand.Read(content) // documented never to fail
		if err := os.WriteFile(filepath.Join(src, fmt.Sprintf("f%02d", i)), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	id := s.startBackup(src, "")
	<-s.mover.reached
	for range 2 { // idempotent
		if err := s.endEarly(id); err != nil {
			t.Fatal(err)
		}
	}
	close(gate)
	end := s.server.End(id)
	if end.GetOutcome() != outcomeDone || !end.GetCommitted() || !end.GetPoint().GetPartial() || end.GetPoint().GetCompleteness() != point.Unfinished.String() {
		t.Fatalf("it ended with %v", end)
	}
	s.mover.mu.Lock()
	p, err := point.Parse(s.mover.points[id])
	s.mover.mu.Unlock()
	if err != nil || p.Type != point.Partial {
		t.Errorf("it made a %s, %v", p.Type, err)
	}
}

func TestOnlyABackupThatRunsCanEndEarly(t *testing.T) {
	s := newSite(t)
	if err := s.endEarly("00112233445566778899aabbccddeeff"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("an attempt that does not run: %v", err)
	}
	order, endpoint := s.order()
	gate := make(chan struct{})
	defer close(gate)
	s.mover.gate = gate
	_, err := s.client.StartRestore(t.Context(), connect.NewRequest(&keepwardv1.StartRestoreRequest{
		Order: order, Mover: endpoint, Keys: wire.KeysToProto(s.mover.keys), Point: order.GetAttempt(), To: []byte(t.TempDir()),
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.endEarly(order.GetAttempt()); errs.CodeOf(err) != "attempt.no-early-end" && errs.KindOf(err) != errs.NotFound {
		t.Errorf("a restore was ended early: %v", err)
	}
	_ = s.server.End(order.GetAttempt())
}
