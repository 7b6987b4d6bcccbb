package mover

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// How far a mover steps back that works in the background: far enough that a backup beside it
// hardly notices, and not so far that it stands still on a host that is never idle.
const (
	gentleNice = 10
	// The lowest rank of the class that every process is in; see ioprio_set(2).
	gentleIO     = ioClassBest<<13 | 7
	ioClassBest  = 2
	ioWhoProcess = 1
)

// stepBack lets others go first at the processors and at the disk. Both are properties of a
// thread that new threads inherit, so it is called before the work begins.
func stepBack() error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("list threads: %w", err)
	}
	var failed error
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, id, gentleNice); err != nil && !errors.Is(err, unix.ESRCH) {
			failed = fmt.Errorf("lower the priority of thread %d: %w", id, err)
		}
		if _, _, e := unix.Syscall(unix.SYS_IOPRIO_SET, ioWhoProcess, uintptr(id), gentleIO); e != 0 && e != unix.ESRCH {
			failed = fmt.Errorf("lower the priority of thread %d at the disk: %w", id, e)
		}
	}
	return failed
}
