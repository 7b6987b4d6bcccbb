package fileindex

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// Cursor reads the entries of a path tree or an inode table in order, fetching ahead.
type Cursor struct {
	w     *walker
	entry Entry
}

// NewCursor makes a Cursor that stands before the first entry. Close it.
func NewCursor(f Fetcher, kind seal.Kind, tree Tree) *Cursor {
	return &Cursor{w: newWalker(f, kind, tree)}
}

// Close waits for what is being fetched ahead.
func (c *Cursor) Close() { c.w.close() }

// Next answers the next entry, io.EOF behind the last. The entry is valid until the next
// call: Clone keeps it. After an error the next call goes on behind the node that could not
// be read.
func (c *Cursor) Next(ctx context.Context) (*Entry, error) {
	key, value, tv, err := c.w.take(ctx)
	if err != nil {
		return nil, err
	}
	if c.w.kind == seal.KindNode {
		c.entry.Path = append(c.entry.Path[:0], key...)
		for i, b := range c.entry.Path {
			if b == 0 {
				c.entry.Path[i] = '/'
			}
		}
	}
	if err := c.entry.decode(value, tv); err != nil {
		return nil, err
	}
	return &c.entry, nil
}

// PeekKey is the key of the entry that Next will answer; nil at the end. It is valid until
// the next call.
func (c *Cursor) PeekKey(ctx context.Context) ([]byte, error) {
	key, ok, err := c.w.peek(ctx)
	if err != nil || !ok {
		return nil, err
	}
	if key == nil {
		key = []byte{} // the root's key is empty, not missing
	}
	return key, nil
}

// Seek goes to the first entry whose key is not below key.
func (c *Cursor) Seek(ctx context.Context, key []byte) error { return c.w.seek(ctx, key) }

// Lookup answers the entry under key; an error of kind NotFound if there is none.
func (c *Cursor) Lookup(ctx context.Context, key []byte) (*Entry, error) {
	if err := c.Seek(ctx, key); err != nil {
		return nil, err
	}
	k, err := c.PeekKey(ctx)
	if err != nil {
		return nil, err
	}
	if k == nil || !bytes.Equal(k, key) {
		return nil, errs.New(errs.NotFound, "path.not-found", "/%s is not in the restore point", KeyPath(key))
	}
	return c.Next(ctx)
}

// Whole answers e, or, if it is one of several names of an inode, what this cursor's inode table
// says of that, under e's path. A name stays as it is if its inode is not there: the name was
// seen, and then the file could not be read. The answer is valid until the next call.
func (c *Cursor) Whole(ctx context.Context, e *Entry) (*Entry, error) {
	if e.Type != Link {
		return e, nil
	}
	inode, err := c.Lookup(ctx, InodeKey(e.Device, e.Inode))
	switch {
	case errs.CodeOf(err) == "path.not-found": // a chunk that is missing has another code
		return e, nil
	case err != nil:
		return nil, fmt.Errorf("read the inode of %q: %w", e.Path, err)
	}
	whole := *inode
	whole.Path = e.Path
	return &whole, nil
}

// behind is the key just behind everything below the directory that key names.
func behind(key []byte) []byte { return append(bytes.Clone(key), 1) }

// below tells whether key names something below the directory dir (keys).
func below(dir, key []byte) bool {
	return len(key) > len(dir) && (len(dir) == 0 || bytes.HasPrefix(key, dir) && key[len(dir)] == 0)
}

// Children calls fn for the entries directly in the directory dir (a path), in order, beginning
// behind the name after (empty: at the first), until fn answers false.
func (c *Cursor) Children(ctx context.Context, dir, after []byte, fn func(*Entry) (bool, error)) error {
	dirKey := PathKey(dir)
	prefix := bytes.Clone(dirKey)
	if len(prefix) > 0 {
		prefix = append(prefix, 0)
	}
	start := append(bytes.Clone(prefix), after...)
	if len(after) > 0 {
		start = behind(start)
	} else if len(prefix) == 0 {
		start = []byte{1} // behind the root's own entry, whose key is empty
	}
	if err := c.Seek(ctx, start); err != nil {
		return err
	}
	for {
		k, err := c.PeekKey(ctx)
		if err != nil || k == nil || !below(dirKey, k) {
			return err
		}
		if i := bytes.IndexByte(k[len(prefix):], 0); i >= 0 {
			// Inside a child's subtree: pass all of it.
			if err := c.Seek(ctx, behind(bytes.Clone(k[:len(prefix)+i]))); err != nil {
				return err
			}
			continue
		}
		e, err := c.Next(ctx)
		if err != nil {
			return err
		}
		if more, err := fn(e); err != nil || !more {
			return err
		}
	}
}

// NodeRefs calls fn for the hashes that a node of a tree refers to, with the kind of chunk
// each is. Content maps and signatures of entries are among a leaf's.
func NodeRefs(kind seal.Kind, content []byte, fn func(kind seal.Kind, h seal.H) error) error {
	nd, err := parseNode(content)
	if err != nil {
		return err
	}
	for _, ch := range nd.childs {
		if err := fn(kind, ch.h); err != nil {
			return err
		}
	}
	if nd.level > 0 {
		return nil
	}
	return leafRefs(kind, nd, fn)
}

func leafRefs(kind seal.Kind, nd *node, fn func(kind seal.Kind, h seal.H) error) error {
	seen := make(map[seal.H]bool, nd.table.len())
	visit := func(kind seal.Kind, h seal.H) (err error) {
		if !seen[h] {
			seen[h] = true
			err = fn(kind, h)
		}
		return err
	}
	return leafValues(kind, nd, func(e *Entry) (err error) {
		e.Hashes(func(k seal.Kind, h seal.H) { err = errors.Join(err, visit(k, h)) })
		return err
	})
}
