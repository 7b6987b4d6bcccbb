package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A median of alternating runs: one slow run must not decide.
func TestMedianIgnoresOneSlowRun(t *testing.T) {
	if got := median([]int64{900, 10, 11}); got != 11 {
		t.Errorf("the median of 10, 11, 900 is %d", got)
	}
	got := medianUsage([]usage{
		{wall: time.Hour, cpu: 1, peak: 3, data: 2}, {wall: 2, cpu: time.Hour, peak: 1, data: 3}, {wall: 3, cpu: 2, peak: 2, data: 9},
	})
	if got != (usage{wall: 3, cpu: 2, peak: 2, data: 3}) {
		t.Errorf("each figure has its own median: %+v", got)
	}
}

// fake is a program whose every step takes the same and adds a MiB to its repository.
type fake struct {
	title, repo string
	wall        time.Duration
}

func (f *fake) name() string                          { return f.title }
func (f *fake) repository() string                    { return f.repo }
func (f *fake) prepare(context.Context, string) error { return nil }
func (f *fake) close() error                          { return nil }

func (f *fake) backup(context.Context, string) (usage, error) {
	had, err := os.ReadFile(filepath.Join(f.repo, "pack"))
	if err != nil {
		return usage{}, err
	}
	return usage{wall: f.wall, cpu: time.Second, peak: 7 << 20, data: 7 << 20},
		os.WriteFile(filepath.Join(f.repo, "pack"), append(had, make([]byte, 1<<20)...), 0o600)
}

func (f *fake) restore(ctx context.Context, _, _ string) (usage, error) { return f.backup(ctx, "") }

func measured(t *testing.T, programs ...*fake) (*report, *section) {
	t.Helper()
	r := &report{rounds: 1}
	w := &workload{name: workDB, title: "Data", steps: []step{{name: stepFirst}, {name: stepPages}}, floors: []floor{floorTarZstd}}
	s := r.section(w, 1, 100<<20)
	s.floor(floorTarZstd.name, usage{wall: 2 * time.Second})
	for _, p := range programs {
		p.repo = t.TempDir()
		if err := os.WriteFile(filepath.Join(p.repo, "pack"), make([]byte, 3<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, st := range w.steps {
			if err := s.measure(p, st.name, func() (usage, error) { return p.backup(t.Context(), "") }); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r, s
}

// The page has a row for every program in every step, with the figures in their columns.
func TestReportHasEveryRow(t *testing.T) {
	r, _ := measured(t, &fake{title: "one 0.1", wall: 1500 * time.Millisecond}, &fake{title: "two 0.2", wall: 1500 * time.Millisecond})
	page := r.markdown(nil)
	for _, row := range []string{
		"| one 0.1 | 1.50 | 1.00 | 7 | 4 | 1.0 |", "| one 0.1 | 1.50 | 1.00 | 7 | 5 | 1.0 |",
		"| two 0.2 | 1.50 | 1.00 | 7 | 4 | 1.0 |", "| two 0.2 | 1.50 | 1.00 | 7 | 5 | 1.0 |",
	} {
		if strings.Count(page, row) != 1 {
			t.Errorf("not one row %q:\n%s", row, page)
		}
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
		{"met beside one", []*fake{ours, slow}, goal{what: wall, beside: []string{"restic *, fastest"}, most: 0.5}, "met"},
		{"the best peer counts", []*fake{ours, slow, quick}, goal{what: wall, beside: both, most: 0.5}, "missed"},
		{"a peer is missing", []*fake{ours, slow}, goal{what: wall, beside: both, most: 0.5}, "not measured"},
		{"the setting is missing", []*fake{ours, slow}, goal{what: wall, beside: []string{"restic *, auto"}, most: 0.5}, "not measured"},
		{"we are missing", []*fake{slow}, goal{what: wall, beside: []string{"restic *"}, most: 0.5}, "not measured"},
		{"a floor", []*fake{ours}, goal{what: wall, floor: floorTarZstd.name, most: 0.6}, "met"},
		{"a floor not measured", []*fake{ours}, goal{what: wall, floor: floorUntar.name, most: 9}, "not measured"},
		{"memory kept", []*fake{ours}, goal{what: memory, bound: 7 << 20}, "met"},
		{"memory not kept", []*fake{ours}, goal{what: memory, bound: 7<<20 - 1}, "missed"},
		{"growth of one per cent", []*fake{ours}, goal{what: growth, most: 0.01}, "met"},
		{"growth of more", []*fake{ours}, goal{what: growth, most: 0.009}, "missed"},
		{"another step", []*fake{ours}, goal{what: wall, otherStep: stepFirst, most: 1}, "met"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, s := measured(t, tt.programs...)
			tt.goal.work, tt.goal.step, tt.goal.ours = workDB, stepPages, ourZstd
			if v := s.judge(tt.goal); v.word() != tt.want {
				t.Errorf("%s, want %s", v, tt.want)
			}
		})
	}
}

// Each goal names a workload and steps that there are, so none is left out unseen.
func TestEveryGoalHasItsWorkload(t *testing.T) {
	has := map[string]bool{}
	for _, w := range workloads(options{}) {
		for _, st := range w.steps {
			has[w.name+"/"+st.name] = true
		}
		for _, f := range w.floors {
			has[w.name+"/"+f.name] = true
		}
	}
	for _, g := range goals() {
		for _, name := range []string{g.step, g.otherStep, g.floor} {
			if name != "" && !has[g.work+"/"+name] {
				t.Errorf("goal %+v: workload %s has no %q", g, g.work, name)
			}
		}
	}
}
