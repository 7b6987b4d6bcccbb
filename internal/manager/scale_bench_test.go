//go:build unix

package manager

import (
	"fmt"
	"os"
	"runtime"
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
	s := newBigSite(b, sessions/10, 50, 10)
	s.kill()
	runtime.GC()
	empty := memory()
	s.fill(sessions)

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

	took := s.latencies(min(500, sessions/4))
	b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
	b.ReportMetric(took[len(took)/2].Seconds()*1000, "median-ms")

	more := min(2_000, sessions)
	spent = stopwatch()
	s.submit(sessions, more)
	s.idle()
	wall, cpu = spent()
	b.ReportMetric(float64(more)/wall, "submitted/s")
	b.ReportMetric(float64(more)/cpu, "submitted/cpu-s")

	ends := min(4_000, sessions/4)
	s.toEnd(ends)
	spent = stopwatch()
	s.endAll()
	wall, cpu = spent()
	b.ReportMetric(2*float64(ends)/wall, "decisions/s")
	b.ReportMetric(2*float64(ends)/cpu, "decisions/cpu-s")
	b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
	b.ReportMetric(memory()/(1<<20), "heap-MiB")
	b.ReportMetric(resident(b)/(1<<20), "resident-MiB")
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

// resident is all memory of the process; 0 where the system does not tell.
func resident(b *testing.B) float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		b.Fatal(err)
	}
	return float64(pages * os.Getpagesize())
}
