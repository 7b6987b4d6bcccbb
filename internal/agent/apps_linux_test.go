package agent

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/app"
	"keepward/internal/errs"
	"keepward/internal/pipeline"
	"keepward/internal/restore"
	"keepward/internal/source"
)

// player is a kind of application of which one call may fail, and that notes them all.
type player struct {
	plan app.Plan
	log  string // a file in the first tree; its end is noted when End comes
	fail string
	// during is done while a call is under way.
	during map[string]func()

	mu    sync.Mutex
	calls []string
}

func (p *player) did(call string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if call != "close" || len(p.calls) == 0 || p.calls[len(p.calls)-1] != "close" {
		p.calls = append(p.calls, call)
	}
	if do := p.during[call]; do != nil {
		do()
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
			if slices.Contains(p.calls, "committed") || len(s.said(id, "application.protected")) > 0 {
				t.Errorf("it is taken for protected: %q", p.calls)
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

func TestATreeOfAnApplicationThatGoesIsNoFileThatGoes(t *testing.T) {
	for _, mode := range []string{"require", "try"} {
		s, p, src := play(t)
		p.log = t.TempDir()
		put(t, filepath.Join(p.log, "kept"), "log")
		p.during = map[string]func(){"release": func() { _ = os.RemoveAll(filepath.Join(src, "data")) }}
		id, end := s.playBackup(src, mode)
		if mode == "require" && end.GetFailure().GetCode() != "application.unreadable" {
			t.Errorf("required, it ended with %v", end)
		}
		if mode == "try" && (end.GetOutcome() != "done" || len(s.said(id, "application.unprotected")) != 1) {
			t.Errorf("tried, it ended with %v", end)
		}
		if slices.Contains(p.calls, "committed") {
			t.Errorf("%s: what was kept for the point is let go: %q", mode, p.calls)
		}
	}
}

func TestAnApplicationWhoseSessionIsLostIsNotHeldAgain(t *testing.T) {
	s, p, src := play(t)
	p.fail = "release"
	s.call()
	id := s.snapshotted(src, func(m *keepwardv1.StartBackupRequest) {
		m.SnapshotRetries = 3
		m.Applications = []*keepwardv1.ApplicationOrder{{Application: &keepwardv1.Application{Kind: "play", Name: "main", Mode: "require"}}}
	})
	if end := s.server.End(id); !strings.Contains(end.GetFailure().GetMessage(), "release is to fail") {
		t.Errorf("it ended with %v", end)
	}
	if n := strings.Count(strings.Join(p.calls, " "), "hold"); n != 1 {
		t.Errorf("it was held %d times: %q", n, p.calls)
	}
}

func TestWithNothingButAnApplicationThatFailsThereIsNoPoint(t *testing.T) {
	for _, call := range []string{"open", "hold"} {
		s, p, src := play(t)
		p.fail = call
		s.call()
		id := s.snapshotted(src, func(m *keepwardv1.StartBackupRequest) {
			m.SnapshotRetries, m.Files.Include = 0, nil
			m.Applications = []*keepwardv1.ApplicationOrder{{Application: &keepwardv1.Application{Kind: "play", Name: "main", Mode: "try"}}}
		})
		if end := s.server.End(id); end.GetOutcome() != "failed" || !strings.Contains(end.GetFailure().GetMessage(), call+" is to fail") {
			t.Errorf("%s: it ended with %v", call, end)
		}
	}
}

// copying is an application that makes a copy of itself.
type copying struct{ playing }

func (c copying) Copy(_ context.Context, dir string) ([]app.Tree, error) {
	return []app.Tree{{Name: "data", Path: dir}}, os.WriteFile(filepath.Join(dir, "table"), []byte("rows"), 0o600)
}

// TestACopyIsReadWhereItWasMade: all of this computer is in a snapshot but for the application's file
// system, and the copy was made when that had been taken.
func TestACopyIsReadWhereItWasMade(t *testing.T) {
	live, own := t.TempDir(), t.TempDir()
	plan := app.Plan{Snapshot: true, Trees: []app.Tree{{Name: "data", Path: live}}}
	one := &oneApp{
		Application: copying{playing{&player{plan: plan}}}, plan: plan, read: plan.Trees,
		row: &keepwardv1.Application{Kind: "play", Name: "main"}, at: "~applications/play/main",
	}
	x := &apps{a: &agent{cfg: Config{DataDir: own}}, attempt: "attempt", list: []*oneApp{one}}
	view := &source.View{Grafts: []source.Graft{{At: "/", From: t.TempDir()}, {At: live}}}
	opts := pipeline.Options{Event: func(pipeline.Event) {}}
	if err := x.lay(t.Context(), view, &opts); err != nil {
		t.Fatal(err)
	}
	sel, err := opts.Parts[0].Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if from, _ := sel.View.Place("/~applications/play/main/files/data"); !strings.HasPrefix(from, own) {
		t.Errorf("the copy is read from %s, want a place below %s", from, own)
	} else if b, err := os.ReadFile(filepath.Join(from, "table")); err != nil || string(b) != "rows" {
		t.Errorf("the copy is %q, %v", b, err)
	}
}

func TestATreeOfWhichAPartIsInNoSnapshotIsLive(t *testing.T) {
	view := &source.View{Grafts: []source.Graft{{At: "/srv", From: "/snapshot"}, {At: "/srv/db/wal"}, {At: "/srv/db/tmp"}, {At: "/srv/other/base"}}}
	for _, c := range []struct {
		path  string
		leave []string
		want  bool
	}{
		{"/srv/db", []string{"/wal", "/tmp/*"}, false},
		{"/srv/db", []string{"/wal"}, true},
		{"/srv/db", []string{"wal", "/tmp"}, true}, // of a name in all trees it cannot be told
		{"/srv/other", nil, true},
		{"/srv/third", nil, false},
		{"/var/db", nil, true},
	} {
		if got := isLive(app.Tree{Path: c.path, Leave: c.leave}, view); got != c.want {
			t.Errorf("%s without %q: live is %v", c.path, c.leave, got)
		}
	}
}

func TestOnlyWhatARestoreHasLeftItselfIsRemoved(t *testing.T) {
	for _, c := range []struct {
		there string
		task  string
		code  string
	}{
		{"", "", ""},
		{"files", "t1", ""},
		{"files", "t2", "application.not-empty"},
		{"files", "", "application.not-empty"},
		{"." + appMark + ".123", "", ""}, // it was killed while it wrote the mark
	} {
		dir := t.TempDir()
		if c.there != "" {
			put(t, filepath.Join(dir, c.there), "x")
		}
		if c.task != "" {
			put(t, filepath.Join(dir, appMark), c.task)
		}
		r := &appRestore{task: "t1", opts: restore.Options{To: dir}}
		if err := r.clear(); errs.CodeOf(err) != c.code {
			t.Errorf("%+v: %v", c, err)
		}
		if _, err := os.Stat(filepath.Join(dir, c.there)); c.there != "" && (err == nil) != (c.code != "") {
			t.Errorf("%+v: what was there is there: %v", c, err == nil)
		}
	}
}
