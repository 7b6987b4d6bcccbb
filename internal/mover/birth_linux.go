package mover

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"keepward/internal/errs"
)

// Birth tells a process from any other that had or will have its id: the boot it lives in
// and when it was started since. An error of kind NotFound if there is none.
func Birth(pid int) (boot string, started uint64, err error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", 0, errs.New(errs.Internal, "process.read", "read boot id: %w", err)
	}
	boot = strings.TrimSpace(string(b))
	b, err = os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, errs.New(errs.NotFound, "process.gone", "read process %d: %w", pid, err)
	}
	// The second field is a name in parentheses that may hold anything.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	const state, starttime = 0, 19 // of proc(5), counted from behind the name
	if len(fields) <= starttime {
		return "", 0, errs.New(errs.Internal, "process.read", "read process %d: its stat has %d fields", pid, len(fields))
	}
	if fields[state] == "Z" || fields[state] == "X" {
		return "", 0, errs.New(errs.NotFound, "process.gone", "read process %d: it has ended", pid)
	}
	if started, err = strconv.ParseUint(fields[starttime], 10, 64); err != nil {
		return "", 0, errs.New(errs.Internal, "process.read", "read process %d: %w", pid, err)
	}
	return boot, started, nil
}
