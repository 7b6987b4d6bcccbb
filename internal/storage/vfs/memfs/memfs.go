// Package memfs is an invented disk: a vfs.FS in memory that can lose its power and on which
// every call can be made to fail.
//
// What was synced survives a loss of power. Of everything else a seed decides: the end of a
// file, a name made or removed in a directory. It is for tests. An FS may be used by any
// number of goroutines.
package memfs

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"keepward/internal/storage/vfs"
)

// ErrDead is what every call answers after the power went.
var ErrDead = errors.New("the power is gone")

// Op is a call that changes something.
type Op string

// The calls a Hook sees.
const (
	Create  Op = "create"
	Write   Op = "write"
	Sync    Op = "sync"
	Link    Op = "link"
	Remove  Op = "remove"
	Mkdir   Op = "mkdir"
	SyncDir Op = "syncdir"
)

// Hook is asked before every changing call, with the file's name. An error is answered by the
// call, which then does nothing, except that a Write may write half of it.
type Hook func(op Op, name string) error

// FS is the disk.
type FS struct {
	mu    sync.Mutex
	root  *node
	hook  Hook
	calls int
	dieAt int // the power goes at this call; 0: never
	dead  bool
}

// node is a file or a directory.
type node struct {
	dir     bool
	content []byte
	synced  int // bytes of content that are durable
	names   map[string]*node
	durable map[string]*node // names as they were at the last sync
}

func newDir() *node {
	return &node{dir: true, names: map[string]*node{}, durable: map[string]*node{}}
}

// New is an empty disk.
func New() *FS { return &FS{root: newDir()} }

// SetHook sets the hook; nil takes it away.
func (f *FS) SetHook(h Hook) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = h
}

// Calls is how many changing calls there were.
func (f *FS) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// DieAt makes the power go at the n-th changing call from the beginning.
func (f *FS) DieAt(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dieAt = n
}

// Restart is the disk as it is found after a loss of power now. The old one is dead.
func (f *FS) Restart(seed uint64) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
	rng := rand.New(rand.NewPCG(seed, 1))
	return &FS{root: survive(f.root, rng, map[*node]*node{})}
}

// Reopen is the disk after the process died: nothing is lost that was written.
func (f *FS) Reopen() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
	return &FS{root: f.root}
}

// survive copies what is left of n. A file with two names is one file again.
func survive(n *node, rng *rand.Rand, done map[*node]*node) *node {
	if c, ok := done[n]; ok {
		return c
	}
	if !n.dir {
		c := &node{content: tail(n, rng)}
		c.synced = len(c.content)
		done[n] = c
		return c
	}
	c := newDir()
	done[n] = c
	for _, name := range sorted(n.names, n.durable) {
		was, is := n.durable[name], n.names[name]
		if was != is && rng.IntN(2) == 0 {
			was = is // the change happened to reach the disk
		}
		if was != nil {
			c.names[name] = survive(was, rng, done)
			c.durable[name] = c.names[name]
		}
	}
	return c
}

