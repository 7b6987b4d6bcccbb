//go:build unix

package restore

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/signature"
)

// content hands an item to the window: as one job if its content lies in one chunk, else in
// pieces. The item holds its directory.
func (p *planner) content(ctx context.Context, it *item, e *fileindex.Entry) error {
	if len(e.Streams) > 0 {
		p.r.report.lose("restore.stream", "named streams", it.path(), errNoStreams)
	}
	switch {
	case it.typ != fileindex.File, it.act == metadata,
		it.size == 0 && len(e.Extents) == 0 && e.Map.Empty():
		p.window.addPlain(job{it: it})
		return nil
	}
	if done, err := p.patch(ctx, it, e); done || err != nil {
		return err
	}
	if it.act == compare {
		same, err := p.sameContent(ctx, it, e)
		if err != nil {
			return p.giveUp(it, err)
		}
		if same {
			it.act = metadata
			p.window.addPlain(job{it: it})
			return nil
		}
	}
	if e.Map.Empty() && len(e.Extents) == 1 && stored(&e.Extents[0]) && e.Extents[0].Len == it.size {
		p.window.add(job{it: it, x: e.Extents[0]})
		return nil
	}
	return p.pieces(ctx, it, e)
}

// pieces plans a file that lies in several chunks, or has holes.
func (p *planner) pieces(ctx context.Context, it *item, e *fileindex.Entry) error {
	b := &big{it: it, fd: -1}
	if err := p.survey(ctx, b, e); err != nil {
		return p.giveUp(it, err)
	}
	b.pending.Store(1)
	err := fileindex.ForEachExtent(ctx, p.r.nodes, e, func(at int64, x fileindex.Extent) error {
		p.piece(b, at, x)
		return ctx.Err()
	})
	if err != nil {
		b.note(fmt.Errorf("read content map: %w", err))
	}
	// The last job makes sure that a file of holes alone is made too.
	p.window.addPlain(job{big: b, x: fileindex.Extent{Kind: fileindex.Hole}})
	if err != nil && p.r.reads.fatal(err) {
		return err
	}
	return nil
}

// giveUp ends an item that never became a job.
func (p *planner) giveUp(it *item, err error) error {
	if p.r.reads.fatal(err) {
		it.drop()
		return err
	}
	it.fail(err)
	return nil
}

func (p *planner) piece(b *big, at int64, x fileindex.Extent) {
	switch {
	case stored(&x):
		b.pending.Add(1)
		p.window.add(job{big: b, x: x, at: at})
	case x.Kind == fileindex.Zeros:
		for x.Len > 0 {
			n := min(x.Len, maxZeros)
			b.pending.Add(1)
			p.window.addPlain(job{big: b, x: fileindex.Extent{Kind: fileindex.Zeros, Len: n}, at: at})
			at, x.Len = at+n, x.Len-n
		}
	case b.patch:
		b.pending.Add(1)
		p.window.addPlain(job{big: b, x: x, at: at})
	}
}

// survey finds where a file is allocated and checks that its extents make up its size.
func (p *planner) survey(ctx context.Context, b *big, e *fileindex.Entry) error {
	end := int64(0)
	err := fileindex.ForEachExtent(ctx, p.r.nodes, e, func(at int64, x fileindex.Extent) error {
		if at != end {
			return errs.New(errs.Corrupt, "entry.extent", "its extents have a gap at %d", end)
		}
		end += x.Len
		if x.Kind == fileindex.Hole {
			return nil
		}
		if n := len(b.ranges); n > 0 && b.ranges[n-1].at+b.ranges[n-1].len == at {
			b.ranges[n-1].len += x.Len
		} else {
			b.ranges = append(b.ranges, span{at, x.Len})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read content map: %w", err)
	}
	if end != b.it.size {
		p.r.report.warn("restore.size", b.it.path(), "the point holds %d of its %d bytes", end, b.it.size)
		b.it.size = end
	}
	return nil
}

// sameContent compares a file on the target with the hashes of its chunks, without fetching
// one. Where it cannot tell (bundles, holes, parts of chunks), the content counts as another.
func (p *planner) sameContent(ctx context.Context, it *item, e *fileindex.Entry) (bool, error) {
	fd, err := openAt(it.dir.fd, it.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, nil // it cannot be read, so it is written
	}
	defer func() { _ = closeFD(fd) }()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(p.r.workers)
	walk := fileindex.ForEachExtent(gctx, p.r.nodes, e, func(at int64, x fileindex.Extent) error {
		if !whole(&x) {
			return errDiffers
		}
		g.Go(func() error {
			c := p.r.comparers.Get().(*comparer)
			defer p.r.comparers.Put(c)
			if !c.same(fd, at, &x) {
				return errDiffers
			}
			return nil
		})
		return gctx.Err()
	})
	switch compared := g.Wait(); {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case compared != nil, errors.Is(walk, errDiffers):
		return false, nil
	}
	return walk == nil, walk
}

var (
	errDiffers   = errors.New("content differs")
	errNoStreams = errors.New("this system has none")
)

type comparer struct {
	hasher *seal.Hasher
	blocks *signature.Hasher
	buf    []byte
}

func (c *comparer) buffer(n int64) []byte {
	if int64(cap(c.buf)) < n {
		c.buf = make([]byte, n)
	}
	return c.buf[:n]
}

func (c *comparer) same(fd int, at int64, x *fileindex.Extent) bool {
	if x.Len > seal.MaxRaw {
		return false
	}
	b := c.buffer(x.Len)
	full, err := readFull(fd, b, at)
	return err == nil && full && c.hasher.Hash(seal.KindData, b) == x.H
}
