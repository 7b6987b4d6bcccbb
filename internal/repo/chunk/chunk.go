// Package chunk cuts content where the content says so, so that an insertion moves only the
// cuts near it. Its cut points are format: docs/formats/repository.md, "Chunker", has the
// algorithm, vector_test.go its vectors.
//
// The algorithm is FastCDC with normalised chunking (Xia et al., USENIX ATC 2016 and TPDS
// 2020): a gear hash over a table that only holders of the chunker key know, a stricter mask
// before the normal size and a looser one behind it. Masks take the hash's top bits, which
// the most bytes have moved.
//
// A Chunker is immutable and may be shared.
package chunk

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/blake3"

	"keepward/internal/repo/seal"
)

// Sizes of chunks in bytes. With the masks below the average measured on
// random data is 1.0 MiB (the test measures it).
const (
	Min    = 512 << 10
	Normal = 800 << 10
	Max    = 4 << 20
)

const (
	bitsBefore = 22 // until Normal: one cut in 4 MiB
	bitsBehind = 18 // from Normal on: one cut in 256 KiB
)

// Chunker finds cut points.
type Chunker struct {
	gear [256]uint64
}

// New makes the chunker of a domain: its table is the first 2048 bytes of the BLAKE3 output
// stream keyed with the chunker key over the text below, as little-endian numbers.
func New(key seal.Secret) *Chunker {
	h, err := blake3.NewKeyed(key[:])
	if err != nil {
		panic(fmt.Sprintf("blake3 key: %v", err)) // the length is in the type
	}
	_, _ = h.WriteString("keepward gear table 1")
	var b [2048]byte
	_, _ = h.Digest().Read(b[:])
	c := &Chunker{}
	for i := range c.gear {
		c.gear[i] = binary.LittleEndian.Uint64(b[i*8:])
	}
	return c
}

const (
	strict = uint64(1<<bitsBefore-1) << (64 - bitsBefore)
	loose  = uint64(1<<bitsBehind-1) << (64 - bitsBehind)
)

// Cut answers the length of the chunk at the start of data. Unless data is the rest of the
// file, it must hold at least Max bytes.
func (c *Chunker) Cut(data []byte) int {
	var s Search
	n, _ := c.Resume(&s, data)
	return n
}

// Search is how far the end of one chunk was looked for in data that comes piece by piece.
// The zero value begins a chunk.
type Search struct {
	at   int
	hash uint64
}

// Resume looks on for the end of the chunk at the start of data, in what was not looked at
// before, and answers its length. False: more data would make it longer.
func (c *Chunker) Resume(s *Search, data []byte) (int, bool) {
	n := min(len(data), Max)
	if n <= Min {
		return n, false
	}
	if s.at == 0 {
		// The hash holds the last 64 bytes; begin so that it is full at Min.
		for _, b := range data[Min-64 : Min] {
			s.hash = s.hash<<1 + c.gear[b]
		}
		s.at = Min
	}
	for _, part := range [...]struct {
		end  int
		mask uint64
	}{{min(n, Normal), strict}, {n, loose}} {
		if s.at >= part.end {
			continue
		}
		took, cut := c.scan(data[s.at:part.end], &s.hash, part.mask)
		if s.at += took; cut {
			return s.at, true
		}
	}
	return n, n == Max
}

// scan rolls the hash over data until the bits of mask are all zero, and answers how many
// bytes it took, the cutting byte among them.
func (c *Chunker) scan(data []byte, hash *uint64, mask uint64) (int, bool) {
	h, i := *hash, 0
	// Byte by byte each hash waits for the one before. What four bytes add is known without
	// the hash before them, so only of every fourth one the next ones wait.
	for ; i+8 <= len(data); i += 8 {
		d := data[i : i+8 : i+8]
		s0 := c.gear[d[0]]
		s1 := s0<<1 + c.gear[d[1]]
		s2 := s1<<1 + c.gear[d[2]]
		s3 := s2<<1 + c.gear[d[3]]
		if (h<<1+s0)&mask == 0 {
			return i + 1, true
		}
		if (h<<2+s1)&mask == 0 {
			return i + 2, true
		}
		if (h<<3+s2)&mask == 0 {
			return i + 3, true
		}
		h = h<<4 + s3
		if h&mask == 0 {
			return i + 4, true
		}
		s0 = c.gear[d[4]]
		s1 = s0<<1 + c.gear[d[5]]
		s2 = s1<<1 + c.gear[d[6]]
		s3 = s2<<1 + c.gear[d[7]]
		if (h<<1+s0)&mask == 0 {
			return i + 5, true
		}
		if (h<<2+s1)&mask == 0 {
			return i + 6, true
		}
		if (h<<3+s2)&mask == 0 {
			return i + 7, true
		}
		h = h<<4 + s3
		if h&mask == 0 {
			return i + 8, true
		}
	}
	for ; i < len(data); i++ {
		h = h<<1 + c.gear[data[i]]
		if h&mask == 0 {
			return i + 1, true
		}
	}
	*hash = h
	return i, false
}
