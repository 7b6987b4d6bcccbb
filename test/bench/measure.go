package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// usage is what a step took.
type usage struct {
	wall time.Duration
	cpu  time.Duration
	peak int64 // bytes; the sum over processes, where there are several
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

// meter samples processes while a step runs: CPU time and peak memory of each. The
// kernel keeps the peak itself; sampling is for those that end meanwhile.
type meter struct {
	find func() []int

	mu   sync.Mutex
	base map[int]time.Duration
	seen map[int]usage
	quit chan struct{}
	wait sync.WaitGroup
}

// sampleEvery bounds what of a short process is missed at its end.
const sampleEvery = 5 * time.Millisecond

// startMeter measures the processes that find names, those included that start later.
// It resets their kept peaks.
func startMeter(find func() []int) *meter {
	m := &meter{find: find, base: map[int]time.Duration{}, seen: map[int]usage{}, quit: make(chan struct{})}
	for _, pid := range find() {
		// 5 resets the peak; where the kernel refuses, the peak is that since the start.
		_ = os.WriteFile(procFile(pid, "clear_refs"), []byte("5"), 0)
		m.base[pid], _ = cpuOf(pid) // gone already: it took nothing
	}
	m.wait.Go(func() {
		for tick := time.NewTicker(sampleEvery); ; {
			select {
			case <-m.quit:
				tick.Stop()
				return
			case <-tick.C:
				m.sample()
			}
		}
	})
	return m
}

// stop ends the measurement and sums over the processes.
func (m *meter) stop() (total usage) {
	m.sample()
	close(m.quit)
	m.wait.Wait()
	for _, u := range m.seen {
		total.cpu += u.cpu
		total.peak += u.peak
	}
	return total
}

func (m *meter) sample() {
	pids := m.find()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, pid := range pids {
		cpu, err := cpuOf(pid)
		peak, err2 := peakOf(pid)
		if errors.Join(err, err2) != nil {
			continue // it has just ended
		}
		u := m.seen[pid]
		m.seen[pid] = usage{cpu: max(u.cpu, cpu-m.base[pid]), peak: max(u.peak, peak)}
	}
}

// clockTick is the unit of /proc/PID/stat: 1/100 s on every Linux that we know.
const clockTick = 10 * time.Millisecond

func cpuOf(pid int) (time.Duration, error) {
	b, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold spaces; what follows it does not.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var ticks int64
	for _, i := range []int{11, 12} { // utime, stime
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

func peakOf(pid int) (int64, error) {
	b, err := os.ReadFile(procFile(pid, "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("it has no memory: a zombie")
}

func procFile(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
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

// sizeOf is what a repository takes: the sum of its files' lengths.
func sizeOf(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
