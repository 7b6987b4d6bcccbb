package pipeline

import (
	"context"
	"errors"
	"io"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/signature"
)

// parentFile is what the parent point has of a file: the hash of each block, and where its
// bytes lie. It is read in order, and its memory does not grow with the file.
type parentFile struct {
	size int64
	at   int64 // of the block that is next
	sums *signature.Reader
	list *fileindex.Extents
	// ahead are the extents from at on, as many as are looked at to judge the chunks they
	// name; end is where the last one ends.
	ahead  []fileindex.Extent
	end    int64
	all    bool
	torn   bool               // the first of them was taken in part
	room   []fileindex.Extent // what ahead lies in
	chunks map[seal.H]*share
	pieces []fileindex.Extent // of the block that was answered last
	// credit is how many bytes that are equal may be stored again because their chunks are
	// stale.
	credit int64
}

// share is how much of a chunk the file uses, as far as one looks ahead. A chunk is measured
// in bytes from its start, a bundle in members from the first that is used.
type share struct {
	from, to int64
	live     int64
	bytes    int64 // of the file
	extents  int   // ahead
	judged   bool
	stale    bool
}

// freeCredit is how much of a file may be stored again whatever differs, so that stale chunks
// do not stay for good.
func freeCredit(size int64) int64 { return max(size/512, 1<<20) }

// differs gives credit for n bytes that have to be stored: with three quarters as much again
// the whole stays below twice of what differs.
func (p *parentFile) differs(n int64) { p.credit += n * 3 / 4 }

// refund gives credit back for n bytes of a stale chunk that need not be stored again.
func (p *parentFile) refund(n int64) { p.credit += n }

// lookAhead is how many extents of the parent are looked at before the first of them is
// judged: a bundle of single blocks reaches over some thousand of them. A MiB of memory.
const lookAhead = 8192

// parentBlock is a block of the parent's file.
type parentBlock struct {
	sum    uint64
	length int64
	// pieces make up the block, until the next call; none: they cannot be named apart.
	pieces []fileindex.Extent
	// stale: less than half of a chunk it lies in is still in use, so that reading it back
	// costs more than twice of what it gives, and there was credit to store all of that half
	// anew: less would be of no use.
	stale bool
}

// openParent opens what the parent has of a file.
func openParent(ctx context.Context, f fileindex.Fetcher, e *fileindex.Entry) (*parentFile, error) {
	sums, err := signature.Open(ctx, f, *e.Signature)
	if err != nil {
		return nil, err
	}
	if sums.Size() != e.Size {
		return nil, errs.New(errs.Corrupt, "signature.damaged", "read signature: it is of a file of %d bytes, not %d", sums.Size(), e.Size)
	}
	return &parentFile{
		size: e.Size, sums: sums, list: fileindex.NewExtents(f, e), chunks: make(map[seal.H]*share), credit: freeCredit(e.Size),
	}, nil
}

func (p *parentFile) close() { p.list.Close() }

// next answers the next block; its length is 0 behind the last.
func (p *parentFile) next(ctx context.Context) (parentBlock, error) {
	if p.at >= p.size {
		return parentBlock{}, nil
	}
	b := parentBlock{length: min(signature.Block, p.size-p.at)}
	var err error
	if b.sum, err = p.sums.Next(ctx); err != nil {
		return b, err
	}
	p.pieces = p.pieces[:0]
	whole := true
	err = p.take(ctx, b.length, func(x fileindex.Extent, ok bool) {
		whole = whole && ok
		if ok {
			b.stale = p.judge(&x) || b.stale
			p.pieces = append(p.pieces, x)
		}
	})
	if whole {
		b.pieces = p.pieces
	}
	return b, err
}

// pass goes on to offset, where a block begins, or the end.
func (p *parentFile) pass(ctx context.Context, offset int64) error {
	n := min(offset, p.size) - p.at
	if n <= 0 {
		return nil
	}
	if err := p.sums.Skip(ctx, (n+signature.Block-1)/signature.Block); err != nil {
		return err
	}
	return p.take(ctx, n, func(fileindex.Extent, bool) {})
}

// take passes n bytes and calls fn for the parts they lie in; ok is false for one that cannot
// be named.
func (p *parentFile) take(ctx context.Context, n int64, fn func(x fileindex.Extent, ok bool)) error {
	for n > 0 {
		if err := p.look(ctx); err != nil {
			return err
		}
		x := &p.ahead[0]
		k := min(n, x.Len)
		part, ok := x.Part(0, k)
		fn(part, ok && !(p.torn && x.Kind == fileindex.InBundle))
		n -= k
		p.at += k
		if k == x.Len {
			p.drop(x.H)
			p.ahead, p.torn = p.ahead[1:], false
			continue
		}
		p.torn = true
		x.Len -= k
		if x.Kind == fileindex.InChunk {
			x.Offset += uint32(k)
		}
	}
	return nil
}

// look fills ahead.
func (p *parentFile) look(ctx context.Context) error {
	if len(p.ahead) < lookAhead/2 && !p.all {
		p.room = append(p.room[:0], p.ahead...)
		for len(p.room) < lookAhead && !p.all {
			at, x, err := p.list.Next(ctx)
			switch {
			case errors.Is(err, io.EOF):
				p.all = true
			case err != nil:
				return err
			case at != p.end || x.Len <= 0:
				return errs.New(errs.Corrupt, "entry.extent", "read extents: one begins at %d where %d is due", at, p.end)
			default:
				p.end += x.Len
				p.count(&x)
				p.room = append(p.room, x)
			}
		}
		p.ahead = p.room
	}
	if len(p.ahead) == 0 {
		return errs.New(errs.Corrupt, "entry.extent", "read extents: they end at %d of %d", p.end, p.size)
	}
	return nil
}

// count takes an extent into the share of its chunk.
func (p *parentFile) count(x *fileindex.Extent) {
	var from, to, live int64
	switch x.Kind {
	case fileindex.InChunk:
		to, live = int64(x.Offset)+x.Len, x.Len
	case fileindex.InBundle:
		from, to, live = int64(x.Member), int64(x.Member)+1, 1
	default:
		return
	}
	s := p.chunks[x.H]
	if s == nil {
		s = &share{from: from}
		p.chunks[x.H] = s
	}
	s.from, s.to = min(s.from, from), max(s.to, to)
	s.live += live
	s.bytes += x.Len
	s.extents++
}

func (p *parentFile) drop(h seal.H) {
	if s := p.chunks[h]; s != nil {
		if s.extents--; s.extents == 0 {
			delete(p.chunks, h)
		}
	}
}

// judge tells whether the chunk of an extent is stale; what was found at its first extent
// stays.
func (p *parentFile) judge(x *fileindex.Extent) bool {
	s := p.chunks[x.H]
	if s == nil {
		return false
	}
	if !s.judged {
		s.judged, s.stale = true, 2*s.live < s.to-s.from && p.credit >= s.bytes
		if s.stale {
			p.credit -= s.bytes
		}
	}
	return s.stale
}
