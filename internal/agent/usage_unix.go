//go:build unix

package agent

import (
	"runtime"

	"golang.org/x/sys/unix"

	keepwardv1 "keepward/api/keepward/v1"
)

// usage adds what the process has used so far.
func usage(c *keepwardv1.Counters) {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return
	}
	c.PeakRssBytes = int64(u.Maxrss) << 10
	if runtime.GOOS == "darwin" {
		c.PeakRssBytes = int64(u.Maxrss) // there it is in bytes
	}
	c.CpuMillis = (u.Utime.Nano() + u.Stime.Nano()) / 1e6
}
