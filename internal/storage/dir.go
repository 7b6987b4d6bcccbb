package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"keepward/internal/errs"
	"keepward/internal/storage/vfs"
)

// partSuffix marks an object that was started and not committed.
const partSuffix = ".part"

// tmpDir holds small objects until they are linked to their names.
const tmpDir = "tmp"

// Dir is the backend on a directory. An object is written under a temporary name, synced,
// linked to its own name (which fails if that exists), and the directory is synced.
type Dir struct {
	fs   vfs.FS
	root string

	mu   sync.Mutex
	made map[string]bool // folders known to be durable
	id   string          // of the root at its first use; empty: not known

	// reads and writes hold up who moves so many bytes of objects; nil: nobody is.
	reads, writes func(n int)
}

// Hold has reads and writes called before so many bytes of an object are read or written. It must
// be called before anything else. What is mapped into memory is not read through it.
func (d *Dir) Hold(reads, writes func(n int)) { d.reads, d.writes = reads, writes }

func hold(by func(int), n int) {
	if by != nil {
		by(n)
	}
}

// NewDir is the backend on the directory root of a file system; it touches nothing yet.
func NewDir(fsys vfs.FS, root string) *Dir {
	return &Dir{fs: fsys, root: root, made: map[string]bool{}}
}

// OpenDir is the backend on a directory of this computer, by its canonical path. The directory
// need not exist.
func OpenDir(path string) (*Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, errs.New(errs.Invalid, "repository.path", "find directory %q: %w", path, err)
	}
	canonical, err := resolve(abs)
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "repository.path", "find directory %s: %w", abs, err)
	}
	return NewDir(vfs.OS{}, canonical), nil
}

// resolve follows the symbolic links of the part of path that exists.
func resolve(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	parent := filepath.Dir(path)
	if parent == path {
		return "", err
	}
	real, err = resolve(parent)
	return filepath.Join(real, filepath.Base(path)), err
}

// Path is the canonical path of the directory.
func (d *Dir) Path() string { return d.root }

// Location implements Backend.
func (d *Dir) Location() string { return d.root }

func (d *Dir) path(name string) string {
	if name == "" {
		return d.root
	}
	return filepath.Join(d.root, filepath.FromSlash(name))
}

// fail names what was tried; a full disk gets its code and hint.
func (d *Dir) fail(op, name string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = d.missing(err)
	}
	if errs.CodeOf(err) == "repository.unmounted" {
		return errs.New(errs.Unavailable, errs.CodeOf(err), "%s %s: %w", op, name, err).WithHint("%s", errs.HintOf(err))
	}
	kind, code := errs.KindOf(err), "repository.io"
	readOnly := errors.Is(err, syscall.EROFS)
	if readOnly { // it will be the same again until somebody has looked
		kind = errs.Denied
	}
	switch kind {
	case errs.NoSpace:
		code = "repository.no-space"
	case errs.NotFound:
		code = "repository.object-missing"
	case errs.Exists:
		code = "repository.object-exists"
	case errs.Denied:
		code = "repository.permission"
	case errs.Internal: // an input or output error of the disk, not a defect of ours
		kind = errs.Unavailable
	}
	e := errs.New(kind, code, "%s %s in %s: %w", op, name, d.root, cause(err))
	if readOnly {
		return e.WithHint("what is there can be read; look why the file system is read-only (an error of its disk, or how it was mounted) and mount it for writing")
	}
	if kind == errs.NoSpace {
		return e.WithHint("free space on the file system of %s, then run it again", d.root)
	}
	return e
}

// cause is err without the path that the system's errors repeat.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// folder makes the folder dir and all above it, each durable before anything is put into it.
// The first use in a process syncs the parent even if the folder is there: its maker may have
// died before he did.
func (d *Dir) folder(dir string) error {
	if dir == "." || dir == "" {
		return nil
	}
	d.mu.Lock()
	known := d.made[dir]
	d.mu.Unlock()
	if known {
		return nil
	}
	parent := folderOf(dir)
	if err := d.folder(parent); err != nil {
		return err
	}
	if err := d.here(); err != nil {
		return err
	}
	if err := d.fs.Mkdir(d.path(dir)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.fs.SyncDir(d.path(parent)); err != nil {
		return err
	}
	d.mu.Lock()
	d.made[dir] = true
	d.mu.Unlock()
	return nil
}

func folderOf(name string) string {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return ""
	}
	return name[:i]
}

// Put implements Backend.
func (d *Dir) Put(ctx context.Context, name string, content []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.put(name, content); err != nil {
		return d.fail("write", name, err)
	}
	return nil
}

