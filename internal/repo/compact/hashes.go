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

// hashes finds the h of chunks. It stands only in the node that refers to a chunk, so the
// trees of all points are walked, each node once. What it keeps is one bit for each row of the
// index, and an id and an h for each chunk that is wanted.
type hashes struct {
	r      *repo.Repository
	keys   *Recompression
	opener *seal.Opener
	wanted map[seal.ID]seal.H // zero: not yet found
	segs   []repo.IndexSegment
	seen   [][]uint64 // nodes, by the position of their first row
	stack  []reference
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
	w := &hashes{r: r, keys: keys, opener: o, wanted: map[seal.ID]seal.H{}, segs: r.Segments()}
	w.seen = make([][]uint64, len(w.segs))
	for i, s := range w.segs {
		w.seen[i] = make([]uint64, (s.Rows()+63)/64)
	}
	return w, nil
}

func (w *hashes) close() { w.opener.Close() }

// of answers the h of a chunk, if a point needs it.
func (w *hashes) of(id seal.ID) (seal.H, bool) {
	h := w.wanted[id]
	return h, h != seal.H{}
}

// find walks the trees. What cannot be read or opened is passed over: the chunks below it are
// copied as they are.
func (w *hashes) find(ctx context.Context) error {
	for o, err := range w.r.Points(ctx) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			continue
		}
		p, err := point.Parse(o.Content)
		if err != nil || p.Type == point.Tombstone {
			continue
		}
		issue, err := point.OpenIssue(w.keys.IssueKey, &p)
		if err != nil {
			continue
		}
		body, err := point.OpenBody(w.keys.ComputersKey.Computer(issue.Computer), &p)
		if err != nil {
			continue
		}
		w.meet(seal.KindRoot, body.Root)
		if err := w.nodes(ctx); err != nil {
			return err
		}
	}
	return nil
}

// meet notes the h of a chunk that is wanted, and goes on to a node that was not seen.
func (w *hashes) meet(kind seal.Kind, h seal.H) {
	id := h.ID()
	if _, ok := w.wanted[id]; ok {
		w.wanted[id] = h
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
	}
	return nil
}

func (w *hashes) references(kind seal.Kind, content []byte) error {
	switch kind {
	case seal.KindRoot:
		root, err := fileindex.ParseRoot(content)
		if err == nil && !root.Paths.Empty() {
			w.meet(seal.KindNode, root.Paths.H)
		}
		if err == nil && !root.Inodes.Empty() {
			w.meet(seal.KindInode, root.Inodes.H)
		}
		return err
	case seal.KindNode, seal.KindInode, seal.KindMap:
		return fileindex.NodeRefs(kind, content, func(kind seal.Kind, h seal.H) error {
			w.meet(kind, h)
			return nil
		})
	case seal.KindSignature:
		hs, err := signature.Refs(content)
		for _, h := range hs {
			w.meet(seal.KindSignature, h)
		}
		return err
	}
	return nil
}
