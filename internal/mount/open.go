package mount

import (
	"context"
	"errors"
	"io"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
)

// Reader reads one point for who needs no file system. Any number of goroutines may use it.
type Reader struct {
	p *points
	t *tree
}

// NewReader makes a reader of a point. Of the options it takes Store, Memory, Patience and Tell. It ends
// with its context; Close waits for that.
func NewReader(ctx context.Context, o Options, one Point) (*Reader, error) {
	p := newPoints(ctx, o)
	if err := p.add(ctx, one); err != nil {
		return nil, err
	}
	return &Reader{p: p, t: p.byID[one.ID]}, nil
}

// Close waits for what is under way, which ends with the context that the reader was made with.
func (r *Reader) Close() { r.p.close() }

// Lookup answers the entry of a path as the file index has it, of a file with several names with what is
// known of that. lost: there is nothing of it but its name.
func (r *Reader) Lookup(ctx context.Context, path []byte) (e *fileindex.Entry, lost bool, err error) {
	take := func(n *node) error {
		e, lost = n.e.Clone(), n.lost
		return nil
	}
	if len(path) == 0 {
		err = r.t.at(ctx, r.t.index<<indexShift, take)
		return e, lost, err
	}
	err = r.t.paths(ctx, func(c *fileindex.Cursor) error {
		found, err := c.Lookup(ctx, fileindex.PathKey(path))
		if err != nil {
			return err
		}
		return r.t.whole(ctx, found, c.Ordinal(), take)
	})
	return e, lost, err
}

// Walk calls fn for the entry of a path and for all below it, a folder before what is in it. An entry is
// valid until fn returns.
func (r *Reader) Walk(ctx context.Context, path []byte, fn func(e *fileindex.Entry, lost bool) error) error {
	return r.t.paths(ctx, func(c *fileindex.Cursor) error {
		if err := c.Seek(ctx, fileindex.PathKey(path)); err != nil {
			return err
		}
		for {
			e, err := c.Next(ctx)
			if errors.Is(err, io.EOF) || err == nil && !within(path, e.Path) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := r.t.whole(ctx, e, c.Ordinal(), func(n *node) error { return fn(n.e, n.lost) }); err != nil {
				return err
			}
		}
	})
}

func within(dir, path []byte) bool {
	return len(dir) == 0 || len(path) >= len(dir) && string(path[:len(dir)]) == string(dir) && (len(path) == len(dir) || path[len(dir)] == '/')
}

// Open opens the content of a file for reading.
func (r *Reader) Open(e *fileindex.Entry) (*Content, error) {
	switch {
	case e.Type != fileindex.File:
		return nil, errs.New(errs.Invalid, "content.no-file", "read %q: it is a %s, and no file", e.Path, e.Type)
	case e.State&fileindex.Incomplete != 0:
		return nil, errs.New(errs.Invalid, "content.incomplete", "read %q: not all of it could be read when it was backed up", e.Path)
	}
	return &Content{f: newFile(r.t, e)}, nil
}

// Content is an open file.
type Content struct {
	f    *file
	once sync.Once
}

// Read reads from offset on; fewer bytes than fit into buf only at the end of the file.
func (c *Content) Read(ctx context.Context, buf []byte, offset int64) (int, error) {
	return c.f.read(ctx, buf, offset)
}

// Close lets go of it.
func (c *Content) Close() { c.once.Do(c.f.close) }