func sorted(ms ...map[string]*node) []string {
	var names []string
	for _, m := range ms {
		for name := range m {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// tail is a file's content after a loss of power: the synced part, and of the rest some, of
// which some never reached the disk.
func tail(n *node, rng *rand.Rand) []byte {
	loose := len(n.content) - n.synced
	keep := n.synced
	if loose > 0 {
		keep += rng.IntN(loose + 1)
	}
	c := slices.Clone(n.content[:keep])
	if keep > n.synced && rng.IntN(2) == 0 {
		clear(c[n.synced+rng.IntN(keep-n.synced):])
	}
	return c
}

// Flip changes one bit of a file as it lies on the disk.
func (f *FS) Flip(name string, offset int, bit uint8) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find("flip", name)
	if err != nil {
		return err
	}
	n.content = slices.Clone(n.content)
	n.content[offset] ^= 1 << (bit & 7)
	return nil
}

func split(name string) []string {
	name = strings.Trim(path.Clean(filepath.ToSlash(name)), "/")
	if name == "" || name == "." {
		return nil
	}
	return strings.Split(name, "/")
}

func fail(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

func (f *FS) find(op, name string) (*node, error) {
	n := f.root
	for _, part := range split(name) {
		if n = n.names[part]; n == nil {
			return nil, fail(op, name, fs.ErrNotExist)
		}
	}
	return n, nil
}

// parent is the directory of name, and the last part of it.
func (f *FS) parent(op, name string) (*node, string, error) {
	parts := split(name)
	if len(parts) == 0 {
		return nil, "", fail(op, name, fs.ErrInvalid)
	}
	d, err := f.find(op, strings.Join(parts[:len(parts)-1], "/"))
	if err == nil && !d.dir {
		err = fail(op, name, fs.ErrNotExist)
	}
	return d, parts[len(parts)-1], err
}

// change counts a changing call and lets it fail; f.mu is held. It asks the hook without the
// lock, so that the hook may wait.
func (f *FS) change(op Op, name string) error {
	if f.dead {
		return fail(string(op), name, ErrDead)
	}
	f.calls++
	if f.calls == f.dieAt {
		f.dead = true
		return fail(string(op), name, ErrDead)
	}
	if h := f.hook; h != nil {
		f.mu.Unlock()
		err := h(op, name)
		f.mu.Lock()
		if err != nil {
			return fail(string(op), name, err)
		}
	}
	return nil
}

func (f *FS) add(op Op, name string, n *node) error {
	if err := f.change(op, name); err != nil {
		return err
	}
	d, base, err := f.parent(string(op), name)
	if err != nil {
		return err
	}
	if d.names[base] != nil {
		return fail(string(op), name, fs.ErrExist)
	}
	d.names[base] = n
	return nil
}

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := &node{}
	if err := f.add(Create, name, n); err != nil {
		return nil, err
	}
	return &file{fs: f, name: name, n: n}, nil
}

// Open implements vfs.FS.
func (f *FS) Open(name string) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find("open", name)
	if err != nil {
		return nil, err
	}
	if f.dead {
		return nil, fail("open", name, ErrDead)
	}
	return &file{fs: f, name: name, n: n}, nil
}

// Link implements vfs.FS.
func (f *FS) Link(old, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find("link", old)
	if err != nil {
		return err
	}
	return f.add(Link, name, n)
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.change(Remove, name); err != nil {
		return err
	}
	d, base, err := f.parent("remove", name)
	if err != nil {
		return err
	}
	n := d.names[base]
	switch {
	case n == nil:
		return fail("remove", name, fs.ErrNotExist)
	case len(n.names) > 0:
		return fail("remove", name, errors.New("directory not empty"))
	}
	delete(d.names, base)
	return nil
}

// Mkdir implements vfs.FS.
func (f *FS) Mkdir(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.add(Mkdir, name, newDir())
}

// ReadDir implements vfs.FS.
func (f *FS) ReadDir(name string) ([]vfs.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if f.dead {
		return nil, fail("readdir", name, ErrDead)
	}
	var out []vfs.Entry
	for _, base := range sorted(n.names) {
		c := n.names[base]
		out = append(out, vfs.Entry{Name: base, Dir: c.dir, Size: int64(len(c.content))})
	}
	return out, nil
}

// Stat implements vfs.FS.
func (f *FS) Stat(name string) (vfs.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find("stat", name)
	if err != nil {
		return vfs.Entry{}, err
	}
	return vfs.Entry{Name: path.Base(name), Dir: n.dir, Size: int64(len(n.content))}, nil
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.change(SyncDir, name); err != nil {
		return err
	}
	n, err := f.find("syncdir", name)
	if err != nil {
		return err
	}
	n.durable = make(map[string]*node, len(n.names))
	for base, c := range n.names {
		n.durable[base] = c
	}
	return nil
}

// Free implements vfs.FS.
func (f *FS) Free(string) (int64, error) { return 1 << 40, nil }
