package compact

import (
	"context"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/signature"
)

// hashes finds the h of chunks, and the members that are needed of bundles. Both stand only in
// the node that refers to a chunk, so the trees of all points and checkpoints are walked, each
// node once. What it keeps is one bit for each row of the index, an id and an h for each chunk
// that is wanted, and one bit for each member of the bundles that are looked at.
type hashes struct {
	r       *repo.Repository
	keys    *Recompression
	opener  *seal.Opener
	wanted  map[seal.ID]seal.H // zero: not yet found
	bundles map[seal.ID]*members
	segs    []repo.IndexSegment
	seen    [][]uint64 // nodes, by the position of their first row
	stack   []reference
	last    lastBundle
	// gap is why more may be needed than was found; nil: all that is needed was seen.
	gap error
}

type reference struct {
	kind seal.Kind
	h    seal.H
}

func newHashes(r *repo.Repository, keys *Recompression) (*hashes, error) {
	o, err := seal.NewOpener(keys.Keys)
	if err != nil {
		return nil, err
	}
	return &hashes{r: r, keys: keys, opener: o, wanted: map[seal.ID]seal.H{}, bundles: map[seal.ID]*members{}}, nil
}

func (w *hashes) close() {
	if w != nil {
		w.opener.Close()
	}
}

// of answers the h of a chunk, if a point needs it.
func (w *hashes) of(id seal.ID) (seal.H, bool) {
	h := w.wanted[id]
	if m := w.bundles[id]; m != nil {
		h = m.h
	}
	return h, h != seal.H{}
}

// find walks the trees. What cannot be read or opened is passed over, and is the gap: the
// chunks below it are copied as they are.
func (w *hashes) find(ctx context.Context) error {
	roots, err := w.roots(ctx)
	if err != nil {
		return err
	}
	// The points are listed: the segments that tell of their nodes were published before them.
	if err := w.r.Refresh(ctx); err != nil {
		return err
	}
	w.segs = w.r.Segments()
	w.seen = make([][]uint64, len(w.segs))
	for i, s := range w.segs {
		w.seen[i] = make([]uint64, (s.Rows()+63)/64)
	}
	for _, h := range roots {
		w.meet(seal.KindRoot, h)
		if err := w.nodes(ctx); err != nil {
			return err
		}
	}
	return nil
}

// amiss notes that what something needs is not known.
func (w *hashes) amiss(err error) {
	if w.gap == nil {
		w.gap = err
	}
}

// roots are those of all points, deleted and held ones too, and of all checkpoints that count.
func (w *hashes) roots(ctx context.Context) (roots []seal.H, err error) {
	add := func(o repo.Object, err error) {
		if o.Attempt == (point.Attempt{}) && errs.KindOf(err) == errs.Corrupt {
			return // not ours
		}
		var h seal.H
		var is bool
		if err == nil {
			h, is, err = w.root(o.Content)
		}
		switch {
		case err != nil:
			w.amiss(err)
		case is:
			roots = append(roots, h)
		}
	}
	for o, err := range w.r.Points(ctx) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		add(o, err)
	}
	for o, err := range w.r.Checkpoints(ctx) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		is, err := w.mayGoOn(ctx, o, err)
		if err != nil || is {
			add(o, err)
		}
	}
	return roots, nil
}

// mayGoOn tells whether an attempt may go on from a checkpoint.
func (w *hashes) mayGoOn(ctx context.Context, o repo.Object, err error) (bool, error) {
	if err == nil {
		_, err = point.Parse(o.Content)
		if errs.KindOf(err) == errs.Corrupt {
			return false, nil // it is nobody's parent
		}
	}
	if err != nil {
		return false, err
	}
	counts, err := w.r.CheckpointCounts(ctx, o.Attempt)
	return err == nil && counts(o.Number), err
}

// root opens a point; is tells that it has a root.
func (w *hashes) root(content []byte) (h seal.H, is bool, err error) {
	p, err := point.Parse(content)
	if err != nil || p.Type == point.Tombstone {
		return h, false, err
	}
	issue, err := point.OpenIssue(w.keys.IssueKey, &p)
	if err != nil {
		return h, false, err
	}
	body, err := point.OpenBody(w.keys.ComputersKey.Computer(issue.Computer), &p)
	return body.Root, err == nil, err
}

// meet notes the h of a chunk that is wanted, and goes on to a node that was not seen.
func (w *hashes) meet(kind seal.Kind, h seal.H) {
	id := h.ID()
	if _, ok := w.wanted[id]; ok {
		w.wanted[id] = h
	}
	if m := w.bundles[id]; m != nil {
		m.h = h
	}
	if kind.Meta() && !w.visit(id) {
		w.stack = append(w.stack, reference{kind, h})
	}
}

// visit tells whether a node was seen before. One that is in no segment cannot be read: as if
// it was.
func (w *hashes) visit(id seal.ID) bool {
	for i, s := range w.segs {
		at, ok, err := s.Position(id)
		if err != nil || !ok {
			continue
		}
		bit := uint64(1) << (at % 64)
		before := w.seen[i][at/64]&bit != 0
		w.seen[i][at/64] |= bit
		return before
	}
	w.amiss(errs.New(errs.NotFound, "chunk.missing", "no index segment has node %s", id))
	return true
}

func (w *hashes) nodes(ctx context.Context) error {
	var content []byte
	for len(w.stack) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		err := w.r.ReadGood(ctx, at.h.ID(), func(rec *seal.Record) error {
			var err error
			content, err = w.opener.Open(content, rec, at.h)
			return err
		})
		if err == nil {
			err = w.references(at.kind, content)
		}
		if err != nil && errs.KindOf(err) == errs.Cancelled {
			return err
		}
		if err != nil {
			w.amiss(err)
		}
	}
	return nil
}

func (w *hashes) references(kind seal.Kind, content []byte) error {
	switch kind {
	case seal.KindRoot:
		root, err := fileindex.ParseRoot(content)
		if err == nil {
			root.Trees(func(kind seal.Kind, t fileindex.Tree) { w.meet(kind, t.H) })
		}
		return err
	case seal.KindNode, seal.KindInode, seal.KindMap:
		err := fileindex.NodeRefs(kind, content, func(kind seal.Kind, h seal.H) error {
			w.meet(kind, h)
			return nil
		})
		if err != nil || len(w.bundles) == 0 {
			return err
		}
		return fileindex.Members(kind, content, w.need)
	case seal.KindSignature:
		hs, err := signature.Refs(content)
		for _, h := range hs {
			w.meet(seal.KindSignature, h)
		}
		return err
	}
	return nil
}
