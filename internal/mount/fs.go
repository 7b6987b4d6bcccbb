//go:build linux || darwin || freebsd

package mount

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
)

const (
	rootNode   = fuse.FUSE_ROOT_ID
	latestNode = 2
	// A point never changes, so the kernel may keep what it was told of one for as long as it likes.
	keepLong  = 24 * time.Hour
	keepShort = time.Second
	blockSize = 4096
)

// fileSystem answers the kernel.
type fileSystem struct {
	fuse.RawFileSystem
	points *points
	single bool
	made   time.Time

	mu      sync.Mutex
	files   map[uint64]*file
	handles uint64
	told    map[string]bool // what went wrong with which file
}

func newFileSystem(p *points) *fileSystem {
	return &fileSystem{
		RawFileSystem: fuse.NewDefaultRawFileSystem(), points: p, single: p.o.Single, made: time.Now(),
		files: map[uint64]*file{}, told: map[string]bool{},
	}
}

func (*fileSystem) String() string { return "keepward" }

// Forget has nothing to do: nothing is kept for a node.
func (*fileSystem) Forget(uint64, uint64) {}

// call is the context of a call from the kernel, which ends when whoever makes it is interrupted.
type call struct {
	context.Context
	interrupted <-chan struct{}
}

func (c call) Done() <-chan struct{} { return c.interrupted }

func (c call) Err() error {
	select {
	case <-c.interrupted:
		return context.Canceled
	default:
		return nil
	}
}

func (f *fileSystem) call(cancel <-chan struct{}) context.Context { return call{f.points.ctx, cancel} }

// node is a node number as trees know it. With a single point, its folder is the topmost one.
func (f *fileSystem) node(number uint64) uint64 {
	if f.single && number == rootNode {
		return 1 << indexShift
	}
	return number
}

// tree is the tree of a node.
func (f *fileSystem) tree(number uint64) (*tree, fuse.Status) {
	t := f.points.ofNode(number)
	switch {
	case t == nil:
		return nil, fuse.ENOENT
	case t.gone.Load():
		return nil, fuse.Status(syscall.ESTALE)
	}
	return t, fuse.OK
}

// failed turns an error into what the kernel knows, and tells it where somebody should know. It is
// told once for each file.
func (f *fileSystem) failed(t *tree, path string, err error) fuse.Status {
	switch {
	case err == nil:
		return fuse.OK
	case errors.Is(err, context.Canceled), errs.KindOf(err) == errs.Cancelled:
		return fuse.EINTR
	case errs.CodeOf(err) == "path.not-found":
		return fuse.ENOENT
	case isGone(err):
		f.points.lost(t)
		return fuse.Status(syscall.ESTALE)
	case temporary(err):
		return fuse.EIO // who tries the store has told
	}
	text := fmt.Sprintf("%s/%s: %v", t.name, path, err)
	f.mu.Lock()
	known := f.told[text]
	if len(f.told) < 1000 { // beyond, nobody reads them all
		f.told[text] = true
	}
	f.mu.Unlock()
	if !known {
		f.points.o.Tell(text)
	}
	return fuse.EIO
}

// with calls fn with the entry of a node.
func (f *fileSystem) with(cancel <-chan struct{}, number uint64, fn func(t *tree, n *node) fuse.Status) fuse.Status {
	number = f.node(number)
	t, status := f.tree(number)
	if !status.Ok() {
		return status
	}
	path := ""
	err := t.at(f.call(cancel), number, func(n *node) error {
		path = string(n.e.Path)
		status = fn(t, n)
		return nil
	})
	if err != nil {
		return f.failed(t, path, err)
	}
	return status
}

// GetAttr tells what stat wants to know.
func (f *fileSystem) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	if in.NodeId == rootNode && !f.single {
		f.rootAttr(&out.Attr)
		out.SetTimeout(keepShort)
		return fuse.OK
	}
	if in.NodeId == latestNode {
		return f.latestAttr(&out.Attr)
	}
	return f.with(cancel, in.NodeId, func(_ *tree, n *node) fuse.Status {
		fillAttr(&out.Attr, n)
		out.SetTimeout(keepLong)
		return fuse.OK
	})
}

