package mount

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// A node number: which point, then the place of the entry in its index plus one. The folder of
// the point itself has 0 there.
const (
	indexShift = 40
	ordinals   = 1<<indexShift - 1
	// linkBit marks inode numbers, which files of several names share: after it stands the place in
	// the inode table. Their nodes have numbers of their own.
	linkBit = 1 << 63
)

// tree is one point.
type tree struct {
	point Point
	index uint64 // never used again in the same mount
	name  string // of its folder
	r     *reader
	pool  *cursors
	gone  atomic.Bool // the point is deleted

	mu   sync.Mutex
	root *fileindex.Root // nil: not yet read
}

// open reads the root of the point, once.
func (t *tree) open(ctx context.Context) (*fileindex.Root, error) {
	if t.gone.Load() {
		return nil, errs.New(errs.NotFound, "point.deleted", "restore point %s is deleted", t.point.ID)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.root != nil {
		return t.root, nil
	}
	var object []byte
	err := t.r.state.try(ctx, func(ctx context.Context) (err error) {
		object, err = t.r.store.Object(ctx, t.point.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	p, err := point.Parse(bytes.Clone(object))
	if err != nil {
		return nil, fmt.Errorf("restore point %s: %w", t.point.ID, err)
	}
	if p.Attempt.String() != t.point.ID || p.RepositoryID != t.r.keys.RepositoryID {
		return nil, errs.New(errs.Corrupt, "point.name", "restore point %s calls itself %s", t.point.ID, p.Attempt)
	}
	body, err := point.OpenBody(t.r.keys.ComputerKey, &p)
	if err != nil {
		return nil, fmt.Errorf("restore point %s: %w", t.point.ID, err)
	}
	root, err := fileindex.FetchRoot(ctx, nodesOf{t.r, t.point.ID}, body.Root)
	if err != nil {
		return nil, err
	}
	t.root = &root
	return t.root, nil
}

// node is an entry with its numbers. What the entry points to is valid until the function returns
// that is called with it.
type node struct {
	number uint64
	inode  uint64
	links  uint64
	e      *fileindex.Entry
	// lost: the file was seen, but could not be read; there is nothing of it but its name.
	lost bool
}

// paths calls fn with a cursor of the path tree.
func (t *tree) paths(ctx context.Context, fn func(*fileindex.Cursor) error) error {
	root, err := t.open(ctx)
	if err != nil {
		return err
	}
	return t.pool.with(t, seal.KindNode, root.Paths, fn)
}

// whole calls fn with all that is known of an entry, which of several names is what the inode table
// says.
func (t *tree) whole(ctx context.Context, e *fileindex.Entry, ordinal int64, fn func(*node) error) error {
	number := t.index<<indexShift | uint64(ordinal+1)
	n := node{number: number, inode: number, links: 1, e: e}
	if e.Type != fileindex.Link {
		return fn(&n)
	}
	return t.pool.with(t, seal.KindInode, t.root.Inodes, func(c *fileindex.Cursor) error {
		inode, err := c.Lookup(ctx, fileindex.InodeKey(e.Device, e.Inode))
		if errs.CodeOf(err) == "path.not-found" {
			n.lost = true
			n.e = &fileindex.Entry{Path: e.Path, Type: fileindex.File, Device: e.Device, Inode: e.Inode}
			return fn(&n)
		}
		if err != nil {
			return fmt.Errorf("read the inode of %q: %w", e.Path, err)
		}
		all := *inode
		all.Path = e.Path
		n.e, n.links, n.inode = &all, max(1, all.Links), linkBit|t.index<<indexShift|uint64(c.Ordinal())
		return fn(&n)
	})
}

// at calls fn with the entry of a node number. The folder of the point has one only if the root of
// the computer's file system was taken.
func (t *tree) at(ctx context.Context, number uint64, fn func(*node) error) error {
	ordinal := int64(number&ordinals) - 1
	return t.paths(ctx, func(c *fileindex.Cursor) error {
		if ordinal < 0 {
			e, err := c.Lookup(ctx, nil)
			if err == nil {
				return fn(&node{number: number, inode: number, links: 1, e: e})
			}
			if errs.CodeOf(err) != "path.not-found" {
				return err
			}
			at := fileindex.Time{Sec: t.point.Time.Unix(), Nsec: uint32(t.point.Time.Nanosecond())}
			return fn(&node{number: number, inode: number, links: 1, e: &fileindex.Entry{Type: fileindex.Dir, Mode: 0o755, MTime: at, CTime: at}})
		}
		e, err := c.At(ctx, ordinal)
		if err != nil {
			return err
		}
		return t.whole(ctx, e, ordinal, fn)
	})
}

// lookup calls fn with the entry of a name in a directory.
func (t *tree) lookup(ctx context.Context, dir uint64, name string, fn func(*node) error) error {
	return t.paths(ctx, func(c *fileindex.Cursor) error {
		path, err := t.pathOf(ctx, c, dir)
		if err != nil {
			return err
		}
		if len(path) > 0 {
			path = append(path, '/')
		}
		e, err := c.Lookup(ctx, fileindex.PathKey(append(path, name...)))
		if err != nil {
			return err
		}
		return t.whole(ctx, e, c.Ordinal(), fn)
	})
}

// children calls fn for what lies directly in a directory, behind the entry of the ordinal after (-1:
// from the first), until fn answers false.
func (t *tree) children(ctx context.Context, dir uint64, after int64, fn func(*node) (bool, error)) error {
	return t.paths(ctx, func(c *fileindex.Cursor) error {
		path, err := t.pathOf(ctx, c, dir)
		if err != nil {
			return err
		}
		var last []byte
		if after >= 0 {
			e, err := c.At(ctx, after)
			if err != nil {
				return err
			}
			last = bytes.Clone(e.Path[bytes.LastIndexByte(e.Path, '/')+1:])
		}
		return c.Children(ctx, path, last, func(e *fileindex.Entry) (more bool, err error) {
			err = t.whole(ctx, e, c.Ordinal(), func(n *node) error {
				more, err = fn(n)
				return err
			})
			return more, err
		})
	})
}

// pathOf is the path of a node, in memory of the caller's.
func (t *tree) pathOf(ctx context.Context, c *fileindex.Cursor, number uint64) ([]byte, error) {
	ordinal := int64(number&ordinals) - 1
	if ordinal < 0 {
		return nil, nil
	}
	e, err := c.At(ctx, ordinal)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(e.Path), nil
}

// isOpen tells whether the point's root was read.
func (t *tree) isOpen() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.root != nil
}
