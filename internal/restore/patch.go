//go:build unix

package restore

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/signature"
)

// patchFrom is the size from which on a file that is there is not written anew, but compared
// with the point, and only what differs is fetched and written.
const patchFrom = 1 << 20

// A slice of a file is compared by all processors before what differs of it is planned.
const (
	sliceBytes   = 32 << 20
	sliceExtents = 1024
)

// patchable tells whether what is there may be changed in place. Who has it open, or may open
// it, goes on seeing its content, so it must be no wider open than what it becomes.
func (it *item) patchable() bool {
	t := it.there
	return (it.act == replace || it.act == compare) && t != nil && t.typ == fileindex.File && it.typ == fileindex.File &&
		t.size >= patchFrom && it.size >= patchFrom && t.links <= 1 &&
		t.uid == it.uid && t.gid == it.gid && t.mode&0o077&^it.mode == 0
}

// patch plans a file that is there already; false: it must be written anew.
func (p *planner) patch(ctx context.Context, it *item, e *fileindex.Entry) (bool, error) {
	if !it.patchable() {
		return false, nil
	}
	fd, err := openAt(it.dir.fd, it.name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, nil // locked, or a program that runs
	}
	now, err := statFD(fd)
	if err != nil || now.dev != it.there.dev || now.ino != it.there.ino {
		_ = closeFD(fd)
		return false, nil
	}
	b := &big{it: it, fd: fd, name: it.name, made: true, patch: true}
	b.dirty.Store(now.size != it.size)
	if err := p.survey(ctx, b, e); err != nil {
		_ = closeFD(fd)
		return true, p.giveUp(it, err)
	}
	b.pending.Store(1)
	c := p.newProver(ctx, b, e)
	err = fileindex.ForEachExtent(ctx, p.r.nodes, e, func(at int64, x fileindex.Extent) error {
		return c.add(ctx, at, x)
	})
	if err == nil {
		err = c.flush(ctx)
	}
	if err != nil {
		b.note(fmt.Errorf("read content map: %w", err))
	}
	p.window.addPlain(job{big: b, x: fileindex.Extent{Kind: fileindex.Hole}})
	if err != nil && p.r.reads.fatal(err) {
		return true, err
	}
	return true, nil
}

// prover finds out, without fetching content, which pieces of a file on the target are right.
// It belongs to the planner; the comparing is done by several goroutines.
type prover struct {
	p      *planner
	b      *big
	slice  []stretch
	bytes  int64
	signed *signed // nil: there is no signature, or it is not to be relied on
}

// stretch is a piece of a file that is there.
type stretch struct {
	at    int64
	x     fileindex.Extent
	sums  []uint64 // of the blocks it touches; nil: not known
	right bool
}

func (p *planner) newProver(ctx context.Context, b *big, e *fileindex.Entry) *prover {
	c := &prover{p: p, b: b}
	if e.Signature != nil {
		c.signed = openSigned(ctx, p.r.nodes, *e.Signature, e.Size)
	}
	return c
}

func (c *prover) add(ctx context.Context, at int64, x fileindex.Extent) error {
	s := stretch{at: at, x: x}
	if c.signed != nil {
		sums, err := c.signed.sums(ctx, at, x.Len)
		if err != nil {
			c.signed = nil // the content itself tells, too
		}
		if stored(&x) {
			s.sums = sums
		}
	}
	c.slice = append(c.slice, s)
	if stored(&x) {
		c.bytes += x.Len
	}
	if c.bytes >= sliceBytes || len(c.slice) >= sliceExtents {
		return c.flush(ctx)
	}
	return ctx.Err()
}

