package pipeline

import (
	"context"
	"errors"
	"io"
	"iter"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
	"keepward/internal/source"
)

// Before is the parent of a backup, as far as a change tracker wants to know it. It is good for as
// long as the backup goes on.
type Before struct {
	// Token is what Options.Tracker answered when it was made.
	Token []byte
	// Links: it has files with several names.
	Links bool

	ctx   context.Context // of the backup
	fetch *fetcher
	root  *fileindex.Root
	links *linksToo // if it was asked for
}

// close gives back what was opened.
func (b *Before) close() {
	if b.links != nil {
		b.links.links.Close()
	}
}

// Find calls fn for every path that the parent has of some inodes, in the order of the index. It
// reads all of the parent's path tree.
func (b *Before) Find(ctx context.Context, inodes []uint64, fn func(inode uint64, path []byte) error) error {
	wanted := make(map[uint64]bool, len(inodes))
	for _, i := range inodes {
		wanted[i] = true
	}
	for e, err := range b.paths(ctx) {
		if err != nil {
			return err
		}
		if !wanted[e.Inode] {
			continue
		}
		if err := fn(e.Inode, e.Path); err != nil {
			return err
		}
	}
	return nil
}

// paths are the entries of the parent's path tree.
func (b *Before) paths(ctx context.Context) iter.Seq2[*fileindex.Entry, error] {
	return func(yield func(*fileindex.Entry, error) bool) {
		c := fileindex.NewCursor(b.fetch, seal.KindNode, b.root.Paths)
		defer c.Close()
		for {
			e, err := c.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(e, parentLost(err)) || err != nil {
				return
			}
		}
	}
}

// LinksToo is c with all files that had several names in the parent, for a tracker that cannot tell
// which of them changed. It reads all of the parent's path tree as it is gone through.
func (b *Before) LinksToo(c source.Changed) source.Changed {
	if !b.Links {
		return c
	}
	b.close()
	b.links = &linksToo{c: c, links: fileindex.NewCursor(b.fetch, seal.KindNode, b.root.Paths), ctx: b.ctx}
	return b.links
}

// linksToo merges two rows of paths.
type linksToo struct {
	c     source.Changed
	ctx   context.Context // a Changed has none; it ends with the backup
	links *fileindex.Cursor

	change source.Change
	link   []byte
	have   struct{ change, link bool }
	over   struct{ changes, links bool }
}

func (l *linksToo) Next() (source.Change, error) {
	if err := l.fill(); err != nil {
		return source.Change{}, err
	}
	switch {
	case !l.have.change && !l.have.link:
		return source.Change{}, io.EOF
	case !l.have.link:
		l.have.change = false
		return l.change, nil
	case !l.have.change:
		l.have.link = false
		return source.Change{Path: l.link}, nil
	}
	order := fileindex.ComparePaths(l.change.Path, l.link)
	l.have.change = order > 0
	if order >= 0 {
		l.have.link = false
	}
	if order > 0 {
		return source.Change{Path: l.link}, nil
	}
	return l.change, nil
}

func (l *linksToo) fill() error {
	for !l.have.link && !l.over.links {
		e, err := l.links.Next(l.ctx)
		if err != nil {
			l.over.links = true
			if errors.Is(err, io.EOF) {
				break
			}
			return parentLost(err)
		}
		if e.Type == fileindex.Link {
			l.link, l.have.link = append(l.link[:0], e.Path...), true
		}
	}
	if l.have.change || l.over.changes {
		return nil
	}
	var err error
	l.change, err = l.c.Next()
	if errors.Is(err, io.EOF) {
		l.over.changes = true
		return nil
	}
	l.have.change = err == nil
	return err
}
