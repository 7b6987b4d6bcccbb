//go:build unix

package mover

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// usage is this process's peak memory in bytes and its CPU time so far.
func usage() (peak int64, cpu time.Duration) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0, 0
	}
	peak = int64(r.Maxrss)
	if runtime.GOOS != "darwin" {
		peak *= 1024 // kilobytes everywhere else
	}
	return peak, time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
