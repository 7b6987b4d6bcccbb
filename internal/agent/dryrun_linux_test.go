package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// dryRun asks for a dry run and answers its result.
func (s *site) dryRun(ctx context.Context, files *keepwardv1.FileSelection, term uint64) (*keepwardv1.DryRun, error) {
	stream, err := s.client.DryRun(ctx, connect.NewRequest(&keepwardv1.AgentDryRunRequest{Order: &keepwardv1.Order{Term: term}, Files: files}))
	if err != nil {
		return nil, wire.FromConnect(err)
	}
	var result *keepwardv1.DryRun
	for stream.Receive() {
		if r := stream.Msg().GetResult(); r != nil {
			result = r
		}
	}
	return result, wire.FromConnect(errors.Join(stream.Err(), stream.Close()))
}

func TestADryRunLeavesNothingBehind(t *testing.T) {
	s := newSite(t)
	src := t.TempDir()
	for _, n := range []string{"a.doc", "b.tmp"} {
		if err := os.WriteFile(filepath.Join(src, n), []byte("hello"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The agent's own directory is left out by itself.
	files := &keepwardv1.FileSelection{Include: []string{src, filepath.Dir(s.dir)}, Exclude: []string{"*.tmp"}, Only: []string{"*.doc", "*.db", "cert*"}}
	if _, err := s.dryRun(t.Context(), files, 5); err != nil { // the first of a term notes the term
		t.Fatal(err)
	}
	before := names(t, s.dir)
	r, err := s.dryRun(t.Context(), files, 5)
	if err != nil {
		t.Fatal(err)
	}
	if r.GetTaken().GetFiles() != 1 || r.GetTaken().GetBytes() != 5 || len(r.GetIncludes()) != 2 {
		t.Errorf("result %v", r)
	}
	own := false
	for _, l := range r.GetLeftOut() {
		own = own || l.GetKind() == "automatic" && l.GetRule() == s.dir+"/" && l.GetAmount().GetFiles() > 0
	}
	if !own {
		t.Errorf("left out: %v", r.GetLeftOut())
	}
	if after := names(t, s.dir); len(after) != len(before) {
		t.Errorf("before %v, after %v", before, after)
	}
	if list := s.server.Ends; len(list) > 0 {
		t.Errorf("the server was told of ends: %v", list)
	}
	for want, c := range map[string]struct {
		files *keepwardv1.FileSelection
		term  uint64
	}{
		"only.pattern": {&keepwardv1.FileSelection{Include: []string{src}, Only: []string{"dir/"}}, 5},
		"include.none": {&keepwardv1.FileSelection{Include: []string{src + "/gone"}}, 5},
		"order.term":   {files, 4},
	} {
		if _, err := s.dryRun(t.Context(), c.files, c.term); errs.CodeOf(err) != want {
			t.Errorf("error %v, want code %s", err, want)
		}
	}
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		out = append(out, p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ticker ticks without pause: what waits for it waits for nothing else.
func ticker(t *testing.T) *time.Ticker {
	tick := time.NewTicker(time.Millisecond)
	t.Cleanup(tick.Stop)
	return tick
}

// A second dry run waits for the first, and gives up when nobody listens any more.
func TestDryRunsTakeTurns(t *testing.T) {
	a := &agent{ctx: t.Context(), dryRuns: make(chan struct{}, 1)}
	d := &dryRun{a: a, tick: ticker(t)}
	if err := d.turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waits := 0
	second := &dryRun{a: a, tick: ticker(t), send: func(m *keepwardv1.AgentDryRunResponse) error {
		if m.GetProgress().GetPhase() == "" {
			t.Error("it does not say that it waits")
		}
		if waits++; waits == 2 {
			cancel()
		}
		return nil
	}}
	if err := second.turn(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	<-a.dryRuns
	if err := second.turn(t.Context()); err != nil {
		t.Errorf("after the first: %v", err)
	}
}
