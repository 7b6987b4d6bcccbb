package repo

import (
	"bytes"
	"cmp"
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
)

const (
	// piece is how much is read at once: large enough for the disk to stream.
	piece = 4 << 20
	// maxProvers bounds the memory: each holds a piece, a sealed chunk and its content, about
	// 12 MiB. Sixteen open more than disks give.
	maxProvers = 16
	// maxWindow data chunks are gathered and then read in the order in which they lie: 7 MiB of
	// memory, 20 GiB of usual chunks.
	maxWindow = 1 << 16
	// maxNodes metadata chunks are opened at once. More would only make the stack deeper.
	maxNodes = 64
)

// contentWalk opens every chunk that a point needs and compares its content with its hash,
// each once. A chunk's h stands only in the node that refers to it, so it goes down the trees
// and keeps the h of what is to be opened next, not of all. It belongs to one goroutine; only
// open works in parallel.
type contentWalk struct {
	c       *checker
	provers []*prover
	window  []target // data chunks that wait
	stack   []seal.H // metadata chunks that wait, the next one last
}

// target is a place where a chunk lies that is to be opened.
type target struct {
	h     seal.H
	pack  packKey
	entry pack.Entry
}

// content is the keyed part of a check that reads data. Chunks that no point needs are left
// to the keyless part.
func (c *checker) content(ctx context.Context) error {
	if !c.opts.ReadData || !c.opts.keyed() {
		return nil
	}
	infos, err := c.r.list(ctx, packsDir)
	if err != nil {
		return err
	}
	c.expect(infos)
	v := &contentWalk{c: c}
	defer v.close()
	for range min(runtime.GOMAXPROCS(0), maxProvers) {
		o, err := seal.NewOpener(c.opts.Keys)
		if err != nil {
			return err
		}
		v.provers = append(v.provers, &prover{opener: o})
	}
	return v.points(ctx)
}

// keyed tells whether there are all keys to open what points need.
func (o *CheckOptions) keyed() bool {
	return o.Keys != nil && o.IssueKey != nil && o.ComputersKey != nil
}

func (v *contentWalk) close() {
	for _, p := range v.provers {
		p.opener.Close()
	}
}

func (v *contentWalk) points(ctx context.Context) error {
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
	return v.flush(ctx)
}

// want notes a chunk to be opened, unless it was before.
func (v *contentWalk) want(ctx context.Context, kind seal.Kind, h seal.H) error {
	if !v.c.opened.add(v.c.r, h.ID()) {
		return nil
	}
	if kind.Meta() {
		v.stack = append(v.stack, h)
		return nil
	}
	v.window = v.targets(ctx, v.window, h)
	if len(v.window) < maxWindow {
		return nil
	}
	return v.flush(ctx)
}

// targets appends the places of a chunk: every copy may be the one that a restore reads.
func (v *contentWalk) targets(ctx context.Context, list []target, h seal.H) []target {
	from := len(list)
	for _, l := range v.c.r.Locations(ctx, h.ID()) {
		t := target{h, packKey{l.Attempt, classOf(l.Kind), l.Number}, pack.Entry{ID: l.ID, Offset: l.Offset, Length: l.Length, Kind: l.Kind}}
		if openable(l) && !slices.Contains(list[from:], t) {
			list = append(list, t)
		}
	}
	return list
}

// openable tells whether the content at a place can be compared with its hash: a bundle that
// lost members is not whole.
func openable(l Location) bool { return l.Flags&segment.Punched == 0 }

func (v *contentWalk) flush(ctx context.Context) error {
	err := v.open(ctx, v.window, func([]byte, seal.Kind) error { return nil })
	v.window = v.window[:0]
	return err
}

type reference struct {
	kind seal.Kind
	h    seal.H
}