func (d *Dir) put(name string, content []byte) (err error) {
	if err := errors.Join(d.folder(tmpDir), d.folder(folderOf(name))); err != nil {
		return err
	}
	tmp := d.path(tmpDir + "/" + rand.Text())
	f, err := d.fs.Create(tmp)
	if err != nil {
		return err
	}
	hold(d.writes, len(content))
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.publish(tmp, name)
	}
	// What stays in tmp after a failure is garbage that Clean removes.
	_ = d.fs.Remove(tmp)
	return err
}

// publish links a synced file to its name and makes the name durable.
func (d *Dir) publish(file, name string) error {
	if err := d.fs.Link(file, d.path(name)); err != nil {
		return err
	}
	return errors.Join(d.fs.SyncDir(d.path(folderOf(name))), d.here())
}

// Create implements Backend.
func (d *Dir) Create(ctx context.Context, name string) (Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := d.folder(folderOf(name)); err != nil {
		return nil, d.fail("create folder of", name, err)
	}
	if _, err := d.fs.Stat(d.path(name)); err == nil {
		return nil, d.fail("create", name, fs.ErrExist)
	}
	f, err := d.fs.Create(d.path(name) + partSuffix)
	if err != nil {
		return nil, d.fail("create", name, err)
	}
	return &dirWriter{d: d, name: name, f: f}, nil
}

type dirWriter struct {
	d    *Dir
	name string
	f    vfs.File // nil once committed or aborted
	err  error    // the first failure; nothing goes on after it

	written, started int64
}

// startEvery is how much is written before the disk begins with it. Left to itself the system
// waits half a minute, and Commit then waits for all of it.
const startEvery = 8 << 20

func (w *dirWriter) Write(b []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	hold(w.d.writes, len(b))
	n, err := w.f.Write(b)
	if err != nil {
		w.err = w.d.fail("write", w.name, err)
	}
	w.written += int64(n)
	if s, ok := w.f.(vfs.Starter); ok && w.written-w.started >= startEvery {
		s.StartSync(w.started, w.written-w.started)
		w.started = w.written
	}
	return n, w.err
}

func (w *dirWriter) Commit(ctx context.Context) error {
	if w.err == nil {
		w.err = ctx.Err()
	}
	if w.err == nil {
		if err := w.commit(); err != nil {
			w.err = w.d.fail("commit", w.name, err)
		}
	}
	w.Abort()
	return w.err
}

// commit syncs, links and drops the temporary name. After it w.f is nil only on success.
func (w *dirWriter) commit() error {
	if err := w.f.Sync(); err != nil {
		return err
	}
	part := w.d.path(w.name) + partSuffix
	if err := w.d.fs.Link(part, w.d.path(w.name)); err != nil {
		return err
	}
	err := errors.Join(w.f.Close(), w.d.fs.Remove(part))
	w.f = nil
	return errors.Join(err, w.d.fs.SyncDir(w.d.path(folderOf(w.name))), w.d.here())
}

func (w *dirWriter) Abort() {
	if w.f == nil {
		return
	}
	// The object is given up: what cannot be closed or removed is garbage that Clean removes.
	_ = w.f.Close()
	_ = w.d.fs.Remove(w.d.path(w.name) + partSuffix)
	w.f = nil
}

// Sync implements Backend.
func (d *Dir) Sync(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := errors.Join(d.sync(dir), d.here()); err != nil {
		return d.fail("sync folder", dir, err)
	}
	return nil
}

// sync makes the names in a folder durable, and its own, unless that is known to be so. A
// folder that is gone took along what it showed.
func (d *Dir) sync(dir string) error {
	err := d.fs.SyncDir(d.path(dir))
	if err != nil && (dir == "" || !errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	there := err == nil
	d.mu.Lock()
	known := d.made[dir]
	d.mu.Unlock()
	if dir == "" || known && there {
		return nil
	}
	if err := d.sync(folderOf(dir)); err != nil {
		return err
	}
	d.mu.Lock()
	d.made[dir] = there
	d.mu.Unlock()
	return nil
}

// Delete implements Deleter.
func (d *Dir) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.fs.Remove(d.path(name)); err != nil {
		return d.fail("delete", name, err)
	}
	if err := errors.Join(d.fs.SyncDir(d.path(folderOf(name))), d.here()); err != nil {
		return d.fail("delete", name, err)
	}
	return nil
}

// Prune implements Pruner.
func (d *Dir) Prune(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := d.fs.ReadDir(d.path(dir))
	if errors.Is(err, fs.ErrNotExist) || len(entries) > 0 {
		return nil
	}
	if err == nil {
		d.mu.Lock()
		delete(d.made, dir)
		d.mu.Unlock()
		err = d.fs.Remove(d.path(dir))
	}
	if err != nil {
		return d.fail("remove folder", dir, err)
	}
	return nil
}

// Free implements Spacer.
func (d *Dir) Free(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n, err := d.fs.Free(d.root)
	if err != nil {
		return 0, d.fail("ask free space of", ".", err)
	}
	return n, nil
}
