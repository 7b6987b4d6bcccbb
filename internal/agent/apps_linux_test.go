package agent

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/app"
	"keepward/internal/errs"
)

// player is a kind of application of which one call may fail, and that notes them all.
type player struct {
	plan app.Plan
	log  string // a file in the first tree; its end is noted when End comes
	fail string

	mu    sync.Mutex
	calls []string
}

func (p *player) did(call string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if call != "close" || len(p.calls) == 0 || p.calls[len(p.calls)-1] != "close" {
		p.calls = append(p.calls, call)
	}
	if call == p.fail {
		return errs.New(errs.Unavailable, "application.failed", "play: %s is to fail", call)
	}
	return nil
}

func (p *player) Open(context.Context, app.Instance) (app.Application, error) {
	if err := p.did("open"); err != nil {
		return nil, err
	}
	return playing{p}, nil
}

func (p *player) Reaches(context.Context, *app.Recovery) (bool, error) { return true, p.did("reaches") }
func (p *player) Recover(context.Context, *app.Recovery) error         { return p.did("recover") }

type playing struct{ *player }

func (p playing) Plan() app.Plan                  { return p.plan }
func (p playing) Begin(context.Context) error     { return p.did("begin") }
func (p playing) Hold(context.Context) error      { return p.did("hold") }
func (p playing) Release(context.Context) error   { return p.did("release") }
func (p playing) Committed(context.Context) error { return p.did("committed") }
func (p playing) Close()                          { _ = p.did("close") }

func (p playing) End(_ context.Context, more string) ([]app.Tree, error) {
	if err := p.did("end"); err != nil {
		return nil, err
	}
	return []app.Tree{{Name: "log", Path: p.log, Only: []string{"kept"}}}, os.WriteFile(filepath.Join(more, "label"), []byte("the end"), 0o600)
}

// play is a site with an application and a job that takes files beside it.
func play(t *testing.T) (s *site, p *player, src string) {
	t.Helper()
	src = t.TempDir()
	p = &player{log: filepath.Join(src, "data", "log")}
	p.plan = app.Plan{Text: "a play", Holds: true, Trees: []app.Tree{{Name: "data", Path: filepath.Join(src, "data"), Leave: []string{"/log", "*.tmp"}}}}
	if err := os.MkdirAll(p.log, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"beside": "beside", "data/table": "rows", "data/scratch.tmp": "no", "data/log/kept": "log", "data/log/other": "no"} {
		put(t, filepath.Join(src, name), text)
	}
	appKinds["play"] = p
	t.Cleanup(func() { delete(appKinds, "play") })
	return newSite(t), p, src
}

func (s *site) playBackup(src, mode string) (string, *keepwardv1.AttemptEnd) {
	s.t.Helper()
	s.call() // the link before may have gone
	id := s.snapshotted(src, func(m *keepwardv1.StartBackupRequest) {
		m.SnapshotRetries = 0
		m.Applications = []*keepwardv1.ApplicationOrder{{Application: &keepwardv1.Application{Kind: "play", Name: "main", Mode: mode}, Secret: "unsaid"}}
	})
	return id, s.server.End(id)
}

func TestAnApplicationIsCalledInOrderAndItsFilesAreTogether(t *testing.T) {
	s, p, src := play(t)
	id, end := s.playBackup(src, "require")
	if end.GetOutcome() != "done" {
		t.Fatalf("ended with %v", end)
	}
	if d := cmp.Diff([]string{"open", "begin", "hold", "release", "end", "committed", "close"}, p.calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
	for path, want := range map[string]string{
		"/~applications/play/main/files/data/table": "rows", "/~applications/play/main/more/label": "the end",
		"/~applications/play/main/more/log/kept": "log", filepath.Join(src, "beside"): "beside",
	} {
		s.call()
		if got := s.restored(id, path); got != want {
			t.Errorf("%s came back as %q", path, got)
		}
	}
	if n := end.GetPoint().GetCounters().GetDoneFiles() - end.GetPoint().GetCounters().GetDoneDirs(); n != 4 {
		t.Errorf("%d files are in the point, want 4: no scratch, no other log, and nothing twice", n)
	}
}

func TestAnApplicationThatFailsEndsTheBackupOrIsAWarning(t *testing.T) {
	for _, call := range []string{"open", "begin", "hold", "release", "end"} {
		t.Run(call, func(t *testing.T) {
			s, p, src := play(t)
			p.fail = call
			_, end := s.playBackup(src, "require")
			if end.GetOutcome() != "failed" || !strings.Contains(end.GetFailure().GetMessage(), call+" is to fail") {
				t.Errorf("required, it ended with %v", end)
			}
			if call != "open" && p.calls[len(p.calls)-1] != "close" {
				t.Errorf("it was not closed: %q", p.calls)
			}
			id, end := s.playBackup(src, "try")
			if end.GetOutcome() != "done" || end.GetCounters().GetWarnings() == 0 || len(s.said(id, "application.unprotected")) != 1 {
				t.Errorf("tried, it ended with %v", end)
			}
			if call != "end" { // that comes when the files were read as the application's
				s.call()
				if got := s.restored(id, filepath.Join(src, "data", "table")); got != "rows" {
					t.Errorf("its file came back as %q", got)
				}
			}
		})
	}
}

func TestAnApplicationThatNeedsASnapshotFailsWithoutOne(t *testing.T) {
	s, p, src := play(t)
	p.plan.Snapshot = true
	_, end := s.playBackup(src, "require")
	if end.GetFailure().GetCode() != "application.no-snapshot" {
		t.Errorf("ended with %v", end)
	}
}

func TestAFileOfAnApplicationThatIsLostFailsTheBackup(t *testing.T) {
	s, p, src := play(t)
	p.log = filepath.Join(src, "data") // where there is nothing of that name
	_, end := s.playBackup(src, "require")
	if end.GetOutcome() != "failed" || !strings.Contains(end.GetFailure().GetMessage(), "no such file") {
		t.Errorf("ended with %v", end)
	}
}
