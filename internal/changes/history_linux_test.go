package changes

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// history changes a tree at random, as programs do. The same seed makes the same history.
type history struct {
	t    testing.TB
	rng  *rand.Rand
	root *hnode
	all  []*hnode // without the root, in no order
	next int

	// What is open for writing or mapped, to be written to without a call at any time.
	held []*holding
	done map[string]int // how often each kind of operation worked
}

type hnode struct {
	parent *hnode
	name   string
	dir    bool
	plain  bool // a regular file
	at     int  // place in all
	path   string
}

type holding struct {
	f   *os.File
	mem []byte
}

func newHistory(t testing.TB, dir string, seed uint64) *history {
	h := &history{
		t: t, rng: rand.New(rand.NewPCG(seed, 0x6b77)), root: &hnode{dir: true, path: dir}, done: map[string]int{},
	}
	t.Cleanup(h.release)
	return h
}

func (n *hnode) full() string {
	if n.parent == nil {
		return n.path
	}
	return filepath.Join(n.parent.full(), n.name)
}

func (h *history) release() {
	for _, x := range h.held {
		h.letGo(x)
	}
	h.held = nil
}

func (h *history) letGo(x *holding) {
	if x.mem != nil {
		if err := unix.Munmap(x.mem); err != nil {
			h.t.Error(err)
		}
	}
	if x.f != nil {
		_ = x.f.Close() // written to by nothing that could fail later
	}
}

func (h *history) add(parent *hnode, name string, dir, plain bool) *hnode {
	n := &hnode{parent: parent, name: name, dir: dir, plain: plain, at: len(h.all)}
	h.all = append(h.all, n)
	return n
}

// forget takes a node and all below it out.
func (h *history) forget(n *hnode) {
	for i := 0; i < len(h.all); {
		m := h.all[i]
		gone := false
		for up := m; up != nil; up = up.parent {
			gone = gone || up == n
		}
		if !gone {
			i++
			continue
		}
		last := len(h.all) - 1
		h.all[i] = h.all[last]
		h.all[i].at = i
		h.all = h.all[:last]
	}
}

// pick answers a random node that fits, nil if there seems to be none.
func (h *history) pick(fits func(*hnode) bool) *hnode {
	for range 40 {
		if len(h.all) == 0 {
			return nil
		}
		if n := h.all[h.rng.IntN(len(h.all))]; fits(n) {
			return n
		}
	}
	return nil
}

func isDir(n *hnode) bool   { return n.dir }
func isPlain(n *hnode) bool { return n.plain }
func isAny(*hnode) bool     { return true }
func isLeaf(n *hnode) bool  { return !n.dir }

func (h *history) someDir() *hnode {
	if h.rng.IntN(8) == 0 {
		return h.root
	}
	if d := h.pick(isDir); d != nil {
		return d
	}
	return h.root
}

func (h *history) name() string {
	h.next++
	switch h.rng.IntN(12) {
	case 0:
		return fmt.Sprintf("o%d-%d-0", 256+h.rng.IntN(300), h.rng.IntN(20)) // as the kernel calls orphans
	case 1:
		return fmt.Sprintf("%0255d", h.next)
	case 2:
		return fmt.Sprintf("n\n\xff ä%d", h.next)
	}
	return fmt.Sprintf("n%d", h.next)
}

func (h *history) bytes(n int) []byte {
	b := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], h.rng.Uint64()|1<<56|1)
	}
	return b
}

func (h *history) size() int {
	switch h.rng.IntN(10) {
	case 0:
		return 0
	case 1, 2:
		return h.rng.IntN(128 << 10)
	case 3:
		return 4096 * h.rng.IntN(20)
	}
	return h.rng.IntN(9000)
}

// run does n operations that work; what the file system does not know is left out.
func (h *history) run(n int) {
	h.t.Helper()
	for done, tried := 0, 0; done < n; tried++ {
		if tried > 20*n {
			h.t.Fatalf("%d of %d operations worked", done, n)
		}
		op := ops[h.rng.IntN(len(ops))]
		if len(h.all) > 400 && h.rng.IntN(3) == 0 {
			op = ops[0]
		}
		if len(h.all) < 100 && h.rng.IntN(2) == 0 {
			op = ops[1]
		}
		err := op.do(h)
		switch {
		case err == nil:
			h.done[op.name]++
			done++
		case errors.Is(err, errNothing), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EMLINK),
			errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EEXIST), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.ENOTTY):
		default:
			h.t.Fatalf("%s: %v", op.name, err)
		}
		if len(h.held) > 0 && h.rng.IntN(10) == 0 {
			h.touchHeld()
		}
	}
}

