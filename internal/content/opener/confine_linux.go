package opener

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// nobody owns no file, and may read and signal nothing of others.
const nobody = 65534

// confine gives up what the process does not need, and answers what it could not give up. Memory with keys
// in it goes to no core file and no debugger, nothing can be opened, written or connected to any more, and a
// server that is root starts nobody's process here.
func confine() (left []string) {
	give := func(what string, err error) {
		if err != nil {
			left = append(left, fmt.Sprintf("%s: %v", what, err))
		}
	}
	// The runtime opens what it waits with at the first timer, and cannot any more behind the limits.
	timer := time.NewTimer(time.Nanosecond)
	<-timer.C
	if os.Geteuid() == 0 {
		err := syscall.Setgroups(nil)
		if err == nil {
			err = syscall.Setgid(nobody)
		}
		if err == nil {
			err = syscall.Setuid(nobody)
		}
		give("become nobody", err)
	}
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	give("gain no rights", errnoOf(errno))
	give("be no core file", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
	for _, one := range []struct {
		what string
		of   int
	}{{"write no core file", unix.RLIMIT_CORE}, {"write no file", unix.RLIMIT_FSIZE}, {"open nothing", unix.RLIMIT_NOFILE}} {
		give(one.what, unix.Setrlimit(one.of, &unix.Rlimit{}))
	}
	return left
}

func errnoOf(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}