// flush compares the slice and plans what is not right.
func (c *prover) flush(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(c.p.r.workers)
	for i := range c.slice {
		s := &c.slice[i]
		if !stored(&s.x) || s.x.Len > seal.MaxRaw || s.sums == nil && !whole(&s.x) {
			continue
		}
		g.Go(func() error {
			m := c.p.r.comparers.Get().(*comparer)
			defer c.p.r.comparers.Put(m)
			s.right = m.right(c.b.fd, s, c.b.it.size)
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i := range c.slice {
		if s := &c.slice[i]; s.right {
			c.b.same.Add(s.x.Len)
		} else {
			c.p.piece(c.b, s.at, s.x)
		}
	}
	c.slice, c.bytes = c.slice[:0], 0
	return ctx.Err()
}

// whole tells whether x may be all of its chunk, whose hash then proves it.
func whole(x *fileindex.Extent) bool { return x.Kind == fileindex.InChunk && x.Offset == 0 }

// right tells whether a stretch is as in the point: by the hash of its chunk, or where it is
// only a part of one by the signature of the blocks it touches.
func (c *comparer) right(fd int, s *stretch, size int64) bool {
	if whole(&s.x) && c.same(fd, s.at, &s.x) {
		return true
	}
	if s.sums == nil {
		return false
	}
	from := s.at / signature.Block * signature.Block
	b := c.buffer(min(from+int64(len(s.sums))*signature.Block, size) - from)
	if full, err := readFull(fd, b, from); err != nil || !full {
		return false
	}
	for _, sum := range s.sums {
		n := min(len(b), signature.Block)
		if c.blocks.Sum(b[:n]) != sum {
			return false
		}
		b = b[n:]
	}
	return true
}

// signed reads the hashes of the blocks that pieces of a file touch, in order.
type signed struct {
	r    *signature.Reader
	read int64 // blocks
	last uint64
}

func openSigned(ctx context.Context, f fileindex.Fetcher, h seal.H, size int64) *signed {
	r, err := signature.Open(ctx, f, h)
	if err != nil || r.Size() != size {
		return nil
	}
	return &signed{r: r}
}

// sums are the hashes of the blocks that a range touches. Ranges ascend without gaps.
func (s *signed) sums(ctx context.Context, at, length int64) ([]uint64, error) {
	if length == 0 {
		return nil, nil
	}
	from, to := at/signature.Block, (at+length+signature.Block-1)/signature.Block
	out := make([]uint64, 0, min(to-from, seal.MaxRaw/signature.Block+1))
	if from < s.read {
		out = append(out, s.last) // it was the end of the range before
	}
	for s.read < to {
		var err error
		if s.last, err = s.r.Next(ctx); err != nil {
			return nil, err
		}
		s.read++
		if len(out) < cap(out) {
			out = append(out, s.last)
		}
	}
	if int64(len(out)) != to-from {
		return nil, nil // longer than anything that is compared
	}
	return out, nil
}

// patchPiece writes a piece of a file that is there, if it is not right by now.
func (b *big) patchPiece(j *job, content []byte) error {
	old := make([]byte, len(content))
	if full, err := readFull(b.fd, old, j.at); err == nil && full && bytes.Equal(old, content) {
		b.same.Add(int64(len(content)))
		return nil
	}
	b.dirty.Store(true)
	b.it.dir.r.flusher.wrote(int64(len(content)))
	return wrap("write", pwriteAll(b.fd, content, j.at))
}

// patchEmpty makes a hole, or allocated zeros, where the point has them.
func (b *big) patchEmpty(j *job) error {
	if j.x.Len == 0 {
		return nil
	}
	if j.x.Kind == fileindex.Zeros {
		if b.allocatedZeros(j.at, j.x.Len) {
			b.same.Add(j.x.Len)
			return nil
		}
		b.dirty.Store(true)
		return writeZeros(b.fd, j.at, j.x.Len)
	}
	if !hasData(b.fd, j.at, j.x.Len) {
		b.same.Add(j.x.Len)
		return nil
	}
	b.dirty.Store(true) // where it reads as zeros already, it loses its blocks
	return wrap("make hole", punch(b.fd, j.at, j.x.Len))
}

// allocatedZeros tells whether a range is zeros that take space.
func (b *big) allocatedZeros(at, length int64) bool {
	m := b.it.dir.r.comparers.Get().(*comparer)
	defer b.it.dir.r.comparers.Put(m)
	return allData(b.fd, at, length) && m.zeros(b.fd, at, length)
}

// patched ends a file that was changed in place. Its content is durable before its time says
// that it is right.
func (b *big) patched() {
	it := b.it
	dirty := b.dirty.Load()
	var err error
	if dirty {
		err = wrap("set size", retry(func() error { return unix.Ftruncate(b.fd, it.size) }))
		if err == nil && !it.dir.r.o.NoSync {
			err = wrap("flush to disk", retry(func() error { return unix.Fsync(b.fd) }))
		}
	}
	var now *present
	if err == nil {
		now, err = statFD(b.fd)
	}
	if cerr := closeFD(b.fd); err == nil && cerr != nil {
		err = wrap("close", cerr)
	}
	if err != nil {
		it.fail(err)
		return
	}
	it.there = now
	changed, err := it.fixMeta()
	if err != nil {
		it.fail(err)
		return
	}
	if changed || dirty {
		it.dir.r.c.SkippedBytes.Add(b.same.Load())
	}
	it.done(changed || dirty)
}
