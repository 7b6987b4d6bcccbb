//go:build unix

package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// verifier walks the point a second time and compares what stands on the target with it: that
// it is there, its type and size, its content. It is one goroutine.
type verifier struct {
	r      *run
	cursor *fileindex.Cursor
	links  *fileindex.Cursor
	window *window
	stack  []*dir
	inodes map[inodeKey]*present
	part   *part

	// A piece whose hash is another may still be right, if it is only the beginning of its
	// chunk: these are compared byte by byte at the end.
	mu      sync.Mutex
	doubted []job
}

// verify compares everything that was restored, read back from disk, with the point.
func (r *run) verify(parts []part) error {
	return r.withWorkers(func(to sender) error {
		v := &verifier{
			r: r, window: newWindow(to), inodes: make(map[inodeKey]*present),
			cursor: fileindex.NewCursor(r.nodes, seal.KindNode, r.root.Paths),
			links:  fileindex.NewCursor(r.nodes, seal.KindInode, r.root.Inodes),
		}
		defer v.cursor.Close()
		defer v.links.Close()
		return v.walk(r.ctx, parts)
	})
}

func (v *verifier) walk(ctx context.Context, parts []part) error {
	base := &dir{r: v.r, fd: -1, path: v.r.base.path}
	base.hold()
	v.stack = []*dir{base}
	fd, err := openAt(v.r.baseFD, ".", dirFlags, 0)
	if err != nil {
		return wrap("open target directory", err)
	}
	base.fd, base.life = fd, live
	v.r.openDirs.Add(1)
	for i := range parts {
		v.part = &parts[i]
		if err = v.selection(ctx, parts[i].path); err != nil {
			break
		}
	}
	v.window.flush()
	v.r.tally.wait()
	for _, j := range v.doubted {
		v.window.add(j)
	}
	v.window.flush()
	v.leave(0)
	return err
}

func (v *verifier) selection(ctx context.Context, path string) error {
	err := v.cursor.Seek(ctx, fileindex.PathKey([]byte(path)))
	for ctx.Err() == nil {
		var e *fileindex.Entry
		if err == nil {
			e, err = v.cursor.Next(ctx)
		}
		switch {
		case errors.Is(err, io.EOF), err == nil && !within(path, e.Path):
			return nil
		case err != nil && v.r.reads.fatal(err):
			return fmt.Errorf("read file index: %w", err)
		case err != nil:
			err = nil // the restore has reported it
			continue
		}
		if skip := v.part.skipped(e.Path); skip != "" {
			err = v.cursor.Seek(ctx, append(fileindex.PathKey([]byte(skip)), 1))
			continue
		}
		if err := v.entry(ctx, e); err != nil {
			return err
		}
		if v.r.openDirs.Load()-int64(len(v.stack)) > v.r.maxDirs {
			v.window.flush()
			v.r.tally.wait()
		}
	}
	return context.Cause(ctx)
}

// leave pops directories until n are left.
func (v *verifier) leave(n int) {
	for len(v.stack) > n {
		v.stack[len(v.stack)-1].release()
		v.stack = v.stack[:len(v.stack)-1]
	}
}

// enter opens the directory parent; nil: it, or one above it, is not there.
func (v *verifier) enter(parent string) *dir {
	for len(v.stack) > 1 && !within(v.top().path, []byte(parent)) {
		v.leave(len(v.stack) - 1)
	}
	for v.top().path != parent {
		top := v.top()
		rest := strings.TrimPrefix(strings.TrimPrefix(parent, top.path), "/")
		name, _, _ := strings.Cut(rest, "/")
		d := &dir{r: v.r, parent: top, name: name, path: top.child(name), fd: -1, life: dead}
		d.hold()
		v.stack = append(v.stack, d)
		if top.life != live {
			continue
		}
		if fd, err := openDirAt(top.fd, name); err == nil {
			d.fd, d.life = fd, live
			v.r.openDirs.Add(1)
		}
	}
	return v.top()
}

func (v *verifier) top() *dir { return v.stack[len(v.stack)-1] }

func (v *verifier) entry(ctx context.Context, e *fileindex.Entry) error {
	path := v.part.place(string(e.Path))
	if path == v.r.base.path {
		return nil
	}
	parent, name := splitPath(path)
	d := v.enter(parent)
	if d.life != live || checkName(name) != nil {
		return nil // its directory, or the restore itself, has said so
	}
	k := &checked{v: v, dir: d, name: name, fd: -1}
	there, err := statAt(d.fd, name)
	if err != nil {
		k.differs("look at it: %v", err)
		return nil
	}
	if e.Type != fileindex.Link {
		return v.compare(ctx, k, e, there)
	}
	return v.link(ctx, k, e, there)
}

// link compares the first name of an inode with the point, the others with the first.
func (v *verifier) link(ctx context.Context, k *checked, e *fileindex.Entry, there *present) error {
	key := inodeKey{e.Device, e.Inode}
	if first := v.inodes[key]; first != nil {
		if there == nil || there.dev != first.dev || there.ino != first.ino {
			k.differs("it is no link to the file that it was one to")
		}
		return nil
	}
	full, err := v.links.Lookup(ctx, fileindex.InodeKey(key.device, key.inode))
	if err != nil {
		if v.r.reads.fatal(err) {
			return fmt.Errorf("read inode table: %w", err)
		}
		return nil // the restore has reported it
	}
	if there != nil {
		v.inodes[key] = there
	}
	return v.compare(ctx, k, full, there)
}

