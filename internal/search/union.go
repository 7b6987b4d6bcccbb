package search

import (
	"context"
	"slices"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// twig is a node of level 1 with its leaves, or a leaf that is a whole tree.
type twig struct{ leaves []*leaf }

// union is the leaves of some points, each once, by their first keys.
type union struct {
	ids    []string
	leaves []*united
	pruned bool
}

// united is a leaf and the points that have it.
type united struct {
	*leaf
	in []span
}

// span is points from one to another.
type span struct{ from, to int }

// within adds a point, which is not older than those before.
func within(in []span, point int) []span {
	if n := len(in); n > 0 && in[n-1].to >= point-1 {
		in[n-1].to = point
		return in
	}
	return append(in, span{point, point})
}

// unite finds out which leaves the points have. Nodes above them are read once, whoever has them.
func (x *Index) unite(ctx context.Context, points []Point) (*union, error) {
	ids := make([]string, len(points))
	for i, p := range points {
		ids[i] = p.ID
	}
	x.mu.Lock()
	u := x.union
	x.mu.Unlock()
	if u != nil && slices.Equal(u.ids, ids) {
		return u, nil
	}
	in := map[*twig][]span{}
	for i, p := range points {
		if err := x.eachTwig(ctx, p.Root.Paths, func(t *twig) { in[t] = within(in[t], i) }); err != nil {
			return nil, err
		}
	}
	all := map[*leaf]*united{}
	u = &union{ids: ids}
	for t, spans := range in {
		for _, l := range t.leaves {
			one := all[l]
			if one == nil {
				one = &united{leaf: l}
				all[l] = one
				u.leaves = append(u.leaves, one)
			}
			one.in = append(one.in, spans...)
		}
	}
	for _, l := range u.leaves {
		slices.SortFunc(l.in, func(a, b span) int { return a.from - b.from })
	}
	slices.SortFunc(u.leaves, func(a, b *united) int { return less(a.first, b.first) })
	x.mu.Lock()
	defer x.mu.Unlock()
	x.union = u
	return u, nil
}

// eachTwig calls fn for the twigs of a path tree.
func (x *Index) eachTwig(ctx context.Context, tree fileindex.Tree, fn func(*twig)) error {
	if tree.Empty() {
		return nil
	}
	if tree.Level == 0 {
		fn(x.twig(tree.H, func() []fileindex.Child { return []fileindex.Child{{H: tree.H}} }))
		return nil
	}
	hs := []seal.H{tree.H}
	for level := int(tree.Level); level > 1; level-- {
		var below []seal.H
		err := x.eachNode(ctx, hs, func(_ seal.H, children []fileindex.Child) {
			for _, c := range children {
				below = append(below, c.H)
			}
		})
		if err != nil {
			return err
		}
		hs = below
	}
	var missing []seal.H
	x.mu.Lock()
	for _, h := range hs {
		if t := x.twigs[h]; t != nil {
			fn(t)
		} else {
			missing = append(missing, h)
		}
	}
	x.mu.Unlock()
	return x.eachNode(ctx, missing, func(h seal.H, children []fileindex.Child) {
		fn(x.twig(h, func() []fileindex.Child { return children }))
	})
}

// twig is the twig of a node, made if it is not known.
func (x *Index) twig(h seal.H, children func() []fileindex.Child) *twig {
	x.mu.Lock()
	defer x.mu.Unlock()
	if t := x.twigs[h]; t != nil {
		return t
	}
	t := &twig{}
	for _, c := range children() {
		l := x.leaves[c.H]
		if l == nil {
			l = &leaf{h: c.H, first: c.First}
			x.leaves[c.H] = l
		}
		t.leaves = append(t.leaves, l)
	}
	x.twigs[h] = t
	return t
}

// eachNode calls fn with the children of inner nodes, in their order.
func (x *Index) eachNode(ctx context.Context, hs []seal.H, fn func(seal.H, []fileindex.Child)) error {
	const batch = 64 // some megabytes
	for len(hs) > 0 {
		some := hs[:min(len(hs), batch)]
		hs = hs[len(some):]
		contents, err := x.f.Fetch(ctx, seal.KindNode, some)
		if err != nil {
			return err
		}
		for i, content := range contents {
			var children []fileindex.Child
			err := fileindex.Visit(seal.KindNode, content, func(c fileindex.Child) error {
				children = append(children, c)
				return nil
			}, func([]byte, *fileindex.Entry) error { return nil })
			if err != nil {
				return err
			}
			fn(some[i], children)
		}
	}
	return nil
}
