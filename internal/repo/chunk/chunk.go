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
	Min    = 256 << 10
	Normal = 896 << 10
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

// Cut answers the length of the chunk at the start of data. Unless data is the rest of the
// file, it must hold at least Max bytes.
func (c *Chunker) Cut(data []byte) int {
	if len(data) <= Min {
		return len(data)
	}
	n := min(len(data), Max)
	const (
		strict = uint64(1<<bitsBefore-1) << (64 - bitsBefore)
		loose  = uint64(1<<bitsBehind-1) << (64 - bitsBehind)
	)
	// The hash holds the last 64 bytes; begin so that it is full at Min.
	h := uint64(0)
	for _, b := range data[Min-64 : Min] {
		h = h<<1 + c.gear[b]
	}
	i, cut := c.scan(data[Min:min(n, Normal)], &h, strict)
	if cut {
		return Min + i
	}
	if n <= Normal {
		return n
	}
	if i, cut = c.scan(data[Normal:n], &h, loose); cut {
		return Normal + i
	}
	return n
}

// scan rolls the hash over data until the bits of mask are all zero, and answers how many
// bytes it took, the cutting byte among them.
func (c *Chunker) scan(data []byte, hash *uint64, mask uint64) (int, bool) {
	h, i := *hash, 0
	// Byte by byte each hash waits for the one before. What two bytes add is known without
	// the hash before them, so of every second one nobody waits for it: twice the speed.
	for ; i+8 <= len(data); i += 8 {
		d := data[i : i+8 : i+8]
		g := c.gear[d[0]]
		if (h<<1+g)&mask == 0 {
			return i + 1, true
		}
		h = h<<2 + (g<<1 + c.gear[d[1]])
		if h&mask == 0 {
			return i + 2, true
		}
		g = c.gear[d[2]]
		if (h<<1+g)&mask == 0 {
			return i + 3, true
		}
		h = h<<2 + (g<<1 + c.gear[d[3]])
		if h&mask == 0 {
			return i + 4, true
		}
		g = c.gear[d[4]]
		if (h<<1+g)&mask == 0 {
			return i + 5, true
		}
		h = h<<2 + (g<<1 + c.gear[d[5]])
		if h&mask == 0 {
			return i + 6, true
		}
		g = c.gear[d[6]]
		if (h<<1+g)&mask == 0 {
			return i + 7, true
		}
		h = h<<2 + (g<<1 + c.gear[d[7]])
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
