package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"keepward/test/site"
)

// usage is what a step took; of several processes the sums.
type usage struct {
	wall time.Duration
	cpu  time.Duration
	peak int64 // bytes of memory, shared and mapped files included
	data int64 // of these agent and mover; of a peer the same as peak
}

// command runs a program in a directory to its end and measures it with all that it waited for.
func command(ctx context.Context, dir string, env []string, name string, args ...string) (usage, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return usage{}, fmt.Errorf("%s: %w", name, err)
	}
	// The peak that wait(2) tells includes that of the process that forked: this one, which
	// has made trees. The program's own stands in /proc while it runs.
	m := site.StartMeter(func() []int { return []int{cmd.Process.Pid} })
	err := cmd.Wait()
	wall, peak := time.Since(began), m.Stop()[cmd.Process.Pid].Peak
	if err != nil {
		return usage{}, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out.Bytes())
	}
	s := cmd.ProcessState
	return usage{wall: wall, cpu: s.UserTime() + s.SystemTime(), peak: peak, data: peak}, nil
}

// median of an odd number of runs; of an even one the lower middle.
func median[T int64 | time.Duration](v []T) T {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[(len(v)-1)/2]
}

func medianUsage(runs []usage) usage {
	var wall, cpu []time.Duration
	var peak, data []int64
	for _, r := range runs {
		wall, cpu, peak, data = append(wall, r.wall), append(cpu, r.cpu), append(peak, r.peak), append(data, r.data)
	}
	return usage{median(wall), median(cpu), median(peak), median(data)}
}
