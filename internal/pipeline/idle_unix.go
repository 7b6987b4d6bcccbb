//go:build unix

package pipeline

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// ownIdle answers the share of the processors that this process may use and did not, since
// its last call.
func ownIdle() func() (float64, bool) {
	var used time.Duration
	var at time.Time
	return func() (float64, bool) {
		var u unix.Rusage
		if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
			return 0, false
		}
		now, total := time.Now(), time.Duration(u.Utime.Nano()+u.Stime.Nano())
		since, spent := now.Sub(at), total-used
		known := !at.IsZero() && since > 0
		at, used = now, total
		if !known {
			return 0, false
		}
		return max(0, 1-float64(spent)/(float64(since)*float64(runtime.GOMAXPROCS(0)))), true
	}
}
