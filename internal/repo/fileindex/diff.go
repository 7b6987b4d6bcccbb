package fileindex

import (
	"bytes"
	"context"
	"errors"
	"io"

	"keepward/internal/repo/seal"
)

// Change says how an entry of one point differs from the other's.
type Change byte

// The changes; as text they are what point diff prints.
const (
	Added    Change = '+' // only in b
	Removed  Change = '-' // only in a
	Content  Change = 'M'
	Metadata Change = 'm'
	Retyped  Change = 'T'
)

// Diff calls fn for every entry that differs between points a and b, in order; ea or eb
// is nil where the entry is on one side only. One of several names of an inode is compared
// and handed over as what the inode table says of it, under its own path. Entries are valid
// until fn returns. Change times, inode numbers and numbers of links are no difference: they
// change with every restore.
//
// What the points share is passed without being fetched. If an inode with several names
// changed, though, the nodes that both share are read once, too: its names look the same in
// both path trees, and only reading tells where they are.
func Diff(ctx context.Context, f Fetcher, a, b Root, fn func(c Change, ea, eb *Entry) error) error {
	d := &differ{f: f, a: newSide(f, a), b: newSide(f, b), fn: fn}
	defer d.a.close()
	defer d.b.close()
	if err := d.findInodes(ctx, a.Inodes, b.Inodes); err != nil {
		return err
	}
	return merge(ctx, d.a.paths, d.b.paths, d.shared, func(_ []byte, ea, eb *Entry) error { return d.names(ctx, ea, eb) })
}

// differ compares two points.
type differ struct {
	f    Fetcher
	a, b *side
	fn   func(c Change, ea, eb *Entry) error
	// inodes are the changes of the inodes that stand in both tables, by their key.
	inodes map[[16]byte]Change
}

// side is one of the two points.
type side struct {
	paths, inodes *Cursor
	bundle        seal.H // the one whose members are
	members       seal.Bundle
}

func newSide(f Fetcher, r Root) *side {
	return &side{paths: NewCursor(f, seal.KindNode, r.Paths), inodes: NewCursor(f, seal.KindInode, r.Inodes)}
}

func (s *side) close() {
	s.paths.Close()
	s.inodes.Close()
}

// whole is an entry with what the inode table says of it.
func (s *side) whole(ctx context.Context, e *Entry) (*Entry, error) {
	if e == nil {
		return nil, nil
	}
	return s.inodes.Whole(ctx, e)
}

// findInodes fills inodes.
func (d *differ) findInodes(ctx context.Context, a, b Tree) error {
	d.inodes = map[[16]byte]Change{}
	if a.Empty() || b.Empty() || a.H == b.H {
		return nil
	}
	ca, cb := NewCursor(d.f, seal.KindInode, a), NewCursor(d.f, seal.KindInode, b)
	defer ca.Close()
	defer cb.Close()
	return merge(ctx, ca, cb, nil, func(key []byte, ea, eb *Entry) error {
		if ea == nil || eb == nil || len(key) != 16 {
			return nil
		}
		c, err := d.compare(ctx, ea, eb)
		if c != 0 {
			d.inodes[[16]byte(key)] = c
		}
		return err
	})
}

// names compares what stands under one path.
func (d *differ) names(ctx context.Context, ea, eb *Entry) error {
	known := ea != nil && eb != nil && ea.Type == Link && eb.Type == Link && ea.Inode == eb.Inode && ea.Device == eb.Device
	var c Change
	if known {
		if c = d.inodes[[16]byte(InodeKey(ea.Device, ea.Inode))]; c == 0 {
			return nil
		}
	}
	ea, err := d.a.whole(ctx, ea)
	if err != nil {
		return err
	}
	eb, err = d.b.whole(ctx, eb)
	if err != nil {
		return err
	}
	if !known {
		if c, err = d.compare(ctx, ea, eb); err != nil || c == 0 {
			return err
		}
	}
	return d.fn(c, ea, eb)
}

// shared looks through a node that both path trees have, for names of inodes that changed.
func (d *differ) shared(ctx context.Context, node Tree) error {
	if len(d.inodes) == 0 {
		return nil
	}
	c := NewCursor(d.f, seal.KindNode, node)
	defer c.Close()
	for {
		e, err := c.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && e.Type == Link {
			err = d.names(ctx, e, e)
		}
		if err != nil {
			return err
		}
	}
}

// merge calls fn for the entries of two trees in order, both where both have the key. Nodes
// that both have at the same place are passed, after shared saw them, where it is given.
func merge(ctx context.Context, a, b *Cursor, shared func(context.Context, Tree) error, fn func(key []byte, ea, eb *Entry) error) error {
	for {
		if err := passShared(ctx, a.w, b.w, shared); err != nil {
			return err
		}
		ka, err := a.PeekKey(ctx)
		if err != nil {
			return err
		}
		kb, err := b.PeekKey(ctx)
		if err != nil {
			return err
		}
		if ka == nil && kb == nil {
			return nil
		}
		order := compareKeys(ka, kb)
		key := ka
		var ea, eb *Entry
		if order <= 0 {
			if ea, err = a.Next(ctx); err != nil {
				return err
			}
		}
		if order >= 0 {
			key = kb
			if eb, err = b.Next(ctx); err != nil {
				return err
			}
		}
		if err := fn(key, ea, eb); err != nil {
			return err
		}
	}
}

// compareKeys orders keys; nil is the end and sorts last.
func compareKeys(a, b []byte) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return bytes.Compare(a, b)
}

// passShared passes nodes that both trees have at the same place.
func passShared(ctx context.Context, a, b *walker, shared func(context.Context, Tree) error) error {
	for {
		node, ok := passDue(a, b)
		if !ok {
			var err error
			if node, ok, err = passBegun(ctx, a, b); err != nil || !ok {
				return err
			}
		}
		if shared != nil {
			if err := shared(ctx, node); err != nil {
				return err
			}
		}
	}
}

// passDue passes the node that is due next, which neither has loaded.
func passDue(a, b *walker) (node Tree, ok bool) {
	la, lb := a.due(), b.due()
	if la < 0 || la != lb {
		return node, false
	}
	fa, fb := &a.frames[la+1], &b.frames[lb+1]
	child := fa.node.childs[fa.pos+1]
	if child.h != fb.node.childs[fb.pos+1].h {
		return node, false
	}
	fa.pos++
	fb.pos++
	return Tree{H: child.h, Level: uint8(la), Entries: 1}, true
}

// passBegun passes a node that begins at the next item of both.
func passBegun(ctx context.Context, a, b *walker) (node Tree, ok bool, err error) {
	if _, ok, err = a.peek(ctx); err != nil || !ok {
		return node, false, err
	}
	if _, ok, err = b.peek(ctx); err != nil || !ok {
		return node, false, err
	}
	la, _ := a.startOf()
	lb, _ := b.startOf()
	l := min(la, lb)
	for ; l >= 0 && a.frames[l].h != b.frames[l].h; l-- {
		// The nodes of this level differ; those below may not.
	}
	if l < 0 {
		return node, false, nil
	}
	node = Tree{H: a.frames[l].h, Level: uint8(l), Entries: 1}
	a.skipNode(l)
	b.skipNode(l)
	return node, true, nil
}
