//go:build !linux

package manager

import (
	"strconv"
	"time"

	"keepward/internal/retention"
)

// begun is when this process started. What it says holds for the process only; a host that
// sleeps for days counts as a jump of its clock.
var begun = time.Now()

func readClock() retention.Reading {
	now := time.Now()
	return retention.Reading{Wall: now.Round(0), Up: now.Sub(begun), Boot: "process " + strconv.FormatInt(begun.UnixNano(), 16)}
}
