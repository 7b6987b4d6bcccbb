package repo

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
	"keepward/internal/repo/signature"
)

const (
	// maxProvers bounds the memory: each holds a piece, a sealed chunk and its content, about
	// 12 MiB. Sixteen open more than disks give.
	maxProvers = 16
	// maxNodes metadata chunks are opened at once. More would only make the stack deeper.
	maxNodes = 64
)

// treeWalk goes down the trees of all points, opens every metadata chunk once, from any good
// place, and notes the h of all that is needed: it stands only in the node that refers to it,
// and without it nothing can be opened when the packs are read in their order. It belongs to
// one goroutine; only open works in parallel.
type treeWalk struct {
	c       *checker
	provers []*prover
	rank    map[pack.Key]uint32
	visited chunkSet
	stack   []seal.H // metadata chunks that wait, the next one last
	buf     []byte
	marks   bool // the index marks damage
}

// walk is the keyed part of a check that reads data, before packs are read.
func (c *checker) walk(ctx context.Context) error {
	if !c.opts.keyed() {
		return nil
	}
	v, err := c.newWalk()
	defer v.close()
	if err != nil {
		return err
	}
	return v.points(ctx)
}

func (c *checker) newWalk() (*treeWalk, error) {
	v := &treeWalk{c: c, rank: make(map[pack.Key]uint32, len(c.chosen)), visited: chunkSet{}}
	for i, p := range c.chosen {
		v.rank[p.key] = uint32(i)
	}
	v.marks = slices.ContainsFunc(c.r.snapshot(), func(s *openSegment) bool { return s.seg.Marks })
	for range min(runtime.GOMAXPROCS(0), maxProvers) {
		o, err := seal.NewOpener(c.opts.Keys)
		if err != nil {
			return v, err
		}
		v.provers = append(v.provers, &prover{opener: o})
	}
	return v, nil
}

// keyed tells whether there are all keys to open what points need.
func (o *CheckOptions) keyed() bool {
	return o.Keys != nil && (o.arrival || o.IssueKey != nil && o.ComputersKey != nil)
}

func (v *treeWalk) close() {
	for _, p := range v.provers {
		p.opener.Close()
	}
}

func (v *treeWalk) points(ctx context.Context) error {
	fresh := false
	for o, err := range v.c.r.Points(ctx) {
		p, err := v.c.parse(o, err, "point")
		if err != nil || p.Type == point.Tombstone {
			if err != nil && errs.KindOf(err) != errs.Corrupt {
				return err
			}
			continue // what is wrong with it is reported when all points are looked at
		}
		if !fresh { // as in checker.points
			if err := v.c.r.Refresh(ctx); err != nil {
				return err
			}
			fresh = true
		}
		_, body, err := v.c.body(p)
		if err != nil {
			return err
		}
		if body == nil {
			continue
		}
		if err := v.want(ctx, seal.KindRoot, body.Root); err != nil {
			return err
		}
		if err := v.nodes(ctx); err != nil {
			return err
		}
	}
	return nil
}

// want notes a chunk at all its places, unless it was before: every one may be what a restore
// reads.
func (v *treeWalk) want(ctx context.Context, kind seal.Kind, h seal.H) error {
	id := h.ID()
	fresh, there := v.visited.add(v.c.r, id)
	if !there {
		v.c.setAmiss()
	}
	if !fresh || v.c.opts.arrival && !v.arrived(ctx, id) {
		return nil
	}
	if kind.Meta() {
		v.stack = append(v.stack, h)
	} else if v.c.lost(ctx, id) {
		v.c.noteHash(h)
		v.c.setAmiss()
	}
	var noted []place
	for _, l := range v.places(ctx, id) {
		rank, chosen := v.rank[l.PackKey()]
		if !chosen || slices.Contains(noted, l.place()) {
			continue
		}
		noted = append(noted, l.place())
		v.buf = need{rank: rank, offset: l.Offset, length: l.Length, kind: l.Kind, marked: l.Flags&segment.Damaged != 0, h: h}.append(v.buf[:0])
		if err := v.c.needed.Add(v.buf); err != nil {
			return err
		}
	}
	return nil
}

// setAmiss notes that a point may have lost something: all are followed then.
func (c *checker) setAmiss() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.amiss = true
}

type reference struct {
	kind seal.Kind
	h    seal.H
}

// nodes opens the metadata chunks that wait, and those that they refer to.
func (v *treeWalk) nodes(ctx context.Context) error {
	for len(v.stack) > 0 {
		from := max(0, len(v.stack)-maxNodes)
		batch := slices.Clone(v.stack[from:])
		v.stack = v.stack[:from]
		found, err := v.open(ctx, batch)
		if err != nil {
			return err
		}
		for _, r := range found {
			if err := v.want(ctx, r.kind, r.h); err != nil {
				return err
			}
		}
	}
	return nil
}

// open opens metadata chunks and answers what they refer to.
func (v *treeWalk) open(ctx context.Context, batch []seal.H) ([]reference, error) {
	var next atomic.Int64
	var mu sync.Mutex // guards found
	var found []reference
	g, gctx := errgroup.WithContext(ctx)
	for _, p := range v.provers[:min(len(v.provers), len(batch))] {
		g.Go(func() error {
			for i := next.Add(1) - 1; i < int64(len(batch)); i = next.Add(1) - 1 {
				refs, err := v.node(gctx, p, batch[i])
				if err != nil {
					return err
				}
				mu.Lock()
				found = append(found, refs...)
				mu.Unlock()
			}
			return nil
		})
	}
	return found, g.Wait()
}

