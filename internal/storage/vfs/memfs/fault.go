package memfs

import (
	"errors"
	"math"
	"slices"
)

// fault lets calls fail.
type fault struct {
	from, to int // calls, the first and the last
	err      error
}

// DieAt makes the power go at the n-th changing call from the beginning.
func (f *FS) DieAt(n int) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.dieAt = n
}

// FailAt lets the n-th changing call fail with err, and no other. If it is a Write, half of it
// is written. If it is a Sync, what was not durable is made so by no later Sync, which succeeds,
// and can be read until the power goes: so Linux does it.
func (f *FS) FailAt(n int, err error) { f.fail(fault{n, n, err}) }

// FailFrom lets the n-th changing call and all after it fail with err.
func (f *FS) FailFrom(n int, err error) { f.fail(fault{n, math.MaxInt, err}) }

func (f *FS) fail(x fault) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.faults = append(f.d.faults, x)
}

// fault is how the n-th call fails; the lock is held.
func (d *disk) fault(n int) error {
	for _, x := range d.faults {
		if x.from <= n && n <= x.to {
			return x.err
		}
	}
	return nil
}

// At lets something happen before the n-th changing call.
func (f *FS) At(n int, do func()) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.at == nil {
		f.d.at = map[int]func(){}
	}
	f.d.at[n] = do
}

// Heal takes all faults away; hooks stay, and what is unmounted.
func (f *FS) Heal() {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.faults, f.d.readOnly, f.d.capacity, f.d.lying = nil, false, 0, false
}

// Lie lets every Sync and SyncDir from now on succeed and do nothing, as a disk does whose
// cache is not written at a flush.
func (f *FS) Lie() {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.lying = true
}

// ReadOnly mounts the disk so. Syncs succeed: there is nothing to write.
func (f *FS) ReadOnly() {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.readOnly = true
}

// SetCapacity says how many bytes of content fit: beyond it a Write writes what fits and fails
// with ENOSPC. Names take no room.
func (f *FS) SetCapacity(n int64) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.capacity = n
}

// room is how many bytes more fit; the lock is held.
func (d *disk) room() int64 {
	if d.capacity == 0 {
		return math.MaxInt64
	}
	return max(0, d.capacity-d.root.used(map[*node]bool{}))
}

// Unmount takes away what is mounted at a directory: an empty directory of the disk below
// comes to light. Open files stay usable, as after a lazy unmount. The answer mounts it again,
// over whatever was written there meanwhile.
func (f *FS) Unmount(name string) (mount func(), err error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	d, base, err := f.d.parent(Stat, name)
	if err != nil {
		return nil, err
	}
	mounted := d.names[base]
	if mounted == nil || !mounted.dir {
		return nil, fail(Stat, name, errors.New("nothing is mounted there"))
	}
	put := func(n *node) {
		d.names[base], d.durable[base] = n, n
		delete(d.pending, base)
		f.d.change()
	}
	put(newDir())
	return func() {
		f.d.mu.Lock()
		defer f.d.mu.Unlock()
		put(mounted)
	}, nil
}

// Flip changes one bit of a file as it lies on the disk.
func (f *FS) Flip(name string, offset int, bit uint8) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n, err := f.d.find("flip", name)
	if err != nil {
		return err
	}
	n.content = slices.Clone(n.content)
	n.content[offset] ^= 1 << (bit & 7)
	f.d.change()
	return nil
}
