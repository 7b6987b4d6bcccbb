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
	got := medianUsage([]usage{{wall: time.Hour, cpu: 1, peak: 3}, {wall: 2, cpu: time.Hour, peak: 1}, {wall: 3, cpu: 2, peak: 2}})
	if got != (usage{wall: 3, cpu: 2, peak: 2}) {
		t.Errorf("each figure has its own median: %+v", got)
	}
}

// fake is a program whose every step takes the same.
type fake struct{ title, repo string }

func (f fake) name() string                                           { return f.title }
func (f fake) repository() string                                     { return f.repo }
func (f fake) prepare(context.Context, string) error                  { return nil }
func (f fake) backup(context.Context, string) (usage, error)          { return usage{}, nil }
func (f fake) restore(context.Context, string, string) (usage, error) { return usage{}, nil }
func (f fake) close() error                                           { return nil }

// The page has a row for every program in every step, with the figures in their columns.
func TestReportHasEveryRow(t *testing.T) {
	repo := t.TempDir()
	if err := os.WriteFile(filepath.Join(repo, "pack"), make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &report{rounds: 1, files: 2, bytes: 3 << 30}
	for _, e := range []engine{fake{"one 0.1", repo}, fake{"two 0.2", repo}} {
		for _, step := range steps {
			if err := r.measure(e, step, func() (usage, error) { return usage{1500 * time.Millisecond, time.Second, 7 << 20}, nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	page := r.markdown()
	for _, row := range []string{"| one 0.1 | 1.50 | 1.00 | 7 | 3 |", "| two 0.2 | 1.50 | 1.00 | 7 | 3 |"} {
		if got := strings.Count(page, row); got != len(steps) {
			t.Errorf("%d rows %q, want one for each of %d steps:\n%s", got, row, len(steps), page)
		}
	}
}
