package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	holdIfTold()
	settle = func() {} // nothing is measured that has to be right
	os.Exit(m.Run())
}

// A median of alternating runs: one slow run must not decide.
func TestMedianIgnoresOneSlowRun(t *testing.T) {
	run := func(wall, cpu time.Duration, peak, agent int64) result {
		return result{usage: usage{Wall: wall, CPU: cpu, Peak: peak, Agent: agent}}
	}
	got := medians([]result{run(time.Hour, 1, 3, 2), run(2, time.Hour, 1, 3), run(3, 2, 2, 9)})
	if want := run(3, 2, 2, 3); got != want {
		t.Errorf("each figure has its own median: %+v", got)
	}
}

// fake is a program whose every step takes the same and adds a MiB to its repository.
type fake struct {
	title, repo string
	wall        time.Duration
}

func (f *fake) name() string       { return f.title }
func (f *fake) repository() string { return f.repo }
func (f *fake) close() error       { return nil }

func (f *fake) prepare(_ context.Context, dir string) error {
	f.repo = dir
	return os.WriteFile(filepath.Join(f.repo, "pack"), make([]byte, 3<<20), 0o600)
}

func (f *fake) backup(context.Context, string) (usage, error) {
	had, err := os.ReadFile(filepath.Join(f.repo, "pack"))
	if err != nil {
		return usage{}, err
	}
	return usage{Wall: f.wall, CPU: time.Second, Peak: 7 << 20},
		os.WriteFile(filepath.Join(f.repo, "pack"), append(had, make([]byte, 1<<20)...), 0o600)
}

func (f *fake) restore(ctx context.Context, _, _ string) (usage, error) { return f.backup(ctx, "") }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// benchOf is a run of the programs with one workload.
func benchOf(t *testing.T, results string, programs ...*fake) (*bench, *workload) {
	t.Helper()
	w := &workload{
		name: workDB, title: "Data", steps: []step{{name: stepFirst}, {name: stepPages}}, floors: []floor{floorWalk},
		parts: []part{{program: "*"}}, build: func(context.Context, string) (int64, error) { return 100 << 20, nil },
	}
	b := &bench{options: options{rounds: 2, once: "borg"}, root: t.TempDir(), data: t.TempDir()}
	for _, p := range programs {
		b.all = append(b.all, p)
	}
	var err error
	b.rep, err = openReport(results, []*workload{w}, b.sizes())
	must(t, err)
	t.Cleanup(func() { must(t, b.rep.close()) })
	return b, w
}

// The page has a row for every program in every step, with the figures in their columns.
func TestReportHasEveryRow(t *testing.T) {
	b, w := benchOf(t, "", &fake{title: "one 0.1", wall: 1500 * time.Millisecond}, &fake{title: "borg 0.2", wall: 1500 * time.Millisecond})
	must(t, b.measure(t.Context(), w))
	page := b.rep.markdown(nil)
	for _, row := range []string{
		"| one 0.1 | 1.50 | 1.00 | 7 | – | 4 | 1.0 | 2 |", "| one 0.1 | 1.50 | 1.00 | 7 | – | 5 | 1.0 | 2 |",
		"| borg 0.2 | 1.50 | 1.00 | 7 | – | 4 | 1.0 | 1 |", "| borg 0.2 | 1.50 | 1.00 | 7 | – | 5 | 1.0 | 1 |",
	} {
		if strings.Count(page, row) != 1 {
			t.Errorf("not one row %q:\n%s", row, page)
		}
	}
}

// What stands in the results is not measured again, unless that is asked for; what does not, is.
func TestAnInterruptedRunGoesOn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results")
	ours := &fake{title: "keepward, zstd", wall: time.Second}
	b, w := benchOf(t, file, ours)
	must(t, b.measure(t.Context(), w))

	peer := &fake{title: "kopia 1, s2-default", wall: time.Second}
	b, w = benchOf(t, file, ours, peer)
	if due := b.due(w, 1); len(due) != 1 || due[0] != engine(peer) || len(b.dueFloors(w, 1)) > 0 {
		t.Errorf("due are %v, floors %v", due, b.dueFloors(w, 1))
	}
	must(t, b.measure(t.Context(), w))
	if due := slices.Concat(b.due(w, 0), b.due(w, 1)); len(due) > 0 {
		t.Errorf("due are %v, and all was measured", due)
	}

	ours.wall, b.again, b.only = 3*time.Second, true, "keepward"
	must(t, b.measure(t.Context(), w))
	b, w = benchOf(t, file, ours, peer)
	s := b.rep.section(w)
	for name, want := range map[string]time.Duration{ours.title: 3 * time.Second, peer.title: time.Second} {
		runs := s.runs(name, stepPages)
		if len(runs) != 2 || medians(runs).Wall != want {
			t.Errorf("%s: %v", name, runs)
		}
	}
	if _, err := openReport(file, nil, sizes{Files: 1}); err == nil {
		t.Error("results of other sizes of data were taken over")
	}
}