// nodes opens the metadata chunks that wait, and those that they refer to.
func (v *contentWalk) nodes(ctx context.Context) error {
	var batch []target
	for len(v.stack) > 0 {
		batch = batch[:0]
		for n := 0; n < maxNodes && len(v.stack) > 0; n++ {
			batch = v.targets(ctx, batch, v.stack[len(v.stack)-1])
			v.stack = v.stack[:len(v.stack)-1]
		}
		var mu sync.Mutex // guards found
		var found []reference
		err := v.open(ctx, batch, func(content []byte, kind seal.Kind) error {
			refs, err := references(content, kind)
			mu.Lock()
			defer mu.Unlock()
			found = append(found, refs...)
			return err
		})
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

// references are the chunks that a metadata chunk refers to.
func references(content []byte, kind seal.Kind) (refs []reference, err error) {
	switch kind {
	case seal.KindRoot:
		root, err := fileindex.ParseRoot(content)
		if err == nil && !root.Paths.Empty() {
			refs = append(refs, reference{seal.KindNode, root.Paths.H})
		}
		if err == nil && !root.Inodes.Empty() {
			refs = append(refs, reference{seal.KindInode, root.Inodes.H})
		}
		return refs, err
	case seal.KindNode, seal.KindInode, seal.KindMap:
		err = fileindex.NodeRefs(kind, content, func(kind seal.Kind, h seal.H) error {
			refs = append(refs, reference{kind, h})
			return nil
		})
	}
	return refs, err
}

// open opens chunks in the order in which they lie and hands what is good to use, from
// several goroutines.
func (v *contentWalk) open(ctx context.Context, targets []target, use func(content []byte, kind seal.Kind) error) error {
	runs := runsOf(targets)
	var next atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	for _, p := range v.provers[:min(len(v.provers), len(runs))] {
		g.Go(func() error {
			for i := next.Add(1) - 1; i < int64(len(runs)); i = next.Add(1) - 1 {
				if err := v.run(gctx, p, runs[i], use); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// runsOf sorts targets and cuts them into runs that are read at once.
func runsOf(targets []target) (runs [][]target) {
	slices.SortFunc(targets, func(a, b target) int {
		return cmp.Or(bytes.Compare(a.pack.attempt[:], b.pack.attempt[:]), cmp.Compare(a.pack.class, b.pack.class),
			cmp.Compare(a.pack.number, b.pack.number), cmp.Compare(a.entry.Offset, b.entry.Offset))
	})
	for len(targets) > 0 {
		n := 1
		for n < len(targets) && targets[n].pack == targets[0].pack && joins(targets[0].entry, targets[n-1].entry, targets[n].entry) {
			n++
		}
		runs = append(runs, targets[:n])
		targets = targets[n:]
	}
	return runs
}

// joins tells whether a record that follows last is read at once with first.
func joins(first, last, next pack.Entry) bool {
	end := int64(next.Offset) + int64(next.Length)
	return int64(next.Offset) == int64(last.Offset)+int64(last.Length) && end <= int64(first.Offset)+piece
}

// run reads the records of a run and opens them.
func (v *contentWalk) run(ctx context.Context, p *prover, run []target, use func([]byte, seal.Kind) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	k := run[0].pack
	open, err := v.c.r.packs.acquire(ctx, k.name())
	if errs.KindOf(err) == errs.NotFound {
		return nil // reported with the packs
	}
	if err != nil {
		return err
	}
	defer v.c.r.packs.release(open)
	for len(run) > 0 && !v.c.fits(k, run[len(run)-1].entry, open.reader.Size()) {
		run = run[:len(run)-1]
	}
	if len(run) == 0 {
		return nil
	}
	start, last := int64(run[0].entry.Offset), run[len(run)-1].entry
	if p.record, err = v.c.fill(open.reader, p.record, start, int64(last.Offset)+int64(last.Length)); err != nil {
		return err
	}
	v.c.advance(int64(len(p.record)))
	for i := range run {
		at := int64(run[i].entry.Offset) - start
		if err := v.prove(p, &run[i], p.record[at:at+int64(run[i].entry.Length)], use); err != nil {
			return err
		}
	}
	return nil
}

// prove opens one record; what is wrong with it is reported.
func (v *contentWalk) prove(p *prover, t *target, b []byte, use func([]byte, seal.Kind) error) error {
	rec, err := recordOf(t.entry, b)
	if err != nil {
		v.c.badEntry(t.pack, t.entry, "chunk.damaged", err)
		return nil
	}
	content, err := p.opener.Open(p.content, &rec, t.h)
	if err == nil {
		p.content = content
		v.c.provedChunks.Add(1)
		v.c.provedBytes.Add(int64(len(content)))
		if err = use(content, rec.Kind); errs.KindOf(err) == errs.Corrupt {
			v.c.badEntry(t.pack, t.entry, "chunk.form", err)
			return nil
		}
		return err
	}
	switch errs.KindOf(err) {
	case errs.Corrupt:
		v.c.badEntry(t.pack, t.entry, "chunk.content", err)
	case errs.Denied:
		v.c.badEntry(t.pack, t.entry, "chunk.keys", err)
	default:
		return err
	}
	return nil
}
