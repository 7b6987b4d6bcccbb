package gentle

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// See ioprio_set(2).
const (
	lowestIO     = 2<<13 | 7 // best effort, its lowest rank
	ioWhoProcess = 1
)

// maxSweeps bounds how often new threads are looked for.
const maxSweeps = 20

// setAll sets the rank of every thread. It is a property of a thread that new ones inherit from the
// one that starts them, so it is done until there is none that was not seen.
func setAll(l level) error {
	seen := map[int]bool{}
	for range maxSweeps {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("list threads: %w", err)
		}
		fresh := false
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil || seen[id] {
				continue
			}
			seen[id], fresh = true, true
			if err := set(id, l); err != nil {
				return err
			}
		}
		if !fresh {
			break
		}
	}
	return nil
}

func set(id int, l level) error {
	if err := unix.Setpriority(unix.PRIO_PROCESS, id, l.nice); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("set the priority of thread %d to %d: %w", id, l.nice, err)
	}
	if _, _, e := unix.Syscall(unix.SYS_IOPRIO_SET, ioWhoProcess, uintptr(id), uintptr(l.io)); e != 0 && e != unix.ESRCH {
		return fmt.Errorf("set the priority of thread %d at the disk: %w", id, e)
	}
	return nil
}

// now is the rank of this thread, which stands for all.
func now() (level, error) {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return level{}, fmt.Errorf("look up the priority: %w", err)
	}
	io, _, e := unix.Syscall(unix.SYS_IOPRIO_GET, ioWhoProcess, 0, 0)
	if e != 0 {
		return level{}, fmt.Errorf("look up the priority at the disk: %w", e)
	}
	return level{nice: 20 - raw, io: int(io)}, nil
}