// touchHeld writes to a mapping, of which the kernel tells nobody.
func (h *history) touchHeld() {
	i := h.rng.IntN(len(h.held))
	x := h.held[i]
	if len(x.mem) > 0 {
		x.mem[h.rng.IntN(len(x.mem))]++
	} else if _, err := x.f.WriteAt(h.bytes(100), int64(h.rng.IntN(8000))); err != nil {
		h.t.Fatal(err)
	}
	if h.rng.IntN(3) == 0 {
		h.letGo(x)
		h.held = append(h.held[:i], h.held[i+1:]...)
	}
}

var errNothing = errors.New("nothing fits")

func (h *history) withFile(do func(f *os.File, size int64) error) error {
	n := h.pick(isPlain)
	if n == nil {
		return errNothing
	}
	f, err := os.OpenFile(n.full(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return do(f, st.Size())
}

func (h *history) create(parent *hnode, name string) error {
	n := &hnode{parent: parent, name: name}
	f, err := os.OpenFile(n.full(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	h.add(parent, name, false, true)
	if _, err := f.Write(h.bytes(h.size())); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

func (h *history) remove(n *hnode) error {
	if err := os.RemoveAll(n.full()); err != nil {
		return err
	}
	h.forget(n)
	return nil
}

func (h *history) inside(n, dir *hnode) bool {
	for up := n; up != nil; up = up.parent {
		if up == dir {
			return true
		}
	}
	return false
}

func (h *history) clone(whole bool) error {
	src := h.pick(isPlain)
	if src == nil {
		return errNothing
	}
	in, err := os.Open(src.full())
	if err != nil {
		return err
	}
	defer in.Close()
	return h.withFile(func(f *os.File, size int64) error {
		if whole {
			return unix.IoctlFileClone(int(f.Fd()), int(in.Fd()))
		}
		r := unix.FileCloneRange{Src_fd: int64(in.Fd()), Src_offset: 4096 * uint64(h.rng.IntN(4)), Src_length: 4096 * uint64(1+h.rng.IntN(4)), Dest_offset: 4096 * uint64(h.rng.IntN(8))}
		return unix.IoctlFileCloneRange(int(f.Fd()), &r)
	})
}

func (h *history) fallocate(mode uint32) error {
	return h.withFile(func(f *os.File, size int64) error {
		off, n := h.rng.Int64N(size+4096), 1+h.rng.Int64N(20000)
		if h.rng.IntN(2) == 0 || mode&(unix.FALLOC_FL_COLLAPSE_RANGE|unix.FALLOC_FL_INSERT_RANGE) != 0 {
			off, n = off&^4095, (n+4095)&^4095
		}
		return unix.Fallocate(int(f.Fd()), mode, off, n)
	})
}

func (h *history) rename(n, dir *hnode, name string, flags uint) error {
	if h.inside(dir, n) {
		return errNothing
	}
	if err := unix.Renameat2(unix.AT_FDCWD, n.full(), unix.AT_FDCWD, filepath.Join(dir.full(), name), flags); err != nil {
		return err
	}
	n.parent, n.name = dir, name
	return nil
}

func (h *history) hold(mapped bool) error {
	if len(h.held) > 8 {
		return errNothing
	}
	n := h.pick(isPlain)
	if n == nil {
		return errNothing
	}
	f, err := os.OpenFile(n.full(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	x := &holding{f: f}
	if mapped {
		st, err := f.Stat()
		if err != nil || st.Size() < 4096 {
			_ = f.Close() // nothing was written
			return errNothing
		}
		// Of whole pages of the file's beginning: a later truncation must not kill us.
		x.mem, err = unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return err
		}
		if h.rng.IntN(2) == 0 {
			x.f = nil
			_ = f.Close() // the mapping keeps it open
		}
	}
	h.held = append(h.held, x)
	return nil
}

type operation struct {
	name string
	do   func(h *history) error
}

// acl is a POSIX ACL for a user 1000 with some rights: version 2, then tag, rights and id of
// each entry.
func acl(rights uint16) []byte {
	b := []byte{2, 0, 0, 0}
	for _, e := range [][3]uint32{{1, 6, ^uint32(0)}, {2, uint32(rights), 1000}, {4, 4, ^uint32(0)}, {16, 7, ^uint32(0)}, {32, 4, ^uint32(0)}} {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}
