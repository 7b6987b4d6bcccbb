package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestWhatIsHeldIsLockedInMemoryUntilItIsLetGo(t *testing.T) {
	dir := t.TempDir()
	const files, size = 500, 64 << 10
	defer func(n int) { heldByOne = n }(heldByOne)
	heldByOne = 200
	for i := range files {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), make([]byte, size), 0o600))
	}
	must(t, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "link")))
	release, err := hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	if by, locked := lockedOfChildren(t); by != 3 || locked < files*size {
		t.Errorf("%d bytes are locked by %d processes, want %d by 3", locked, by, files*size)
	}
	must(t, release())
	if _, locked := lockedOfChildren(t); locked != 0 {
		t.Errorf("%d bytes are locked after the end", locked)
	}
	if _, err := hold(filepath.Join(dir, "missing")); err == nil {
		t.Error("what is not there was held")
	}
}

// lockedOfChildren is how many of the processes that this one started have locked memory, and bytes of it.
func lockedOfChildren(t *testing.T) (by int, sum int64) {
	t.Helper()
	var children []byte
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	must(t, err)
	for _, name := range tasks {
		more, err := os.ReadFile(name)
		must(t, err)
		children = append(append(children, ' '), more...)
	}
	seen := map[string]bool{}
	for _, pid := range strings.Fields(string(children)) {
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil || seen[pid] {
			continue
		}
		seen[pid] = true
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "VmLck:"); ok {
				kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				must(t, err)
				if sum += kib << 10; kib > 0 {
					by++
				}
			}
		}
	}
	return by, sum
}
