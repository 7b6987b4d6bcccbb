// Package hostbench measures what a host can do of each thing that a backup does: cut, hash,
// compress, seal, open, write, sync, read, send. Administrators ask it before they choose a
// compression or a place for a repository.
//
// It runs the code that backups run, on one core and on all, on sample data; it moves no
// backup and needs no server. Run may be called by one goroutine at a time.
package hostbench

import (
	"context"
	"runtime"
	"time"

	"keepward/internal/errs"
)

// Options say what is measured, and on what.
type Options struct {
	// Sample is what is cut, hashed and compressed; at least MinSample bytes.
	Sample []byte
	// Dir is where files are written and read; empty: no disk is measured.
	Dir string
	// DiskBytes is how much is written there.
	DiskBytes int64
	// Each bounds the time for one figure.
	Each time.Duration
	// Only are the names of stages to measure; empty: all.
	Only []string
	// Progress, where set, is told the name of each stage before it starts.
	Progress func(stage string)
}

// MinSample is the least sample that says anything: some chunks of the largest size.
const MinSample = 16 << 20

// Result is what one stage reached. Rates are bytes of content a second; of a stage that is
// counted in operations, operations a second.
type Result struct {
	Stage string `json:"stage"`
	Unit  string `json:"unit"` // "B/s" or "op/s"
	// One core, and all of them at once; All is 0 where there is only one figure.
	One float64 `json:"one"`
	All float64 `json:"all,omitempty"`
	// Ratio is the size behind the stage, of the size before; 0 where it does not change.
	Ratio float64 `json:"ratio,omitempty"`
	Note  string  `json:"note,omitempty"`
}

// Units of a Result.
const (
	unitBytes = "B/s"
	unitOps   = "op/s"
)

// stage is one thing to measure.
type stage struct {
	name string
	run  func(ctx context.Context, o *Options) (Result, error)
}

// stages in the order in which a backup meets them.
func stages() []stage {
	all := cpuStages()
	all = append(all, diskStages()...)
	return append(all, networkStages()...)
}

// Names of all stages.
func Names() []string {
	var names []string
	for _, s := range stages() {
		names = append(names, s.name)
	}
	return names
}

// Run measures stage by stage.
func Run(ctx context.Context, o Options, each func(Result)) error {
	if len(o.Sample) < MinSample {
		return errs.New(errs.Invalid, "benchmark.sample", "benchmark: the sample has %d bytes, at least %d are needed", len(o.Sample), MinSample).
			WithHint("name a larger file with --data")
	}
	wanted, err := choose(o.Only)
	if err != nil {
		return err
	}
	for _, s := range wanted {
		if err := ctx.Err(); err != nil {
			return err
		}
		if o.Progress != nil {
			o.Progress(s.name)
		}
		r, err := s.run(ctx, &o)
		if err != nil {
			return err
		}
		if r.Unit == "" {
			continue // cannot be measured here, and nobody asked for it by name
		}
		r.Stage = s.name
		each(r)
	}
	return nil
}

func choose(only []string) ([]stage, error) {
	if len(only) == 0 {
		return stages(), nil
	}
	var chosen []stage
	for _, name := range only {
		found := false
		for _, s := range stages() {
			if s.name == name {
				chosen, found = append(chosen, s), true
			}
		}
		if !found {
			return nil, errs.New(errs.Invalid, "benchmark.stage", "benchmark: there is no stage %q", name).WithHint("use some of %v", Names())
		}
	}
	return chosen, nil
}

// rate repeats work for about the time given and answers how much of it was done a second.
// work answers how much one call of it did.
func rate(ctx context.Context, each time.Duration, work func() (float64, error)) (float64, error) {
	if _, err := work(); err != nil { // the first call makes buffers and tables
		return 0, err
	}
	began, done := time.Now(), 0.0
	for {
		n, err := work()
		if err != nil {
			return 0, err
		}
		done += n
		took := time.Since(began)
		if took >= each {
			return done / took.Seconds(), nil
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
}

// cores is how many goroutines measure at once.
func cores() int { return runtime.GOMAXPROCS(0) }
