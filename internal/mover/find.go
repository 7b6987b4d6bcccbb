package mover

import (
	"context"
	"slices"
	"sync"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/search"
)

// namesMost bounds what a browse mover keeps of names between two searches, in bytes: those of about
// four million files.
const namesMost = 192 << 20

// finder answers searches. It keeps what it has read for as long as the mover runs.
type finder struct {
	f     *fetcher
	index *search.Index

	mu    sync.Mutex
	roots map[rootKey]fileindex.Root
}

// rootKey names a root together with the key that opened it: without that nobody gets it.
type rootKey struct {
	point string
	key   [32]byte
}

func newFinder(f *fetcher) *finder {
	return &finder{f: f, index: search.New(f, namesMost), roots: map[rootKey]fileindex.Root{}}
}

func (f *finder) root(ctx context.Context, p *keepwardv1.PointKey) (fileindex.Root, error) {
	k := rootKey{point: p.GetPoint()}
	copy(k.key[:], p.GetComputerKey())
	f.mu.Lock()
	root, ok := f.roots[k]
	f.mu.Unlock()
	if ok && len(p.GetComputerKey()) == len(k.key) {
		return root, nil
	}
	root, err := f.f.root(ctx, p.GetPoint(), p.GetComputerKey())
	if err != nil {
		return root, err
	}
	// Only the trees are of use here.
	root = fileindex.Root{Paths: root.Paths, Inodes: root.Inodes, OS: root.OS}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.roots[k] = root
	return root, nil
}

// Find sends every version of a file that fits, with the points that have it.
func (c *control) Find(ctx context.Context, req *connect.Request[keepwardv1.FindMoverRequest], stream *connect.ServerStream[keepwardv1.FindMoverResponse]) error {
	done, err := c.browsing()
	if err != nil {
		return err
	}
	defer done()
	q, err := queryOf(req.Msg)
	if err != nil {
		return err
	}
	c.findOnce.Do(func() { c.finder = newFinder(newFetcher(c.t.repo, c.t.keys)) })
	points := make([]search.Point, len(req.Msg.GetPoints()))
	for i, p := range req.Msg.GetPoints() {
		points[i].ID = p.GetPoint()
		if points[i].Root, err = c.finder.root(ctx, p); err != nil {
			return err
		}
	}
	return c.finder.index.Find(ctx, points, q, func(v *search.Version) error {
		return stream.Send(&keepwardv1.FindMoverResponse{
			Point: points[v.Newest].ID, First: points[v.Oldest].ID, Points: int32(v.Points), Entry: toEntry(v.Entry, v.OS),
		})
	})
}

func queryOf(m *keepwardv1.FindMoverRequest) (*search.Query, error) {
	q := &search.Query{MinSize: m.GetMinSize(), MaxSize: m.MaxSize, After: nanosOf(m.GetAfter()), Before: nanosOf(m.GetBefore())}
	var err error
	if q.Pattern, err = search.Compile(m.GetGlob()); err != nil {
		return nil, err
	}
	types := []fileindex.Type{fileindex.Dir, fileindex.File, fileindex.Symlink, fileindex.Char, fileindex.Block, fileindex.FIFO, fileindex.Socket}
	for _, name := range m.GetTypes() {
		i := slices.IndexFunc(types, func(t fileindex.Type) bool { return t.String() == name })
		if i < 0 {
			return nil, errs.New(errs.Invalid, "find.type", "find: %q is no type of file", name).WithHint("use file, dir, symlink, char, block, fifo or socket")
		}
		q.Types = append(q.Types, types[i])
	}
	return q, nil
}

func nanosOf(t *timestamppb.Timestamp) *int64 {
	if t == nil {
		return nil
	}
	n := t.AsTime().UnixNano()
	return &n
}