func (f *fileSystem) rootAttr(a *fuse.Attr) {
	at := f.made
	if t := f.points.latest(); t != nil {
		at = t.point.Time
	}
	*a = fuse.Attr{Ino: rootNode, Mode: syscall.S_IFDIR | 0o755, Nlink: 1, Blksize: blockSize}
	a.SetTimes(&at, &at, &at)
}

func (f *fileSystem) latestAttr(a *fuse.Attr) fuse.Status {
	t := f.points.latest()
	if t == nil {
		return fuse.ENOENT
	}
	*a = fuse.Attr{Ino: latestNode, Mode: syscall.S_IFLNK | 0o777, Nlink: 1, Size: uint64(len(t.name)), Blksize: blockSize}
	a.SetTimes(&t.point.Time, &t.point.Time, &t.point.Time)
	return fuse.OK
}

// typeBits are those of a mode.
var typeBits = map[fileindex.Type]uint32{
	fileindex.Dir: syscall.S_IFDIR, fileindex.File: syscall.S_IFREG, fileindex.Symlink: syscall.S_IFLNK, fileindex.Char: syscall.S_IFCHR,
	fileindex.Block: syscall.S_IFBLK, fileindex.FIFO: syscall.S_IFIFO, fileindex.Socket: syscall.S_IFSOCK,
}

// modeOf is a whole mode. What a later version wrote and this one does not know is shown as a file.
func modeOf(e *fileindex.Entry) uint32 {
	bits, ok := typeBits[e.Type]
	if !ok {
		bits = syscall.S_IFREG
	}
	return bits | e.Mode&0o7777
}

func fillAttr(a *fuse.Attr, n *node) {
	e := n.e
	mtime, ctime := e.MTime.Time(), e.CTime.Time()
	*a = fuse.Attr{
		Ino: n.inode, Size: uint64(max(0, e.Size)), Blocks: blocks(e), Mode: modeOf(e), Nlink: uint32(n.links), Blksize: blockSize,
		Owner: fuse.Owner{Uid: uint32(e.UID), Gid: uint32(e.GID)}, Rdev: rdev(e.RDev),
	}
	switch e.Type {
	case fileindex.Symlink:
		a.Size = uint64(len(e.Target))
	case fileindex.File:
	default:
		a.Size = 0
	}
	a.SetTimes(&mtime, &mtime, &ctime)
}

// blocks are those that are not holes, where the entry itself says where these are.
func blocks(e *fileindex.Entry) uint64 {
	if e.Type != fileindex.File {
		return 0
	}
	size := e.Size
	for _, x := range e.Extents {
		if x.Kind == fileindex.Hole {
			size -= x.Len
		}
	}
	return uint64(max(0, size)+511) / 512
}

// rdev is a device number in 32 bits, as the kernel wants it.
func rdev(dev uint64) uint32 {
	major, minor := unix.Major(dev), unix.Minor(dev)
	return minor&0xff | major<<8 | minor&^0xff<<12
}

func fillEntry(out *fuse.EntryOut, n *node) {
	out.NodeId, out.Generation = n.number, 0
	fillAttr(&out.Attr, n)
	out.SetEntryTimeout(keepLong)
	out.SetAttrTimeout(keepLong)
}

// Lookup finds a name in a directory.
func (f *fileSystem) Lookup(cancel <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if header.NodeId == rootNode && !f.single {
		return f.lookupPoint(cancel, name, out)
	}
	dir := f.node(header.NodeId)
	t, status := f.tree(dir)
	if !status.Ok() {
		return status
	}
	err := t.lookup(f.call(cancel), dir, name, func(n *node) error {
		fillEntry(out, n)
		return nil
	})
	if errs.CodeOf(err) == "path.not-found" {
		// The kernel may remember that, too: the node number 0 is nothing.
		*out = fuse.EntryOut{}
		out.SetEntryTimeout(keepLong)
		return fuse.OK
	}
	return f.failed(t, name, err)
}