func (v *verifier) compare(ctx context.Context, k *checked, e *fileindex.Entry, there *present) error {
	if v.left(e, there) {
		return nil
	}
	switch {
	case there == nil:
		k.differs("it is not there")
		return nil
	case there.typ != e.Type:
		k.differs("it is a %s", there.typ)
		return nil
	case e.Type == fileindex.Symlink:
		if target, err := readlinkAt(k.dir.fd, k.name); err != nil || target != string(e.Target) {
			k.differs("it leads elsewhere")
			return nil
		}
	}
	if e.Type != fileindex.File {
		v.r.c.VerifiedFiles.Add(1)
		return nil
	}
	k.size = there.size
	return v.content(ctx, k, e)
}

// left tells whether the policy may have left what is there.
func (v *verifier) left(e *fileindex.Entry, there *present) bool {
	if v.r.o.Overwrite != Never && v.r.o.Overwrite != Newer || there == nil || e.Type == fileindex.Dir {
		return false
	}
	return there.typ != e.Type || there.mtime != e.MTime || e.Type == fileindex.File && there.size != e.Size
}

// content plans the comparing of a file's pieces.
func (v *verifier) content(ctx context.Context, k *checked, e *fileindex.Entry) error {
	k.dir.hold()
	k.pending.Store(1)
	end := int64(0)
	err := fileindex.ForEachExtent(ctx, v.r.nodes, e, func(at int64, x fileindex.Extent) error {
		end = at + x.Len
		k.pending.Add(1)
		j := job{check: k, x: x, at: at}
		if stored(&x) && !whole(&x) {
			v.window.add(j)
		} else {
			v.window.addPlain(j)
		}
		return ctx.Err()
	})
	switch {
	case err != nil && v.r.reads.fatal(err):
		k.drop()
		return fmt.Errorf("read content map: %w", err)
	case err != nil:
		k.differs("what it should hold cannot be read: %v", err)
	case end != k.size:
		k.differs("it has %d bytes, not %d", k.size, end)
	}
	k.done()
	return nil
}

// checked is a file that is compared with the point.
type checked struct {
	v    *verifier
	dir  *dir
	name string
	size int64

	pending atomic.Int64 // pieces not yet compared, and one for the verifier

	mu   sync.Mutex // guards what is below; held while it is opened
	fd   int
	bad  bool
	gone bool // the restore was stopped
}

func (k *checked) path() []byte { return []byte("/" + k.dir.child(k.name)) }

// differs reports the first difference of a file.
func (k *checked) differs(format string, args ...any) {
	k.mu.Lock()
	first := !k.bad
	k.bad = true
	k.mu.Unlock()
	if !first {
		return
	}
	k.v.r.c.Mismatched.Add(1)
	k.v.r.report.fail(k.path(), errs.New(errs.Corrupt, "restore.mismatch", "read back, it differs from the restore point: "+format, args...).
		WithHint("restore it again; if it differs again, the disk or the memory of this computer is at fault"))
}

// open opens it, without what the system still has of it in memory.
func (k *checked) open() (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fd >= 0 {
		return k.fd, nil
	}
	fd, err := openAt(k.dir.fd, k.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err == nil {
		k.fd = fd
		forget(fd)
	}
	return fd, err
}

// piece compares one piece, whose chunk s holds if it was fetched.
func (k *checked) piece(j *job, s *unpacked, err error) {
	defer k.done()
	if err != nil {
		k.differs("its content cannot be read from the repository: %v", err)
		return
	}
	fd, err := k.open()
	if err != nil {
		k.differs("open: %v", err)
		return
	}
	m := k.v.r.comparers.Get().(*comparer)
	defer k.v.r.comparers.Put(m)
	switch {
	case !stored(&j.x):
		if !m.zeros(fd, j.at, j.x.Len) {
			k.differs("there are no zeros from byte %d on", j.at)
		}
	case s.content == nil:
		if !m.same(fd, j.at, &j.x) {
			k.doubt(j)
		}
	default:
		want, err := s.extent(&j.x)
		if err != nil {
			k.differs("%v", err)
			return
		}
		got := m.buffer(int64(len(want)))
		if full, err := readFull(fd, got, j.at); err != nil || !full || !bytes.Equal(got, want) {
			k.differs("between bytes %d and %d", j.at, j.at+j.x.Len)
		}
	}
}

// doubt has a piece compared byte by byte.
func (k *checked) doubt(j *job) {
	k.pending.Add(1)
	k.v.mu.Lock()
	defer k.v.mu.Unlock()
	k.v.doubted = append(k.v.doubted, *j)
}

func (k *checked) drop() {
	k.mu.Lock()
	k.gone = true
	k.mu.Unlock()
	k.done()
}

// done lets go of a piece; the last one ends the file.
func (k *checked) done() {
	if k.pending.Add(-1) > 0 {
		return
	}
	if k.fd >= 0 {
		_ = closeFD(k.fd)
	}
	if !k.bad && !k.gone {
		k.v.r.c.VerifiedFiles.Add(1)
		k.v.r.c.VerifiedBytes.Add(k.size)
	}
	k.dir.release()
}

// zeros tells whether a range is zeros, as a hole also reads.
func (c *comparer) zeros(fd int, at, length int64) bool {
	for length > 0 {
		b := c.buffer(min(length, int64(len(zeros))))
		if full, err := readFull(fd, b, at); err != nil || !full || !bytes.Equal(b, zeros[:len(b)]) {
			return false
		}
		at, length = at+int64(len(b)), length-int64(len(b))
	}
	return true
}
