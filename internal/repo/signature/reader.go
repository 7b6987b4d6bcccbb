package signature

import (
	"context"
	"encoding/binary"
	"io"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// maxAhead is how many leaves are fetched at once: one GiB of the file, half a MiB here.
const maxAhead = 16

// Reader reads the hashes of a signature in order. Its memory does not grow with the file.
type Reader struct {
	f     fileindex.Fetcher
	size  int64
	left  int64  // blocks
	leaf  []byte // hashes of the open leaf not yet read
	zeros int64  // blocks of zeros before what comes next
	// up[i] is the open record of level i+1, at is the one below that is being read.
	up    []open
	ahead [][]byte // leaves fetched ahead, from the one behind the open leaf on
}

type open struct {
	record
	at int64
}

func (o *open) below() int64 { return int64(len(o.body) / 32) }

func (o *open) h(i int64) seal.H { return seal.H(o.body[32*i:]) }

// covers is how many bytes the record at position i below covers.
func (o *open) covers(i int64) int64 { return min(span(o.level-1), o.size-i*span(o.level-1)) }

// Open fetches the topmost record of a signature. What is wrong with one shows as an error of
// kind Corrupt or NotFound, here or later.
func Open(ctx context.Context, f fileindex.Fetcher, h seal.H) (*Reader, error) {
	r := &Reader{f: f}
	contents, err := f.Fetch(ctx, seal.KindSignature, []seal.H{h})
	if err != nil {
		return nil, err
	}
	top, err := parse(contents[0])
	if err != nil {
		return nil, err
	}
	r.size, r.left = top.size, parts(top.size, Block)
	if top.level == 0 {
		r.leaf = top.body
		return r, nil
	}
	r.up = make([]open, top.level)
	r.up[top.level-1] = open{record: top}
	return r, r.descend(ctx, top.level-1)
}

// Size is the size of the file whose signature it is.
func (r *Reader) Size() int64 { return r.size }

// Next is the hash of the next block; io.EOF behind the last.
func (r *Reader) Next(ctx context.Context) (uint64, error) {
	if err := r.arrive(ctx); err != nil {
		return 0, err
	}
	r.left--
	if r.zeros > 0 {
		r.zeros--
		return 0, nil
	}
	sum := binary.LittleEndian.Uint64(r.leaf)
	r.leaf = r.leaf[8:]
	return sum, nil
}

// Skip passes so many blocks.
func (r *Reader) Skip(ctx context.Context, blocks int64) error {
	for blocks > 0 {
		if err := r.arrive(ctx); err != nil {
			return err
		}
		n := min(blocks, max(r.zeros, int64(len(r.leaf)/8)))
		if r.zeros > 0 {
			r.zeros -= n
		} else {
			r.leaf = r.leaf[8*n:]
		}
		r.left -= n
		blocks -= n
	}
	return nil
}

// arrive makes sure that the next block's hash is at hand.
func (r *Reader) arrive(ctx context.Context) error {
	for r.zeros == 0 && len(r.leaf) == 0 {
		if r.left == 0 {
			return io.EOF
		}
		if err := r.advance(ctx); err != nil {
			return err
		}
	}
	return nil
}

// advance goes to the record behind the one that was read.
func (r *Reader) advance(ctx context.Context) error {
	for i := range r.up {
		if r.up[i].at+1 < r.up[i].below() {
			r.up[i].at++
			return r.descend(ctx, i)
		}
	}
	return damaged("it ends %d blocks before the file", r.left)
}

// descend opens what stands at the position of up[i], down to a leaf or to zeros.
func (r *Reader) descend(ctx context.Context, i int) error {
	for ; ; i-- {
		o := &r.up[i]
		h := o.h(o.at)
		if h == (seal.H{}) {
			r.zeros = parts(o.covers(o.at), Block)
			if i == 0 && len(r.ahead) > 0 {
				r.ahead = r.ahead[1:]
			}
			return nil
		}
		content, err := r.fetch(ctx, i)
		if err != nil {
			return err
		}
		below, err := parse(content)
		if err != nil {
			return err
		}
		if below.level != i || below.size != o.covers(o.at) {
			return damaged("a record of level %d over %d bytes where level %d over %d is due", below.level, below.size, i, o.covers(o.at))
		}
		if i == 0 {
			r.leaf = below.body
			return nil
		}
		r.up[i-1] = open{record: below}
	}
}

// fetch fetches what stands at the position of up[i], a leaf together with those behind it.
func (r *Reader) fetch(ctx context.Context, i int) ([]byte, error) {
	o := &r.up[i]
	if i > 0 {
		contents, err := r.f.Fetch(ctx, seal.KindSignature, []seal.H{o.h(o.at)})
		if err != nil {
			return nil, err
		}
		return contents[0], nil
	}
	if len(r.ahead) == 0 {
		if err := r.fetchAhead(ctx, o); err != nil {
			return nil, err
		}
	}
	content := r.ahead[0]
	r.ahead = r.ahead[1:]
	return content, nil
}

// fetchAhead fills ahead from the position of o on, with nothing where there are zeros.
func (r *Reader) fetchAhead(ctx context.Context, o *open) error {
	n := min(maxAhead, o.below()-o.at)
	var hs []seal.H
	for i := range n {
		if h := o.h(o.at + i); h != (seal.H{}) {
			hs = append(hs, h)
		}
	}
	contents, err := r.f.Fetch(ctx, seal.KindSignature, hs)
	if err != nil {
		return err
	}
	r.ahead = make([][]byte, n)
	for i := range n {
		if o.h(o.at+i) != (seal.H{}) {
			r.ahead[i], contents = contents[0], contents[1:]
		}
	}
	return nil
}
