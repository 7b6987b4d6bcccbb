// Package search finds files by name, size, time and type in the restore points of a repository. It
// keeps the names that it read in memory, up to a bound: what points share is read and looked at
// once, and the second question is answered without reading what the first one read.
//
// It decides nothing about who may search what. An Index may be asked by any number of goroutines.
package search

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// Point is a point to search.
type Point struct {
	ID   string
	Root fileindex.Root
}

// Query says what to look for. All that is set must fit.
type Query struct {
	Pattern *Pattern
	Types   []fileindex.Type // empty: any
	// MinSize and MaxSize bound the size; with either only regular files fit.
	MinSize int64
	MaxSize *int64
	// After and Before bound the time of change, in nanoseconds since 1970.
	After, Before *int64
}

// mayFit tells whether an entry fits apart from its name. Of one of several names of an inode more
// has to be known.
func (q *Query) mayFit(t fileindex.Type, size, mtime int64) bool {
	if t == fileindex.Link {
		return true
	}
	if len(q.Types) > 0 && !slices.Contains(q.Types, t) {
		return false
	}
	if (q.MinSize > 0 || q.MaxSize != nil) && (t != fileindex.File || size < q.MinSize || q.MaxSize != nil && size > *q.MaxSize) {
		return false
	}
	return (q.After == nil || mtime >= *q.After) && (q.Before == nil || mtime < *q.Before)
}

// Version is a file as it was in some of the points: of one type, size, time of change and content.
// Oldest and Newest are indexes among the points that were searched, Points is how many have it.
// Entry is as in the newest of them, and valid until the function returns that it is given to.
type Version struct {
	Oldest, Newest, Points int
	Entry                  *fileindex.Entry
	OS                     string
}

// Index answers questions about the points of one repository.
type Index struct {
	f     fileindex.Fetcher
	limit int64

	mu     sync.Mutex
	used   int64 // bytes of names
	leaves map[seal.H]*leaf
	twigs  map[seal.H]*twig
	union  *union // of the points that were asked about last
	nodes  nodeCache
}

// New makes an Index that keeps at most about limit bytes of names.
func New(f fileindex.Fetcher, limit int64) *Index {
	return &Index{f: f, limit: limit, leaves: map[seal.H]*leaf{}, twigs: map[seal.H]*twig{}, nodes: nodeCache{f: f, contents: map[seal.H][]byte{}}}
}

// atOnce is how many leaves are looked at before what fits in them is told: so that much is known
// at once of what lies next to each other in several points, and little waits for it in memory.
const atOnce = 256

// Find calls fn for every version that fits: in the order of the paths, of one path the newest first.
// points are of one computer, the oldest first.
func (x *Index) Find(ctx context.Context, points []Point, q *Query, fn func(*Version) error) error {
	u, err := x.unite(ctx, points)
	if err != nil {
		return err
	}
	r := &results{x: x, points: points, q: q, fn: fn}
	defer r.close()
	for at := 0; at < len(u.leaves); at += atOnce {
		some := u.leaves[at:min(at+atOnce, len(u.leaves))]
		found, err := x.look(ctx, some, q)
		if err != nil {
			return err
		}
		for _, f := range found {
			if err := r.add(f); err != nil {
				return err
			}
		}
		// Whatever comes later is in leaves that begin later.
		var border []byte
		if at+atOnce < len(u.leaves) {
			border = u.leaves[at+atOnce].first
		}
		if err := r.tell(ctx, border); err != nil {
			return err
		}
	}
	return nil
}

// found is what fits in a leaf.
type found struct {
	l       *united
	at      []int
	content []byte // of the leaf
}

// look searches leaves, and reads those that are not in memory.
func (x *Index) look(ctx context.Context, some []*united, q *Query) ([]found, error) {
	list := make([]found, len(some))
	g, gctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	share := (len(some) + workers - 1) / workers
	for from := 0; from < len(some); from += share {
		g.Go(func() error {
			for i := from; i < min(from+share, len(some)); i++ {
				l := some[i]
				n := l.names.Load()
				if n == nil {
					contents, err := x.f.Fetch(gctx, seal.KindNode, []seal.H{l.h})
					if err != nil {
						return err
					}
					if n, err = readNames(contents[0]); err != nil {
						return err
					}
					x.keep(l.leaf, n)
					list[i].content = contents[0]
				}
				list[i].l = l
				if list[i].at = n.search(q, nil); len(list[i].at) == 0 {
					list[i].content = nil
				}
			}
			return gctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(f found) bool { return len(f.at) == 0 })
	return list, x.contents(ctx, list)
}

// contents reads the leaves in which something was found, for all that is to be told of it.
func (x *Index) contents(ctx context.Context, list []found) error {
	var hs []seal.H
	for i := range list {
		if list[i].content == nil {
			hs = append(hs, list[i].l.h)
		}
	}
	if len(hs) == 0 {
		return nil
	}
	contents, err := x.f.Fetch(ctx, seal.KindNode, hs)
	if err != nil {
		return err
	}
	for i, n := 0, 0; i < len(list); i++ {
		if list[i].content == nil {
			list[i].content, n = contents[n], n+1
		}
	}
	return nil
}

// keep keeps names in memory if they fit. When they do not, what the points asked about last do not
// have makes room.
func (x *Index) keep(l *leaf, n *names) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if l.names.Load() != nil {
		return
	}
	if x.used+n.size() > x.limit {
		x.prune()
	}
	if x.used+n.size() <= x.limit {
		l.names.Store(n)
		x.used += n.size()
	}
}

// prune forgets all that is not of the points asked about last. Under mu.
func (x *Index) prune() {
	if x.union == nil || x.union.pruned {
		return
	}
	x.union.pruned = true
	x.used, x.leaves, x.twigs = 0, map[seal.H]*leaf{}, map[seal.H]*twig{}
	for _, l := range x.union.leaves {
		x.leaves[l.h] = l.leaf
		if n := l.names.Load(); n != nil {
			x.used += n.size()
		}
	}
}

// Size is how many bytes of names are kept.
func (x *Index) Size() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.used
}

// maxNodes bounds the bytes of inode tables that are kept while links are resolved.
const maxNodes = 16 << 20

// nodeCache fetches nodes of inode tables, and keeps some: points share most of them, and links ask
// for them in no order.
type nodeCache struct {
	f fileindex.Fetcher

	mu       sync.Mutex
	contents map[seal.H][]byte
	used     int
}

func (c *nodeCache) Fetch(ctx context.Context, kind seal.Kind, hs []seal.H) ([][]byte, error) {
	out := make([][]byte, len(hs))
	var missing []seal.H
	c.mu.Lock()
	for i, h := range hs {
		if out[i] = c.contents[h]; out[i] == nil {
			missing = append(missing, h)
		}
	}
	c.mu.Unlock()
	if len(missing) == 0 {
		return out, nil
	}
	got, err := c.f.Fetch(ctx, kind, missing)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, n := 0, 0; i < len(hs); i++ {
		if out[i] != nil {
			continue
		}
		out[i] = got[n]
		if c.used += len(got[n]); c.used > maxNodes {
			clear(c.contents)
			c.used = len(got[n])
		}
		c.contents[hs[i]] = got[n]
		n++
	}
	return out, nil
}

// less orders keys of path trees.
func less(a, b []byte) int { return bytes.Compare(a, b) }
