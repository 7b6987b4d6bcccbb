// Package memfs is an invented disk: a vfs.FS in memory that can lose its power, lie, fill up,
// be unmounted, and on which every call can be made to fail.
//
// What was synced survives a loss of power. Of everything else a seed decides, for each name
// and each block on its own: see Restart. It is for tests.
//
// An FS is one process's view of a disk; Process makes another. Any number of goroutines may
// use any number of views.
package memfs

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"keepward/internal/storage/vfs"
)

// ErrDead is what every call answers after the power went, or its process died.
var ErrDead = errors.New("the power is gone")

// Op is a call.
type Op string

// The calls that change something: a Hook sees them, and they are counted.
const (
	Create  Op = "create"
	Write   Op = "write"
	Sync    Op = "sync"
	Link    Op = "link"
	Remove  Op = "remove"
	Mkdir   Op = "mkdir"
	SyncDir Op = "syncdir"
)

// The calls that only look: a read hook sees them.
const (
	Open    Op = "open"
	Read    Op = "read"
	ReadDir Op = "readdir"
	Stat    Op = "stat"
)

// Hook is asked before a call, with the file's name; it may wait. An error is answered by the
// call, which then does nothing, except that a Write writes half of it, and a Sync forgets
// what it should have made durable: see FailAt.
type Hook func(op Op, name string) error

// FS is a process's view of the disk.
type FS struct {
	d *disk
	// Guarded by d.mu.
	hook, readHook Hook
	dead           bool
}

// disk is what all views share.
type disk struct {
	mu       sync.Mutex
	root     *node
	dead     bool
	calls    int
	dieAt    int // the power goes at this call; 0: never
	faults   []fault
	at       map[int]func() // what happens before a call
	lying    bool
	readOnly bool
	capacity int64 // bytes of content that fit; 0: any number
	// record, if set, keeps what the disk was before each call.
	record bool
	states []*State
	// changed counts all changes, and shown those that show without a loss of power.
	changed, shown int
}

// New is an empty disk.
func New() *FS { return on(newDir()) }

func on(root *node) *FS { return &FS{d: &disk{root: root}} }

// Process is another process's view of the same disk.
func (f *FS) Process() *FS { return &FS{d: f.d} }

// Kill is the death of the process: its calls do nothing any more. The disk goes on.
func (f *FS) Kill() {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.dead = true
}

// SetHook sets the hook for calls that change something; nil takes it away.
func (f *FS) SetHook(h Hook) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.hook = h
}

// SetReadHook sets the hook for calls that only look.
func (f *FS) SetReadHook(h Hook) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.readHook = h
}

// Calls is how many changing calls there were on the disk.
func (f *FS) Calls() int {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.d.calls
}

func split(name string) []string {
	name = strings.Trim(path.Clean(filepath.ToSlash(name)), "/")
	if name == "" || name == "." {
		return nil
	}
	return strings.Split(name, "/")
}

func fail(op Op, name string, err error) error {
	return &fs.PathError{Op: string(op), Path: name, Err: err}
}

func (d *disk) find(op Op, name string) (*node, error) {
	n := d.root
	for _, part := range split(name) {
		if n = n.names[part]; n == nil {
			return nil, fail(op, name, fs.ErrNotExist)
		}
	}
	return n, nil
}

// parent is the directory of name, and the last part of it.
func (d *disk) parent(op Op, name string) (*node, string, error) {
	parts := split(name)
	if len(parts) == 0 {
		return nil, "", fail(op, name, fs.ErrInvalid)
	}
	n, err := d.find(op, strings.Join(parts[:len(parts)-1], "/"))
	if err == nil && !n.dir {
		err = fail(op, name, fs.ErrNotExist)
	}
	return n, parts[len(parts)-1], err
}

// change notes one that shows; the lock is held.
func (d *disk) change() {
	d.changed++
	d.shown++
}

// change counts a changing call and lets it fail; the lock is held. It asks the hook without
// the lock, so that the hook may wait.
func (f *FS) change(op Op, name string) error {
	d := f.d
	if d.dead || f.dead {
		return fail(op, name, ErrDead)
	}
	if d.record {
		d.states = append(d.states, d.state())
	}
	d.calls++
	if do := d.at[d.calls]; do != nil {
		d.mu.Unlock()
		do()
		d.mu.Lock()
	}
	if d.calls == d.dieAt {
		d.dead = true
		return fail(op, name, ErrDead)
	}
	err := d.fault(d.calls)
	if h := f.hook; h != nil && err == nil {
		err = f.ask(h, op, name)
	}
	if d.readOnly && op != Sync && op != SyncDir && err == nil {
		err = syscall.EROFS
	}
	if err != nil {
		return fail(op, name, err)
	}
	return nil
}

