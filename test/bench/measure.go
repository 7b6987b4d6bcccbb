package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"keepward/test/site"
)

// usage is what a step took; of several processes the sums.
type usage struct {
	Wall time.Duration `json:"wall"`
	CPU  time.Duration `json:"cpu"`
	Peak int64         `json:"peak"` // bytes of memory, shared and mapped files included
	// Of Peak, where there are several processes.
	Agent int64 `json:"agent,omitempty"`
	Mover int64 `json:"mover,omitempty"`
}

// movers is the memory of what moves data: agent and mover, or the one process that there is.
func (u usage) movers() int64 {
	if both := u.Agent + u.Mover; both > 0 {
		return both
	}
	return u.Peak
}

// settle has everything written that was left to be.
var settle = unix.Sync

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
	return usage{Wall: wall, CPU: s.UserTime() + s.SystemTime(), Peak: peak}, nil
}
