//go:build unix

package restore

import (
	"context"
	"fmt"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
)

// inodeKey names an inode of the source.
type inodeKey struct{ device, inode uint64 }

// inode is a file with several names. The first name in the plan brings the content; the
// others wait for it and are links to it.
type inode struct {
	mtime fileindex.Time
	typ   fileindex.Type

	// The planner's alone until the first name is on its way, then fixed.
	begun bool
	dir   *dir
	name  string

	// Fixed once settled.
	dev, ino uint64 // of the first name on the target
	err      error  // why the first name failed

	mu      sync.Mutex // guards the rest
	settled bool
	waiting []*item
}

// begin makes it the first name.
func (n *inode) begin(it *item) {
	n.begun, n.dir, n.name = true, it.dir, it.name
	it.inode = n
}

// ready says that the first name stands and makes the links that waited.
func (n *inode) ready(first *item) {
	now, err := statAt(first.dir.fd, first.name)
	if err == nil && now == nil {
		err = errs.New(errs.NotFound, "", "it has vanished")
	}
	if now != nil {
		n.dev, n.ino = now.dev, now.ino
	}
	for _, it := range n.settle(err) {
		n.link(it)
	}
}

func (n *inode) lost(err error) {
	for _, it := range n.settle(err) {
		n.link(it)
	}
}

// abandon says that the restore was stopped before the first name stood.
func (n *inode) abandon() {
	for _, it := range n.settle(context.Canceled) {
		it.drop()
	}
}

func (n *inode) settle(err error) []*item {
	n.mu.Lock()
	defer n.mu.Unlock()
	waiting := n.waiting
	n.settled, n.err, n.waiting = true, err, nil
	return waiting
}

// wait hands over an item to be linked once the first name stands; false: it does already.
func (n *inode) wait(it *item) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.settled {
		return false
	}
	n.waiting = append(n.waiting, it)
	return true
}

// link makes it another name of n, which is settled. it.inode is nil: it is no first name.
func (n *inode) link(it *item) {
	if n.err != nil {
		it.fail(fmt.Errorf("link to /%s: %w", n.firstPath(), n.err))
		return
	}
	if it.there != nil && it.there.dev == n.dev && it.there.ino == n.ino {
		it.done(false)
		return
	}
	if err := n.linkTo(it); err != nil {
		it.fail(fmt.Errorf("link to /%s: %w", n.firstPath(), err))
		return
	}
	it.done(true)
}

func (n *inode) firstPath() string { return n.dir.child(n.name) }

func (n *inode) linkTo(it *item) error {
	from := it.dir.fd
	if n.dir != it.dir {
		// The first name's directory may be finished and closed by now.
		fd, err := walkDir(it.dir.r.baseFD, n.dir.names())
		if err != nil {
			return err
		}
		defer func() { _ = closeFD(fd) }()
		from = fd
	}
	if it.there == nil {
		return linkAt(from, n.name, it.dir.fd, it.name)
	}
	temp := tempName(it.name)
	if err := clearTemp(it.dir.fd, temp); err != nil {
		return err
	}
	if err := linkAt(from, n.name, it.dir.fd, temp); err != nil {
		return err
	}
	if err := putInPlace(it, temp); err != nil {
		_ = clearTemp(it.dir.fd, temp)
		return err
	}
	// A rename between two names of one inode does nothing and leaves both.
	return clearTemp(it.dir.fd, temp)
}
