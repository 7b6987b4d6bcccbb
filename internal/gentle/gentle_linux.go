package gentle

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// See ioprio_set(2).
const (
	lowestIO     = 2<<13 | 7 // best effort, its lowest rank
	ioWhoProcess = 1
)

// sessionFile holds the niceness of a session of processes, see sched(7): where the kernel groups them
// (sched_autogroup_enabled), that of a thread only counts among those of its session. Each service of
// a service manager is one, so without it a gentle agent would take as much as a database.
const sessionFile = "/proc/self/autogroup"

// sessionPause is how long the kernel has who may not do all wait between two changes of it.
const sessionPause = 100 * time.Millisecond

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
	return setSession(l.session)
}

// setSession has the session of processes step back that this process leads. Where it is one of a
// session of somebody else, a terminal's, the others in it must not step back with it. It is a wish:
// there are kernels without such groups, and containers where the file cannot be written.
func setSession(nice int) error {
	if !leads() {
		return nil
	}
	text := []byte(strconv.Itoa(nice))
	err := os.WriteFile(sessionFile, text, 0)
	if errors.Is(err, unix.EAGAIN) {
		time.Sleep(sessionPause)
		err = os.WriteFile(sessionFile, text, 0)
	}
	if errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("set the priority of the session to %d: %w", nice, err)
	}
	return nil
}

// leads tells whether this process is the first of its session.
func leads() bool {
	sid, err := unix.Getsid(0)
	return err == nil && sid == os.Getpid()
}

// sessionNow is how far the session steps back that this process leads; 0, where it leads none.
func sessionNow() int {
	text, err := os.ReadFile(sessionFile)
	if err != nil || !leads() {
		return 0
	}
	return niceOf(string(text))
}

// niceOf reads what is in sessionFile, such as "/autogroup-7 nice 10". It is empty for what was started
// before there were sessions: that is in no group, and steps back by its own priority alone.
func niceOf(text string) int {
	var name string
	var nice int
	if _, err := fmt.Sscanf(text, "%s nice %d", &name, &nice); err != nil {
		return 0
	}
	return nice
}

func set(id int, l level) error {
	if err := unix.Setpriority(unix.PRIO_PROCESS, id, l.nice); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("set the priority of thread %d to %d: %w", id, l.nice, err)
	}
	if _, _, e := unix.Syscall(unix.SYS_IOPRIO_SET, ioWhoProcess, uintptr(id), uintptr(l.io)); e != 0 && e != unix.ESRCH {
		return fmt.Errorf("set the priority of thread %d at the disk: %w", id, e)
	}
	setSlice(id, l.slice)
	return nil
}

// setSlice sets how long a thread runs at a time. It is a wish: kernels before 6.12 do not look at it,
// and some containers do not allow the call.
func setSlice(id int, slice time.Duration) {
	attr, err := unix.SchedGetAttr(id, 0)
	if err != nil || attr.Policy != unix.SCHED_NORMAL && attr.Policy != unix.SCHED_BATCH {
		return // somebody has chosen another way to share the processors out
	}
	attr.Runtime = uint64(slice)
	_ = unix.SchedSetAttr(id, attr, 0)
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
	return level{nice: 20 - raw, io: int(io), session: sessionNow()}, nil
}
