package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// usage is what a step took; of several processes the sums.
type usage struct {
	wall time.Duration
	cpu  time.Duration
	peak int64
}

// command runs a program in a directory to its end and measures it with all that it waited for.
func command(ctx context.Context, dir string, env []string, name string, args ...string) (usage, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return usage{}, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	s := cmd.ProcessState
	return usage{
		wall: time.Since(began),
		cpu:  s.UserTime() + s.SystemTime(),
		peak: s.SysUsage().(*syscall.Rusage).Maxrss << 10,
	}, nil
}

// median of an odd number of runs; of an even one the lower middle.
func median[T int64 | time.Duration](v []T) T {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[(len(v)-1)/2]
}

func medianUsage(runs []usage) usage {
	var wall, cpu []time.Duration
	var peak []int64
	for _, r := range runs {
		wall, cpu, peak = append(wall, r.wall), append(cpu, r.cpu), append(peak, r.peak)
	}
	return usage{median(wall), median(cpu), median(peak)}
}
