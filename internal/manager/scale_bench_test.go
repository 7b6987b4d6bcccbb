//go:build unix

package manager

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkSite starts a server on a catalog in which so many sessions wait, of a tenth as many
// computers and 500 streams, submits more, and lets some end. A decision is a session's request or
// release with all that it brings about, written and carried out; of the time of a machine that
// others use too, the processor time is what can be compared.
func BenchmarkSite(b *testing.B) {
	for _, sessions := range []int{1_000, 10_000, 100_000} {
		b.Run(strconv.Itoa(sessions), func(b *testing.B) {
			for b.Loop() {
				measureSite(b, sessions)
			}
		})
	}
}

func measureSite(b *testing.B, sessions int) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(MemoryLimit)) // as the server does
	s := newBigSite(b, sessions/10, 50, 10)
	s.kill()
	runtime.GC()
	empty := memory()
	s.fill(sessions)
	forgetPeak(b)

	spent := stopwatch()
	s.start()
	wall, cpu := spent()
	b.ReportMetric(wall, "restart-s")
	b.ReportMetric(cpu, "restart-cpu-s")
	s.idle()
	b.ReportMetric((memory()-empty)/float64(sessions), "B/session")
	spent = stopwatch()
	s.connect()
	s.untilRunning(min(500, sessions/10))
	wall, _ = spent()
	b.ReportMetric(wall, "connect-s")
	s.idle()

	granted, started := s.latencies(min(1000, sessions/4))
	for name, took := range map[string][]time.Duration{"granted": granted, "started": started} {
		b.ReportMetric(took[len(took)*99/100].Seconds()*1000, name+"-p99-ms")
		b.ReportMetric(took[len(took)/2].Seconds()*1000, name+"-median-ms")
	}

	more := min(2_000, sessions)
	spent = stopwatch()
	s.submit(sessions, more)
	s.idle()
	wall, cpu = spent()
	b.ReportMetric(float64(more)/wall, "submitted/s")
	b.ReportMetric(float64(more)/cpu, "submitted/cpu-s")

	ends := min(10_000, sessions/4)
	s.toEnd(ends)
	spent = stopwatch()
	s.endAll()
	wall, cpu = spent()
	b.ReportMetric(2*float64(ends)/wall, "decisions/s")
	b.ReportMetric(2*float64(ends)/cpu, "decisions/cpu-s")
	b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
	b.ReportMetric(memory()/(1<<20), "heap-MiB")
	b.ReportMetric(resident(b, "VmRSS")/(1<<10), "resident-MiB")
	b.ReportMetric(resident(b, "VmHWM")/(1<<10), "peak-MiB")
	s.kill()
}

// stopwatch answers seconds since its start: of the clock, and of all processors for this process.
func stopwatch() func() (wall, cpu float64) {
	began, before := time.Now(), processorTime()
	return func() (wall, cpu float64) {
		return time.Since(began).Seconds(), (processorTime() - before).Seconds()
	}
}

func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprintf("documented not to fail: %v", err))
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory is what Go has in use after a collection, which is all but what SQLite has.
func memory() float64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

// forgetPeak gives back what is not in use and begins a new peak, where the system can.
func forgetPeak(b *testing.B) {
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Log("the peak of memory is that of the whole benchmark:", err)
	}
}

// resident is the memory of the process in KiB, as the system counts it; 0 where it does not tell.
func resident(b *testing.B, field string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); name == field {
			n, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	return 0
}
