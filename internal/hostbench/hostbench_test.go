package hostbench

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"keepward/internal/errs"
)

func options(t *testing.T) Options {
	t.Helper()
	text := []byte(strings.Repeat("all work and no play makes a dull sample ", 20))
	return Options{
		Sample: bytes.Repeat(text, MinSample/len(text)+1), Dir: t.TempDir(), DiskBytes: packSize, Each: time.Millisecond,
	}
}

// Every stage gives a rate that can be: above nothing, and none of it left on the disk.
func TestEveryStageIsMeasured(t *testing.T) {
	o := options(t)
	var got []Result
	if err := Run(t.Context(), o, func(r Result) { got = append(got, r) }); err != nil {
		t.Fatal(err)
	}
	names := Names()
	for i, r := range got {
		if r.Stage != names[i] || r.One <= 0 || r.Unit != unitBytes && r.Unit != unitOps {
			t.Errorf("stage %d: %+v", i, r)
		}
		packed := strings.HasPrefix(r.Stage, "seal, ") && r.Stage != "seal, not compressed"
		if packed && (r.Ratio <= 0 || r.Ratio > 0.5) || r.Stage == "seal, not compressed" && r.Ratio <= 1 {
			t.Errorf("%s made %.2f of a text that repeats", r.Stage, r.Ratio)
		}
	}
	if len(got) != len(names) {
		t.Errorf("%d stages of %d", len(got), len(names))
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWithoutADirectoryNoDiskIsMeasured(t *testing.T) {
	o := options(t)
	o.Dir = ""
	var got []string
	if err := Run(t.Context(), o, func(r Result) { got = append(got, r.Stage) }); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "disk") }) {
		t.Errorf("measured %v", got)
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	o := options(t)
	none := func(Result) {}
	small := o
	small.Sample = o.Sample[:1000]
	unknown := o
	unknown.Only = []string{"hash", "guess"}
	nowhere := o
	nowhere.Dir, nowhere.Only = "/no/such/directory", []string{"disk, put a small object"}
	for _, tt := range []struct {
		o    Options
		code string
	}{{small, "benchmark.sample"}, {unknown, "benchmark.stage"}, {nowhere, "benchmark.dir"}} {
		if err := Run(t.Context(), tt.o, none); errs.CodeOf(err) != tt.code {
			t.Errorf("%v, want %s", err, tt.code)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, o, none); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
