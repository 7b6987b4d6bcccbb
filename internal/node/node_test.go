package node_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/node"
	"keepward/internal/wire"
	"keepward/internal/wire/wiretest"
)

func open(t *testing.T, s *wiretest.Server, dir string) *node.Node {
	t.Helper()
	n, err := node.Open(t.Context(), node.Config{Role: wire.RoleAgent, Name: "web1", DataDir: dir, Server: s.Addr, JoinToken: s.Token})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// run keeps the node linked until the returned function is called.
func run(t *testing.T, n *node.Node, drop func(string)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var own sync.WaitGroup
	own.Go(func() {
		err := n.Run(ctx, node.Service{
			Handler:  http.NotFoundHandler(),
			Info:     func() *keepwardv1.NodeInfo { return &keepwardv1.NodeInfo{Hostname: "h"} },
			Attempts: func() []*keepwardv1.AttemptState { return nil },
			Drop:     drop,
		})
		if err != nil {
			t.Errorf("run: %v", err)
		}
	})
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); own.Wait(); _ = n.Close() }) }
	t.Cleanup(stop)
	return stop
}

func TestANodeJoinsOnceAndLinksAgainAfterARestart(t *testing.T) {
	s := wiretest.NewServer(t)
	dir := t.TempDir()
	n := open(t, s, dir)
	if got := n.Identity(); got.Role != wire.RoleAgent || got.Name != "web1" {
		t.Errorf("identity: %v", got)
	}
	stop := run(t, n, nil)
	s.Link(wire.RoleAgent, "web1")
	stop()
	token := s.Token
	s.Token = "kw1.other.0000000000000000" // nobody can join any more
	_ = token
	again, err := node.Open(t.Context(), node.Config{Role: wire.RoleAgent, DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	run(t, again, nil)
	s.Link(wire.RoleAgent, "web1")
}

func TestAJoinIsRefusedWithItsReason(t *testing.T) {
	s := wiretest.NewServer(t)
	other := wiretest.NewServer(t)
	tests := map[string]struct {
		server, token string
		kind          errs.Kind
		code          string
	}{
		"unknown token":              {s.Addr, "kw1.WRONG" + s.Token[len("kw1.TESTSECRET"):], errs.Denied, "token.unknown"},
		"a server that poses as one": {other.Addr, s.Token, errs.Denied, "join.fingerprint"},
		"no token":                   {s.Addr, "", errs.Invalid, "join.missing"},
		"no server":                  {"", s.Token, errs.Invalid, "join.missing"},
		"no such form":               {s.Addr, "hunter2", errs.Invalid, "join.token"},
		"nobody there":               {"127.0.0.1:1", s.Token, errs.Unavailable, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := node.Open(t.Context(), node.Config{Role: wire.RoleAgent, Name: "web1", DataDir: t.TempDir(), Server: tt.server, JoinToken: tt.token})
			if errs.KindOf(err) != tt.kind || tt.code != "" && errs.CodeOf(err) != tt.code {
				t.Errorf("got %v (kind %s, code %s)", err, errs.KindOf(err), errs.CodeOf(err))
			}
		})
	}
}

func TestADataDirectoryServesOneProcess(t *testing.T) {
	s := wiretest.NewServer(t)
	dir := t.TempDir()
	n := open(t, s, dir)
	_, err := node.Open(t.Context(), node.Config{Role: wire.RoleAgent, DataDir: dir})
	if errs.KindOf(err) != errs.Busy || errs.CodeOf(err) != "datadir.locked" {
		t.Errorf("second: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = node.Open(t.Context(), node.Config{Role: wire.RoleTransport, DataDir: dir})
	if errs.CodeOf(err) != "identity.role" {
		t.Errorf("another role: %v", err)
	}
	again, err := node.Open(t.Context(), node.Config{Role: wire.RoleAgent, DataDir: dir})
	if err != nil {
		t.Fatalf("after the first ended: %v", err)
	}
	_ = again.Close()
}

const attempt = "00112233445566778899aabbccddeeff"

func TestReportsOutliveProcessAndServer(t *testing.T) {
	s := wiretest.NewServer(t)
	dir := t.TempDir()
	n := open(t, s, dir)
	r := n.Reporter()
	if err := r.Begin(attempt, "task1"); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 1000 {
		code := fmt.Sprintf("file.%d", i)
		want = append(want, code)
		r.Events(attempt, &keepwardv1.Event{Level: "warning", Code: code})
	}
	if err := n.Close(); err != nil { // the process ends before the server was ever reached
		t.Fatal(err)
	}
	s.Stop()
	n, err := node.Open(t.Context(), node.Config{Role: wire.RoleAgent, DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	r = n.Reporter()
	left := r.Unfinished()
	if len(left) != 1 || left[0].GetAttempt() != attempt || left[0].GetTask() != "task1" {
		t.Fatalf("unfinished: %v", left)
	}
	run(t, n, nil)
	if err := r.End(attempt, &keepwardv1.AttemptEnd{Outcome: "failed"}); err != nil {
		t.Fatal(err)
	}
	s.Set(func() { s.Deaf = true })
	s.Start(s.Addr)
	s.Link(wire.RoleAgent, "web1")
	s.Await("the attempt in a heartbeat", func() bool {
		for _, b := range s.Beats {
			for _, a := range b.GetAttempts() {
				if a.GetAttempt() == attempt && a.GetTask() == "task1" && a.GetEnded() {
					return true
				}
			}
		}
		return false
	})
	s.Set(func() { s.Deaf = false })
	if end := s.End(attempt); end.GetOutcome() != "failed" {
		t.Errorf("end: %v", end)
	}
	s.Set(func() {
		var got []string
		for i, e := range s.Events[attempt] {
			got = append(got, e.GetCode())
			if e.GetSeq() != int64(i)+1 || e.GetTime() == nil {
				t.Fatalf("event %d has seq %d, time %v", i, e.GetSeq(), e.GetTime())
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	s.Await("the end to be forgotten", func() bool { return len(r.Unfinished()) == 0 && !r.Ended(attempt) })
}

func TestAnAttemptTheServerDropsIsForgotten(t *testing.T) {
	s := wiretest.NewServer(t)
	n := open(t, s, t.TempDir())
	r := n.Reporter()
	if err := r.Begin(attempt, "task1"); err != nil {
		t.Fatal(err)
	}
	dropped := make(chan string, 100)
	s.Set(func() { s.Drop = []string{attempt} })
	run(t, n, func(a string) { dropped <- a })
	if got := <-dropped; got != attempt {
		t.Errorf("dropped %s", got)
	}
	if err := r.End(attempt, &keepwardv1.AttemptEnd{Outcome: "aborted"}); err != nil {
		t.Fatal(err)
	}
	if left := r.Unfinished(); len(left) != 0 || r.Ended(attempt) {
		t.Errorf("still known: %v", left)
	}
}

func TestAnEventNumberedElsewhereIsKeptOnce(t *testing.T) {
	s := wiretest.NewServer(t)
	n := open(t, s, t.TempDir())
	r := n.Reporter()
	if err := r.Begin(attempt, "task1"); err != nil {
		t.Fatal(err)
	}
	evs := []*keepwardv1.Event{{Seq: 1, Code: "a"}, {Seq: 2, Code: "b"}}
	r.Events(attempt, evs[0])
	r.Events(attempt, evs...)
	r.Events(attempt, evs...)
	if err := r.End(attempt, &keepwardv1.AttemptEnd{Outcome: "done"}); err != nil {
		t.Fatal(err)
	}
	run(t, n, nil)
	s.End(attempt)
	s.Set(func() {
		if n := len(s.Events[attempt]); n != 2 {
			t.Errorf("%d events, want 2", n)
		}
	})
}

func TestALowerTermIsRefusedAlsoAfterARestart(t *testing.T) {
	s := wiretest.NewServer(t)
	dir := t.TempDir()
	n := open(t, s, dir)
	for _, tt := range []struct {
		term uint64
		ok   bool
	}{{1, true}, {5, true}, {5, true}, {4, false}} {
		if err := n.CheckTerm(tt.term); (err == nil) != tt.ok {
			t.Errorf("term %d: %v", tt.term, err)
		}
	}
	_ = n.Close()
	n, err := node.Open(t.Context(), node.Config{Role: wire.RoleAgent, DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close() }()
	if err := n.CheckTerm(4); errs.CodeOf(err) != "order.term" {
		t.Errorf("term 4 after a restart: %v", err)
	}
}

func TestARefusedNodeJoinsAnewOnceWithItsToken(t *testing.T) {
	for _, code := range []string{"certificate.revoked", "certificate.unknown"} {
		t.Run(code, func(t *testing.T) {
			s := wiretest.NewServer(t)
			dir := t.TempDir()
			n := open(t, s, dir)
			before := n.Identity().Serial
			refused := map[string]bool{before: true}
			s.Set(func() {
				s.Refuse = func(id wire.Identity) error {
					if refused[id.Serial] {
						return errs.New(errs.Denied, code, "admit: refused")
					}
					return nil
				}
			})
			stop := run(t, n, nil)
			s.Await("a heartbeat with a new certificate", func() bool { return len(s.Beats) > 0 })
			if got := n.Identity(); got.Name != "web1" || got.Serial == before {
				t.Errorf("identity %v with serial %s, had %s", got, got.Serial, before)
			}
			stop()
			again, err := node.Open(t.Context(), node.Config{Role: wire.RoleAgent, DataDir: dir})
			if err != nil {
				t.Fatalf("with the new identity: %v", err)
			}
			if got := again.Identity().Serial; refused[got] {
				t.Errorf("the refused certificate %s was kept", got)
			}
			_ = again.Close()
		})
	}
}

func TestAWrongTokenIsTriedOnceByARefusedNode(t *testing.T) {
	s := wiretest.NewServer(t)
	dir := t.TempDir()
	if err := open(t, s, dir).Close(); err != nil {
		t.Fatal(err)
	}
	spent := "kw1.SPENT" + s.Token[len("kw1.TESTSECRET"):]
	n, err := node.Open(t.Context(), node.Config{Role: wire.RoleAgent, DataDir: dir, JoinToken: spent})
	if err != nil {
		t.Fatal(err)
	}
	before := n.Identity().Serial
	s.Set(func() {
		s.Refuse = func(wire.Identity) error { return errs.New(errs.Denied, "certificate.revoked", "admit: refused") }
	})
	run(t, n, nil)
	s.Await("more links after the refused join", func() bool { return s.Refused >= 3 })
	s.Set(func() {
		if s.Joins != 2 {
			t.Errorf("%d joins, want the first one and one more", s.Joins)
		}
	})
	if got := n.Identity().Serial; got != before {
		t.Errorf("the identity changed from %s to %s", before, got)
	}
}

// A server that took the place of a lost one has another authority. With its token an agent
// that kept its directory joins it, and obeys its terms, which begin anew.
func TestANodeOfALostServerJoinsTheNewOneWithItsToken(t *testing.T) {
	old := wiretest.NewServer(t)
	dir := t.TempDir()
	n := open(t, old, dir)
	if err := n.CheckTerm(7); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	s := wiretest.NewServer(t)
	again, err := node.Open(t.Context(), node.Config{Role: wire.RoleAgent, DataDir: dir, Server: s.Addr, JoinToken: s.Token})
	if err != nil {
		t.Fatal(err)
	}
	run(t, again, nil)
	s.Await("a heartbeat at the new server", func() bool { return len(s.Beats) > 0 })
	if err := again.CheckTerm(1); err != nil {
		t.Errorf("an order of the new server's first term: %v", err)
	}
}
