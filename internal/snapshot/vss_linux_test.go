package snapshot_test

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/snapshot"
)

// All that is done with an object is done on the thread that it was made on: COM may ask for that. The
// thread ends with it, and what COM has put into it.
func TestVSSKeepsAnObjectToItsThread(t *testing.T) {
	c := newVSSTest(t)
	var threads []int
	c.called = func(string) { threads = append(threads, unix.Gettid()) }
	// The first thread of a process ends with that only: then another one is asked for.
	for own := unix.Getpid(); own == unix.Getpid(); {
		threads = nil
		s, err := c.create(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Provider.(snapshot.Checker).Check(t.Context(), s); err != nil {
			t.Error(err)
		}
		if err := c.Remove(t.Context(), c.v, s.Name); err != nil {
			t.Fatal(err)
		}
		if len(threads) < 14 || len(slices.Compact(threads)) != 1 {
			t.Fatalf("the threads of its calls are %v", threads)
		}
		own = threads[0]
	}
	for late := time.Now().Add(10 * time.Second); unix.Tgkill(unix.Getpid(), threads[0], 0) == nil; runtime.Gosched() {
		if time.Now().After(late) {
			t.Fatal("it is a thread of others too")
		}
	}
}
