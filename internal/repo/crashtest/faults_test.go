package crashtest

import (
	"context"
	"fmt"
	"syscall"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/storage/vfs/memfs"
)

// fault is what happens to the disk at one call of a history. It answers what ends it, if
// that takes more than memfs.FS.Heal.
type fault struct {
	name  string
	at    func(m *memfs.FS, n int) (end func())
	kinds []errs.Kind // of the error that a step may end with
}

var diskFaults = []fault{
	{
		// A failed sync of a file also drops what it should have written.
		"an input or output error", func(m *memfs.FS, n int) func() {
			m.FailAt(n, syscall.EIO)
			return nil
		},
		[]errs.Kind{errs.Unavailable},
	},
	{
		"a full disk", func(m *memfs.FS, n int) func() {
			m.FailFrom(n, syscall.ENOSPC)
			return nil
		},
		[]errs.Kind{errs.NoSpace},
	},
	{
		"a disk that turned read-only", func(m *memfs.FS, n int) func() {
			m.At(n, m.ReadOnly)
			return nil
		},
		[]errs.Kind{errs.Unavailable, errs.Denied},
	},
	{
		"a disk that was unmounted", func(m *memfs.FS, n int) func() {
			mount := func() {}
			m.At(n, func() {
				if back, err := m.Unmount(root); err == nil { // before the creation there is none
					mount = back
				}
			})
			return func() { mount() }
		},
		[]errs.Kind{errs.NotFound, errs.Unavailable},
	},
}

// Whichever call fails, and however: the step that met it says so or does without, nothing is
// lost, and when the disk is well again the repository goes on, also after a loss of power.
func TestAFaultAtAnyCallLosesNothing(t *testing.T) {
	for _, h := range histories {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			calls := lengthOf(t, h)
			for i, f := range diskFaults {
				for n := calls.from; n <= calls.to; n++ {
					if *full || n%len(diskFaults) == i || len(h.before) == 0 { // a creation is short
						f.try(t, h, n)
					}
				}
			}
		})
	}
}

// lengthOf are the calls that a history's acts take.
func lengthOf(t *testing.T, h history) (calls struct{ from, to int }) {
	t.Helper()
	w := newWorld(memfs.New())
	if err := w.run(context.Background(), h.before); err != nil {
		t.Fatal(err)
	}
	calls.from = w.disk.Calls() + 1
	if err := w.run(context.Background(), h.acts); err != nil {
		t.Fatal(err)
	}
	w.end()
	calls.to = w.disk.Calls()
	return calls
}

// try runs a history with a fault at its n-th call, and recovers.
func (f *fault) try(t *testing.T, h history, n int) {
	t.Helper()
	totals.faults.Add(1)
	w := newWorld(memfs.New())
	ctx := context.Background()
	if err := w.run(ctx, h.before); err != nil {
		t.Fatal(err)
	}
	end := f.at(w.disk, n)
	err := w.run(ctx, h.acts)
	w.end()
	if end != nil {
		end()
	}
	w.disk.Heal()
	if err != nil && !f.explains(err) {
		t.Errorf("%s at call %d: error of kind %q: %v", f.name, n, errs.KindOf(err), err)
	}
	w.disk.Record()
	state := w.disk.States()[0]
	c := crash{state, w.log, fmt.Sprintf("after %s at call %d (%v)", f.name, n, err), 0}
	if n%2 == 0 || *full {
		c.try(t, "death", state.Reopen())
	}
	if n%2 == 1 || *full {
		c.powerLoss(t, uint64(n))
	}
}

// explains tells whether an error says what the fault was.
func (f *fault) explains(err error) bool {
	for _, k := range f.kinds {
		if errs.KindOf(err) == k {
			return true
		}
	}
	// Where a repository is created, what fails is taken for what the file system cannot do.
	return errs.CodeOf(err) == "repository.file-system"
}
