package site

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Usage is what a process took.
type Usage struct {
	CPU  time.Duration
	Peak int64 // bytes of memory at most
}

// Meter samples processes while a step runs: CPU time and peak memory of each. The
// kernel keeps the peak itself; sampling is for those that end meanwhile.
type Meter struct {
	find func() []int

	mu   sync.Mutex
	base map[int]time.Duration
	seen map[int]Usage
	quit chan struct{}
	wait sync.WaitGroup
}

// sampleEvery bounds what of a short process is missed at its end.
const sampleEvery = 10 * time.Millisecond

// StartMeter measures the processes that find names, those included that start later.
// It resets their kept peaks.
func StartMeter(find func() []int) *Meter {
	m := &Meter{find: find, base: map[int]time.Duration{}, seen: map[int]Usage{}, quit: make(chan struct{})}
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

// Stop ends the measurement and says what each process took, by its number.
func (m *Meter) Stop() map[int]Usage {
	m.sample()
	close(m.quit)
	m.wait.Wait()
	return m.seen
}

func (m *Meter) sample() {
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
		m.seen[pid] = Usage{CPU: max(u.CPU, cpu-m.base[pid]), Peak: max(u.Peak, peak)}
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
