package search

import (
	"context"
	"slices"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// results gathers what was found until all of a path is known, and tells it as versions.
type results struct {
	x       *Index
	points  []Point
	q       *Query
	fn      func(*Version) error
	waiting []item
	inodes  map[seal.H]*fileindex.Cursor // by the top of the inode table
}

// item is an entry of a leaf that fits.
type item struct {
	key []byte
	e   *fileindex.Entry
	in  []span
}

func (r *results) close() {
	for _, c := range r.inodes {
		c.Close()
	}
}

// add takes in what was found in a leaf.
func (r *results) add(f found) error {
	i, next := 0, 0
	return fileindex.Visit(seal.KindNode, f.content, func(fileindex.Child) error { return nil }, func(key []byte, e *fileindex.Entry) error {
		if next < len(f.at) && f.at[next] == i {
			next++
			r.waiting = append(r.waiting, item{slices.Clone(key), e.Clone(), f.l.in})
		}
		i++
		return nil
	})
}

// tell tells what is known of the paths before a border; nil: of all.
func (r *results) tell(ctx context.Context, border []byte) error {
	slices.SortStableFunc(r.waiting, func(a, b item) int { return less(a.key, b.key) })
	done := 0
	for done < len(r.waiting) && (border == nil || less(r.waiting[done].key, border) < 0) {
		end := done + 1
		for end < len(r.waiting) && less(r.waiting[end].key, r.waiting[done].key) == 0 {
			end++
		}
		if err := r.path(ctx, r.waiting[done:end]); err != nil {
			return err
		}
		done = end
	}
	r.waiting = slices.Delete(r.waiting, 0, done)
	return nil
}

// path tells the versions of one path.
func (r *results) path(ctx context.Context, items []item) error {
	var whole []item
	for _, it := range items {
		if it.e.Type != fileindex.Link {
			whole = append(whole, it)
			continue
		}
		some, err := r.resolve(ctx, it)
		if err != nil {
			return err
		}
		whole = append(whole, some...)
	}
	// The newest first, so that what is told of a version is as in its newest point.
	slices.SortStableFunc(whole, func(a, b item) int { return b.in[len(b.in)-1].to - a.in[len(a.in)-1].to })
	var versions []*Version
	for _, it := range whole {
		v, err := r.versionOf(ctx, versions, it.e)
		if err != nil {
			return err
		}
		newest := it.in[len(it.in)-1].to
		if v == nil {
			v = &Version{Oldest: it.in[0].from, Newest: newest, Entry: it.e, OS: r.points[newest].Root.OS}
			versions = append(versions, v)
		}
		v.Oldest = min(v.Oldest, it.in[0].from)
		for _, s := range it.in {
			v.Points += s.to - s.from + 1
		}
	}
	for _, v := range versions {
		if err := r.fn(v); err != nil {
			return err
		}
	}
	return nil
}

// versionOf is the version that an entry is of; nil: it is one of its own.
func (r *results) versionOf(ctx context.Context, versions []*Version, e *fileindex.Entry) (*Version, error) {
	for _, v := range versions {
		if v.Entry.Type != e.Type || v.Entry.MTime != e.MTime {
			continue
		}
		same, err := fileindex.SameContent(ctx, r.x.f, v.Entry, e)
		if same || err != nil {
			return v, err
		}
	}
	return nil, nil
}

// resolve asks the inode tables of the points what one of several names stands for: the names may
// be the same in many points, and the file another in each.
func (r *results) resolve(ctx context.Context, it item) ([]item, error) {
	var out []item
	at := map[seal.H]int{} // which of out an inode table says
	for _, s := range it.in {
		for p := s.from; p <= s.to; p++ {
			tree := r.points[p].Root.Inodes
			i, known := at[tree.H]
			if !known {
				i = -1
				e, err := r.table(tree).Whole(ctx, it.e)
				if err != nil {
					return nil, err
				}
				if e.Type != fileindex.Link && r.q.mayFit(e.Type, e.Size, nanos(e.MTime)) {
					i = len(out)
					out = append(out, item{key: it.key, e: e.Clone()})
				}
				at[tree.H] = i
			}
			if i >= 0 {
				out[i].in = within(out[i].in, p)
			}
		}
	}
	return out, nil
}

// table reads an inode table.
func (r *results) table(tree fileindex.Tree) *fileindex.Cursor {
	c := r.inodes[tree.H]
	if c == nil {
		if r.inodes == nil {
			r.inodes = map[seal.H]*fileindex.Cursor{}
		}
		c = fileindex.NewCursor(&r.x.nodes, seal.KindInode, tree)
		r.inodes[tree.H] = c
	}
	return c
}