// A goal is met only by figures that are there, against the best of all that were asked for.
func TestGoalsAreJudgedByTheBestPeerAndAMissingOneIsNoPass(t *testing.T) {
	ours := &fake{title: "keepward, zstd", wall: time.Second}
	slow, quick := &fake{title: "restic 1, fastest", wall: 4 * time.Second}, &fake{title: "kopia 2, s2-default", wall: 1600 * time.Millisecond}
	both := []string{"restic *", "kopia *"}
	for _, tt := range []struct {
		name     string
		programs []*fake
		goal     goal
		want     string
	}{
		{"met beside one", []*fake{ours, slow}, goal{what: wall, beside: []string{resticFastest}, most: 0.5}, "met"},
		{"the best peer counts", []*fake{ours, slow, quick}, goal{what: wall, beside: both, most: 0.5}, "missed"},
		{"a peer is missing", []*fake{ours, slow}, goal{what: wall, beside: both, most: 0.5}, "not measured"},
		{"the setting is missing", []*fake{ours, slow}, goal{what: wall, beside: []string{resticAuto}, most: 0.5}, "not measured"},
		{"we are missing", []*fake{slow}, goal{what: wall, beside: []string{resticFastest}, most: 0.5}, "not measured"},
		{"we are missing in all", []*fake{slow}, goal{what: memory, step: anyStep, bound: 1 << 40}, "not measured"},
		{"a floor", []*fake{ours}, goal{what: wall, floor: floorWalk.name, most: 1e12}, "met"},
		{"a floor not measured", []*fake{ours}, goal{what: wall, floor: floorUntar.name, most: 9}, "not measured"},
		{"memory kept", []*fake{ours}, goal{what: memory, bound: 7 << 20}, "met"},
		{"memory not kept", []*fake{ours}, goal{what: memory, bound: 7<<20 - 1}, "missed"},
		{"memory kept in all steps", []*fake{ours}, goal{what: memory, step: anyStep, bound: 7 << 20}, "met"},
		{"memory not kept in one", []*fake{ours}, goal{what: memory, step: anyStep, bound: 7<<20 - 1}, "missed"},
		{"time kept", []*fake{ours}, goal{what: wall, within: time.Second}, "met"},
		{"time not kept", []*fake{ours}, goal{what: wall, within: time.Second - 1}, "missed"},
		{"growth of one per cent", []*fake{ours}, goal{what: growth, most: 0.01}, "met"},
		{"growth of more", []*fake{ours}, goal{what: growth, most: 0.009}, "missed"},
		{"another step", []*fake{ours}, goal{what: wall, otherStep: stepFirst, most: 1}, "met"},
		{"another step not measured", []*fake{ours}, goal{what: wall, otherStep: stepAnew, most: 1}, "not measured"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, w := benchOf(t, "", tt.programs...)
			must(t, b.measure(t.Context(), w))
			tt.goal.work, tt.goal.ours = workDB, ourZstd
			if tt.goal.step == "" {
				tt.goal.step = stepPages
			}
			if v := b.rep.judge([]goal{tt.goal})[0]; v.word() != tt.want {
				t.Errorf("%s, want %s", v, tt.want)
			}
		})
	}
}

// titles are what the patterns of goals stand for.
var titles = map[string]string{
	ourZstd: "keepward, zstd", ourFast: "keepward, fast", resticFastest: "restic 1, fastest", resticAuto: "restic 1, auto",
	kopiaS2: "kopia 1, s2-default", anyBorg: "borg 1",
}

// Every figure that a goal needs is measured, and no peer does a step that no goal needs.
func TestGoalsAndWorkloadsFit(t *testing.T) {
	needed := map[string]bool{}
	for _, g := range goals() {
		for _, program := range append([]string{g.ours}, g.beside...) {
			needed[g.work+"/"+titles[program]+"/"+g.step] = true
		}
	}
	does := map[string]bool{}
	for _, w := range workloads(options{}) {
		for _, title := range titles {
			if p := w.part(title); p != nil {
				fit(t, w, p, title, needed, does)
			}
		}
		for _, f := range w.floors {
			does[w.name+"//"+f.name] = true
		}
	}
	for _, g := range goals() {
		if g.step == anyStep {
			continue
		}
		for _, key := range []string{g.work + "/" + titles[g.ours] + "/" + g.step, g.work + "/" + titles[g.ours] + "/" + g.otherStep, g.work + "//" + g.floor} {
			if !strings.HasSuffix(key, "/") && !does[key] {
				t.Errorf("nobody measures %s", key)
			}
		}
		for _, program := range g.beside {
			if key := g.work + "/" + titles[program] + "/" + g.step; !does[key] {
				t.Errorf("nobody measures %s", key)
			}
		}
	}
}

// fit notes what a program does in a workload, which ends with something that is needed.
func fit(t *testing.T, w *workload, p *part, title string, needed, does map[string]bool) {
	t.Helper()
	last := ""
	for _, st := range w.steps {
		if p.does(st.name) {
			for _, m := range st.measures() {
				last = fmt.Sprintf("%s/%s/%s", w.name, title, m)
				does[last] = true
			}
		}
	}
	if !strings.HasPrefix(title, "keepward") && !needed[last] {
		t.Errorf("no goal needs %s", last)
	}
}

// However a run ends, nothing that it started is left.
func TestTheWatchdogLeavesNothing(t *testing.T) {
	t.Setenv(mark, "") // and put back at the end
	root := filepath.Join(t.TempDir(), "run")
	must(t, os.MkdirAll(filepath.Join(root, "sub"), 0o755))
	dog, err := watch(root)
	must(t, err)
	cmd := exec.Command("sleep", "1000")
	must(t, cmd.Start())
	must(t, dog.close())
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Errorf("the process ended as %v", cmd.ProcessState)
	}
	if _, err := os.Stat(root); !os.IsNotExist(err) {
		t.Errorf("the directory: %v", err)
	}
}
