//go:build unix

package source

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"keepward/internal/errs"
)

// Dir is a directory of a walk. It is opened when it is needed, relative to its parent, and
// closed again when too many are open, so that neither the depth of a tree nor its size costs
// descriptors.
type Dir struct {
	cache  *dirCache
	parent *Dir // nil: the root
	name   string

	// Guarded by cache.mu.
	fd            int // -1: closed
	pins          int // uses of fd; it may be closed when there is none
	device, inode uint64
	known         bool // device and inode are those of the first opening
	newer, older  *Dir // places in the list of open directories without uses
	listed        bool
}

// dirCache bounds the open directories. Its lock is taken alone.
type dirCache struct {
	mu             sync.Mutex
	open           int
	limit          int
	newest, oldest *Dir // open and unused
	closed         bool
}

// maxOpenDirs keeps well under the usual limit of 1024 descriptors; the worst that a small
// number costs is opening again.
const maxOpenDirs = 256

func newDirCache() *dirCache { return &dirCache{limit: maxOpenDirs} }

func (c *dirCache) root() *Dir { return &Dir{cache: c, fd: -1} }

// child is the directory called name in d; nothing is opened yet.
func (d *Dir) child(name []byte) *Dir {
	return &Dir{cache: d.cache, parent: d, name: string(name), fd: -1}
}

// acquire answers a descriptor of the directory that stays open until release.
func (d *Dir) acquire() (int, error) {
	c := d.cache
	c.mu.Lock()
	if d.fd >= 0 {
		d.pin()
		fd := d.fd
		c.mu.Unlock()
		return fd, nil
	}
	c.mu.Unlock()
	fd, st, err := d.openAgain()
	if err != nil {
		return -1, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = unix.Close(fd)
		return -1, os.ErrClosed
	}
	if d.fd >= 0 { // somebody else was faster
		_ = unix.Close(fd)
		d.pin()
		return d.fd, nil
	}
	if d.known && (st.Device != d.device || st.Inode != d.inode) {
		_ = unix.Close(fd)
		return -1, errs.New(errs.NotFound, "file.vanished", "open directory again: another one has taken its place")
	}
	d.fd, d.device, d.inode, d.known = fd, st.Device, st.Inode, true
	d.pins++
	c.open++
	c.evict()
	return fd, nil
}

func (d *Dir) openAgain() (int, Stat, error) {
	var st Stat
	if d.parent == nil {
		fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = statFD(fd, &st)
		}
		return fd, st, err
	}
	up, err := d.parent.acquire()
	if err != nil {
		return -1, st, err
	}
	defer d.parent.release()
	fd, err := openAt(up, d.name, unix.O_DIRECTORY)
	if err != nil {
		return -1, st, err
	}
	if err := statFD(fd, &st); err != nil {
		_ = unix.Close(fd)
		return -1, st, err
	}
	return fd, st, nil
}

// pin takes the directory out of the unused ones.
func (d *Dir) pin() {
	if d.pins++; d.pins == 1 && d.listed {
		d.cache.unlist(d)
	}
}

func (d *Dir) release() {
	c := d.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.pins--; d.pins > 0 {
		return
	}
	if c.closed {
		d.close()
		return
	}
	d.listed, d.older, d.newer = true, c.newest, nil
	if c.newest != nil {
		c.newest.newer = d
	} else {
		c.oldest = d
	}
	c.newest = d
}

func (c *dirCache) unlist(d *Dir) {
	if d.newer != nil {
		d.newer.older = d.older
	} else {
		c.newest = d.older
	}
	if d.older != nil {
		d.older.newer = d.newer
	} else {
		c.oldest = d.newer
	}
	d.listed, d.newer, d.older = false, nil, nil
}

func (c *dirCache) evict() {
	for c.open > c.limit && c.oldest != nil {
		d := c.oldest
		c.unlist(d)
		d.close()
	}
}

func (d *Dir) close() {
	_ = unix.Close(d.fd) // only read from: nothing can be lost
	d.fd = -1
	d.cache.open--
}

// closeAll closes what is unused now, and the rest when it is released.
func (c *dirCache) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for c.oldest != nil {
		d := c.oldest
		c.unlist(d)
		d.close()
	}
}

// Open opens the regular file called name in d for reading. It never waits for a FIFO and
// never follows a symlink.
func (d *Dir) Open(name []byte) (File, error) {
	fd, err := d.acquire()
	if err != nil {
		return File{}, err
	}
	defer d.release()
	f, err := openFileAt(fd, name)
	return File{fd: f}, err
}

// Stat looks at name in d.
func (d *Dir) Stat(name []byte, st *Stat) error {
	fd, err := d.acquire()
	if err != nil {
		return err
	}
	defer d.release()
	return statAt(fd, name, st)
}

// Readlink answers the target of the symlink called name in d.
func (d *Dir) Readlink(name []byte) ([]byte, error) {
	fd, err := d.acquire()
	if err != nil {
		return nil, err
	}
	defer d.release()
	buf := make([]byte, 256)
	for {
		n, err := unix.Readlinkat(fd, string(name), buf)
		if err != nil {
			return nil, err
		}
		if n < len(buf) {
			return buf[:n:n], nil
		}
		buf = make([]byte, 4*len(buf))
	}
}

// Path is the directory's path as Item.Path has it.
func (d *Dir) Path() []byte {
	if d == nil || d.parent == nil {
		return nil
	}
	p := d.parent.Path()
	if len(p) > 0 {
		p = append(p, '/')
	}
	return append(p, d.name...)
}
