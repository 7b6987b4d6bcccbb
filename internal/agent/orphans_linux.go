package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// adoptOrphans has what children of this process leave behind become its own children, so that it can
// end them, also those that took themselves out of their group.
func adoptOrphans() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } // else the group is all

const (
	// orphansEvery and orphansFor are how often it is looked for children, and how long: who does not
	// end within seconds hangs in the system.
	orphansEvery = 10 * time.Millisecond
	orphansFor   = 5 * time.Second
)

// endOrphans ends all children of this process, and theirs.
func endOrphans() {
	for begun := time.Now(); time.Since(begun) < orphansFor; time.Sleep(orphansEvery) {
		for { // those that have ended
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if err != nil || pid <= 0 {
				break
			}
		}
		kids := children(os.Getpid())
		if len(kids) == 0 {
			return
		}
		for _, pid := range kids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// children are the processes whose parent is one.
func children(parent int) (out []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// The name is in brackets and may have any text: what counts is behind it.
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(f) < 2 || f[1] != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			out = append(out, pid)
		}
	}
	return out
}
