package mover

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
)

const (
	// browseIdle is how long a browse mover waits for the next call.
	browseIdle = 5 * time.Minute
	// Entries of one answer: what a screen shows, and what still is a small message.
	defaultLimit = 1000
	maxLimit     = 10_000
)

// browse serves calls on the control socket until it is told to stop or nobody calls.
func (t *task) browse(ctx context.Context) error {
	t.enter("browse")
	tick := time.NewTicker(browseIdle / 20)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil // to be told to stop is how browsing ends
		case <-tick.C:
			if t.control.idle() >= browseIdle {
				return nil
			}
		}
	}
}

// Browse lists the entries directly below a path, or with recursive all of them.
func (c *control) Browse(ctx context.Context, req *connect.Request[keepwardv1.BrowseMoverRequest]) (*connect.Response[keepwardv1.BrowseMoverResponse], error) {
	done, err := c.browsing()
	if err != nil {
		return nil, err
	}
	defer done()
	m := req.Msg
	tree, err := newFetcher(c.t.repo, c.t.keys).open(ctx, m.GetPoint(), m.GetComputerKey())
	if err != nil {
		return nil, err
	}
	defer tree.close()
	res := &keepwardv1.BrowseMoverResponse{}
	path := indexPath(m.GetPath())
	self, err := tree.paths.Lookup(ctx, fileindex.PathKey(path))
	if err == nil {
		res.Self, err = tree.entry(ctx, self)
	}
	if err != nil && (errs.KindOf(err) != errs.NotFound || len(path) > 0) {
		// Only the root may lack an entry: nothing was included that wide.
		return nil, err
	}
	limit := int(m.GetLimit())
	if limit <= 0 {
		limit = defaultLimit
	}
	l := &lister{tree: tree, limit: min(limit, maxLimit), res: res}
	if m.GetRecursive() {
		err = l.below(ctx, path, m.GetCursor())
	} else {
		err = l.children(ctx, path, m.GetCursor())
	}
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(res), nil
}

// lister collects one page.
type lister struct {
	tree  *tree
	limit int
	res   *keepwardv1.BrowseMoverResponse
}

// add takes an entry in; false: the page is full.
func (l *lister) add(ctx context.Context, e *fileindex.Entry) (bool, error) {
	if len(l.res.GetEntries()) == l.limit {
		return false, nil
	}
	whole, err := l.tree.entry(ctx, e)
	l.res.Entries = append(l.res.Entries, whole)
	return true, err
}

// children goes on behind the name after.
func (l *lister) children(ctx context.Context, dir, after []byte) error {
	var last []byte
	return l.tree.paths.Children(ctx, dir, after, func(e *fileindex.Entry) (bool, error) {
		more, err := l.add(ctx, e)
		if !more {
			l.res.NextCursor = last
		}
		last = bytes.Clone(e.Path[bytes.LastIndexByte(e.Path, '/')+1:])
		return more, err
	})
}

// below goes on behind the path after.
func (l *lister) below(ctx context.Context, dir, after []byte) error {
	from := dir
	if len(after) > 0 {
		from = after
	}
	// Just behind a key is what begins with it and a separator: its children.
	start := append(fileindex.PathKey(from), 0)
	if len(from) == 0 {
		start = []byte{1} // behind the root's own entry, whose key is empty
	}
	if err := l.tree.paths.Seek(ctx, start); err != nil {
		return err
	}
	for {
		e, err := l.tree.paths.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(dir) > 0 && !(bytes.HasPrefix(e.Path, dir) && len(e.Path) > len(dir) && e.Path[len(dir)] == '/') {
			return nil
		}
		more, err := l.add(ctx, e)
		if err != nil {
			return err
		}
		if !more {
			l.res.NextCursor = indexPath(l.res.GetEntries()[l.limit-1].GetPath())
			return nil
		}
	}
}

// Diff sends every entry that differs between two points.
func (c *control) Diff(ctx context.Context, req *connect.Request[keepwardv1.DiffMoverRequest], stream *connect.ServerStream[keepwardv1.DiffMoverResponse]) error {
	done, err := c.browsing()
	if err != nil {
		return err
	}
	defer done()
	f := newFetcher(c.t.repo, c.t.keys)
	a, err := f.open(ctx, req.Msg.GetA().GetPoint(), req.Msg.GetA().GetComputerKey())
	if err != nil {
		return err
	}
	defer a.close()
	b, err := f.open(ctx, req.Msg.GetB().GetPoint(), req.Msg.GetB().GetComputerKey())
	if err != nil {
		return err
	}
	defer b.close()
	return fileindex.Diff(ctx, f, a.Root, b.Root, func(change fileindex.Change, ea, eb *fileindex.Entry) error {
		return stream.Send(&keepwardv1.DiffMoverResponse{Change: string(rune(change)), A: toEntry(ea, a.OS), B: toEntry(eb, b.OS)})
	})
}