func (f *fileSystem) lookupPoint(cancel <-chan struct{}, name string, out *fuse.EntryOut) fuse.Status {
	if name == latestName {
		out.NodeId = latestNode
		out.SetEntryTimeout(keepShort)
		return f.latestAttr(&out.Attr)
	}
	t := f.points.named(name)
	if t == nil {
		return fuse.ENOENT
	}
	err := t.at(f.call(cancel), t.index<<indexShift, func(n *node) error {
		fillEntry(out, n)
		return nil
	})
	out.SetEntryTimeout(keepShort) // it may be deleted
	return f.failed(t, "", err)
}

// Readlink reads a symbolic link.
func (f *fileSystem) Readlink(cancel <-chan struct{}, header *fuse.InHeader) (target []byte, status fuse.Status) {
	if header.NodeId == latestNode && !f.single {
		if t := f.points.latest(); t != nil {
			return []byte(t.name), fuse.OK
		}
		return nil, fuse.ENOENT
	}
	status = f.with(cancel, header.NodeId, func(_ *tree, n *node) fuse.Status {
		if n.e.Type != fileindex.Symlink {
			return fuse.EINVAL
		}
		target = append([]byte{}, n.e.Target...)
		return fuse.OK
	})
	return target, status
}

// Open opens a file for reading.
func (f *fileSystem) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		return fuse.EROFS
	}
	return f.with(cancel, in.NodeId, func(t *tree, n *node) fuse.Status {
		if n.lost {
			return f.failed(t, string(n.e.Path), errs.New(errs.Corrupt, "mount.incomplete", "it could not be read when it was backed up: the point has nothing but its name"))
		}
		opened := newFile(t, n.e)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.handles++
		f.files[f.handles] = opened
		out.Fh, out.OpenFlags = f.handles, fuse.FOPEN_KEEP_CACHE
		return fuse.OK
	})
}

func (f *fileSystem) opened(handle uint64) *file {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.files[handle]
}

// Read reads a part of an open file.
func (f *fileSystem) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	o := f.opened(in.Fh)
	if o == nil {
		return nil, fuse.EBADF
	}
	n, err := o.read(f.call(cancel), buf[:min(int(in.Size), len(buf))], int64(in.Offset))
	if err != nil {
		return nil, f.failed(o.t, o.path, err)
	}
	return fuse.ReadResultData(buf[:n]), fuse.OK
}

// Lseek finds data and holes, for who copies files with their holes.
func (f *fileSystem) Lseek(cancel <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	const seekData, seekHole = 3, 4
	o := f.opened(in.Fh)
	switch {
	case o == nil:
		return fuse.EBADF
	case in.Whence != seekData && in.Whence != seekHole:
		return fuse.EINVAL
	case in.Offset >= uint64(o.size):
		return fuse.Status(syscall.ENXIO)
	}
	at, err := o.seek(f.call(cancel), int64(in.Offset), in.Whence == seekHole)
	if err != nil {
		return f.failed(o.t, o.path, err)
	}
	if in.Whence == seekData && at >= o.size {
		return fuse.Status(syscall.ENXIO)
	}
	out.Offset = uint64(at)
	return fuse.OK
}

// Release closes an open file.
func (f *fileSystem) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	f.mu.Lock()
	o := f.files[in.Fh]
	delete(f.files, in.Fh)
	f.mu.Unlock()
	if o != nil {
		o.close()
	}
}

// Access is decided by the kernel, which knows the modes.
func (*fileSystem) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.OK }

// StatFs tells how much the points hold, of which nothing is free.
func (f *fileSystem) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	out.Bsize, out.Frsize, out.NameLen = blockSize, blockSize, 255
	return fuse.OK
}