// node opens a metadata chunk wherever it is good; what is bad on the way is reported.
func (v *treeWalk) node(ctx context.Context, p *prover, h seal.H) ([]reference, error) {
	for again := true; ; again = false {
		refs, found, err := v.anyPlace(ctx, p, h)
		if err != nil || found {
			return refs, err
		}
		if again && v.c.refresh(ctx) { // a sweep may have moved it meanwhile
			continue
		}
		v.c.noteHash(h)
		if refs, found = v.mendedNode(ctx, p, h); !found {
			v.c.setAmiss()
		}
		return refs, ctx.Err()
	}
}

// anyPlace opens a chunk at the first of its places that is good.
func (v *treeWalk) anyPlace(ctx context.Context, p *prover, h seal.H) (_ []reference, found bool, _ error) {
	for _, l := range v.c.r.Locations(ctx, h.ID()) {
		if v.c.isBad(l.place()) {
			continue
		}
		refs, code, err := v.at(ctx, p, h, l)
		if err == nil {
			return refs, true, nil
		}
		if ctx.Err() != nil || code == "" {
			return nil, false, err
		}
		if code == codeGone {
			continue
		}
		v.c.badEntry(l.PackKey(), entryAt(l), code, err)
		if code == codeRefs {
			return refs, true, nil // the content is right: what it refers to is needed
		}
	}
	return nil, false, nil
}

func entryAt(l Location) pack.Entry {
	return pack.Entry{ID: l.ID, Offset: l.Offset, Length: l.Length, Kind: l.Kind}
}

// at opens a metadata chunk at a place; code says what is wrong with it.
func (v *treeWalk) at(ctx context.Context, p *prover, h seal.H, l Location) (refs []reference, code string, err error) {
	rec, err := v.c.r.ReadRecord(ctx, l, p.record)
	if err != nil {
		return nil, readCode(err), err
	}
	p.record = rec.Bytes()
	v.c.read.Add(int64(rec.Len()))
	content, err := p.opener.Open(p.content, &rec, h)
	if err != nil {
		return nil, openCode(err), err
	}
	p.content = content
	return checkRefs(&rec, content)
}

// Codes of what can be wrong with a record.
const (
	codeDamaged    = "chunk.damaged"    // its bytes
	codeUnreadable = "chunk.unreadable" // the disk does not give them
	codeContent    = "chunk.content"    // its content is not what its hash says
	codeKeys       = "chunk.keys"       // it does not open with these keys
	codeForm       = "chunk.form"       // its content is what its hash says, and cannot be read
	codeRefs       = "chunk.refs"       // the ids it lists in clear are not those of its content
	codeGone       = "pack.missing"     // its pack is not there
)

// marks tells whether a place with this fault is marked as damaged: where it helps to store the
// chunk again. What the disk does not give now it may give tomorrow, and keys may come.
func marks(code string) bool {
	return code == codeDamaged || code == codeContent || code == codeRefs
}

func readCode(err error) string {
	switch errs.KindOf(err) {
	case errs.Corrupt:
		return codeDamaged
	case errs.NotFound:
		return codeGone
	case errs.Cancelled:
		return ""
	}
	return codeUnreadable
}

func openCode(err error) string {
	switch errs.KindOf(err) {
	case errs.Corrupt:
		return codeContent
	case errs.Denied:
		return codeKeys
	}
	return ""
}

// checkRefs answers what a metadata chunk refers to. The ids that stand in clear must be among
// them all: by these a sweep knows what is needed.
func checkRefs(rec *seal.Record, content []byte) (refs []reference, code string, err error) {
	refs, err = references(content, rec.Kind)
	if err != nil {
		if errs.KindOf(err) == errs.Corrupt {
			code = codeForm
		}
		return nil, code, err
	}
	listed := make(map[seal.ID]bool, rec.NumRefs())
	for i := range rec.NumRefs() {
		listed[rec.Ref(i)] = true
	}
	for _, r := range refs {
		if id := r.h.ID(); !listed[id] {
			return refs, codeRefs, errs.New(errs.Corrupt, "record.refs", "read chunk %s: it needs %s and does not list it in clear", rec.ID, id)
		}
	}
	return refs, "", nil
}

// references are the chunks that a metadata chunk refers to.
func references(content []byte, kind seal.Kind) (refs []reference, err error) {
	switch kind {
	case seal.KindRoot:
		root, err := fileindex.ParseRoot(content)
		if err == nil {
			root.Trees(func(kind seal.Kind, t fileindex.Tree) { refs = append(refs, reference{kind, t.H}) })
		}
		return refs, err
	case seal.KindNode, seal.KindInode, seal.KindMap:
		err = fileindex.NodeRefs(kind, content, func(kind seal.Kind, h seal.H) error {
			refs = append(refs, reference{kind, h})
			return nil
		})
	case seal.KindSignature:
		var hs []seal.H
		hs, err = signature.Refs(content)
		for _, h := range hs {
			refs = append(refs, reference{seal.KindSignature, h})
		}
	}
	return refs, err
}
