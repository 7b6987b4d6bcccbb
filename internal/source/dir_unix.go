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
	spot   *spot // what of the view lies at or below it; nil: nothing

	// Guarded by cache.mu.
	fd           int // -1: closed
	pins         int // uses of fd; it may be closed when there is none
	inode        uint64
	place        *place // the file system of the first opening; nil: it was never open
	newer, older *Dir   // places in the list of open directories without uses
	listed       bool
}

// dirCache bounds the open directories. Its lock is taken alone.
type dirCache struct {
	mu             sync.Mutex
	open           int
	limit          int
	newest, oldest *Dir // open and unused
	closed         bool
	view           *spot // nil: all is read at its own place
	numbers        numbers
}

// maxOpenDirs keeps well under the usual limit of 1024 descriptors; the worst that a small
// number costs is opening again.
const maxOpenDirs = 256

func newDirCache() *dirCache { return &dirCache{limit: maxOpenDirs} }

func (c *dirCache) root() *Dir { return &Dir{cache: c, fd: -1, spot: c.view} }

// child is the directory called name in d; nothing is opened yet.
func (d *Dir) child(name []byte) *Dir {
	return &Dir{cache: d.cache, parent: d, name: string(name), fd: -1, spot: d.spot.child(name)}
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
	fd, st, p, err := d.openAgain()
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
	if d.place != nil && (st.Device != d.place.raw || st.Inode != d.inode) {
		_ = unix.Close(fd)
		return -1, errs.New(errs.NotFound, "file.vanished", "open directory again: another one has taken its place")
	}
	if d.place == nil {
		d.inode, d.place = st.Inode, p
	}
	d.fd = fd
	d.pins++
	c.open++
	c.evict()
	return fd, nil
}

// openAgain opens the directory; st has the device as the system says it.
func (d *Dir) openAgain() (fd int, st Stat, p *place, err error) {
	var above *place
	if fd, above, err = d.open(); err != nil {
		return -1, st, nil, err
	}
	if err := statFD(fd, &st); err != nil {
		_ = unix.Close(fd)
		return -1, st, nil, err
	}
	return fd, st, d.cache.placeOf(d, fd, st.Device, above), nil
}

// open answers a new descriptor, and the place of the directory above.
func (d *Dir) open() (fd int, above *place, err error) {
	if g := d.spot.graft(); g != nil {
		fd, err = d.cache.openGraft(g)
		return fd, nil, err
	}
	if d.parent == nil {
		fd, err = unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return fd, nil, err
	}
	up, err := d.parent.acquire()
	if err != nil {
		return -1, nil, err
	}
	defer d.parent.release()
	fd, err = openAt(up, d.name, unix.O_DIRECTORY)
	return fd, d.parent.place, err
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
	return File{fd: f, dir: d}, err
}

// Stat looks at name in d.
func (d *Dir) Stat(name []byte, st *Stat) error {
	if below := d.spot.child(name); below.graft() != nil {
		g := d.child(name)
		fd, err := g.acquire()
		if err != nil {
			return err
		}
		defer g.release()
		return g.statOpen(fd, st)
	}
	fd, err := d.acquire()
	if err != nil {
		return err
	}
	defer d.release()
	err = statAt(fd, name, st)
	d.translate(st)
	return err
}

// crosses tells whether another file system begins at a directory called name in d, or whether that
// cannot be told.
func (d *Dir) crosses(name []byte) bool {
	fd, err := d.acquire()
	if err != nil {
		return true
	}
	defer d.release()
	device, err := deviceAt(fd, name)
	return err != nil || device != d.place.raw
}

// Readable answers why the file called name in d could not be opened for reading; nil: it could, as
// far as its mode tells.
func (d *Dir) Readable(name []byte) error {
	fd, err := d.acquire()
	if err != nil {
		return err
	}
	defer d.release()
	return unix.Faccessat(fd, string(name), unix.R_OK, unix.AT_EACCESS)
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
