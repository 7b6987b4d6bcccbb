package manager

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/retention"
)

// readClock reads the time of day and, beside it, the clock that counts from the host's start on
// and goes on while the host sleeps.
func readClock() retention.Reading {
	r := retention.Reading{Wall: time.Now().Round(0)}
	var up unix.Timespec
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil && unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) == nil {
		r.Boot, r.Up = strings.TrimSpace(string(boot)), time.Duration(up.Nano())
	}
	return r
}