// ask asks a hook. Its process may have died while it waited.
func (f *FS) ask(h Hook, op Op, name string) error {
	f.d.mu.Unlock()
	err := h(op, name)
	f.d.mu.Lock()
	if err == nil && (f.dead || f.d.dead) {
		err = ErrDead
	}
	return err
}

// look is change for a call that only looks.
func (f *FS) look(op Op, name string) error {
	if f.d.dead || f.dead {
		return fail(op, name, ErrDead)
	}
	if f.readHook != nil {
		if err := f.ask(f.readHook, op, name); err != nil {
			return fail(op, name, err)
		}
	}
	return nil
}

func (f *FS) add(op Op, name string, n *node) error {
	if err := f.change(op, name); err != nil {
		return err
	}
	d, base, err := f.d.parent(op, name)
	if err != nil {
		return err
	}
	if d.names[base] != nil {
		return fail(op, name, fs.ErrExist)
	}
	d.set(base, n)
	f.d.change()
	return nil
}

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n := &node{}
	if err := f.add(Create, name, n); err != nil {
		return nil, err
	}
	return &file{fs: f, name: name, n: n}, nil
}

// Open implements vfs.FS.
func (f *FS) Open(name string) (vfs.File, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.look(Open, name); err != nil {
		return nil, err
	}
	n, err := f.d.find(Open, name)
	if err != nil {
		return nil, err
	}
	return &file{fs: f, name: name, n: n}, nil
}

// Link implements vfs.FS.
func (f *FS) Link(old, name string) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n, err := f.d.find(Link, old)
	if err != nil {
		return err
	}
	return f.add(Link, name, n)
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.change(Remove, name); err != nil {
		return err
	}
	d, base, err := f.d.parent(Remove, name)
	if err != nil {
		return err
	}
	n := d.names[base]
	switch {
	case n == nil:
		return fail(Remove, name, fs.ErrNotExist)
	case len(n.names) > 0:
		return fail(Remove, name, errors.New("directory not empty"))
	}
	d.set(base, nil)
	f.d.change()
	return nil
}

// Mkdir implements vfs.FS.
func (f *FS) Mkdir(name string) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.add(Mkdir, name, newDir())
}

// ReadDir implements vfs.FS.
func (f *FS) ReadDir(name string) ([]vfs.Entry, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.look(ReadDir, name); err != nil {
		return nil, err
	}
	n, err := f.d.find(ReadDir, name)
	if err != nil {
		return nil, err
	}
	var out []vfs.Entry
	for _, base := range slices.Sorted(keys(n.names)) {
		c := n.names[base]
		out = append(out, vfs.Entry{Name: base, Dir: c.dir, Size: int64(len(c.content))})
	}
	return out, nil
}

// Stat implements vfs.FS.
func (f *FS) Stat(name string) (vfs.Entry, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.look(Stat, name); err != nil {
		return vfs.Entry{}, err
	}
	n, err := f.d.find(Stat, name)
	if err != nil {
		return vfs.Entry{}, err
	}
	return vfs.Entry{Name: path.Base(name), Dir: n.dir, Size: int64(len(n.content))}, nil
}

// ID implements vfs.Identifier. It is no call of its own: no hook sees it.
func (f *FS) ID(dir string) (string, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.dead || f.dead {
		return "", fail(Stat, dir, ErrDead)
	}
	n, err := f.d.find(Stat, dir)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%p", n), nil
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(name string) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.change(SyncDir, name); err != nil {
		return err
	}
	n, err := f.d.find(SyncDir, name)
	if err != nil {
		return err
	}
	if !f.d.lying && len(n.pending) > 0 {
		n.syncNames()
		f.d.changed++
	}
	return nil
}

// Free implements vfs.FS.
func (f *FS) Free(string) (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.capacity == 0 {
		return math.MaxInt64, nil
	}
	return max(0, f.d.capacity-f.d.root.used(map[*node]bool{})), nil
}
