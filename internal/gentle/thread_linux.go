package gentle

import (
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	lastNice = 19
	// idleIO is the class that has the disk when nobody else wants it.
	idleIO = 3 << 13
)

// Thread has what the calling goroutine does from here on come last of all on this host. The
// goroutine keeps a thread to itself, which ends with it. A Pace that changes meanwhile takes the
// thread along.
func Thread() {
	runtime.LockOSThread() // and never unlocked: others must not get a slow thread
	// A wish: where it is not granted the work goes on as it is.
	_ = set(unix.Gettid(), level{nice: lastNice, io: idleIO})
}
