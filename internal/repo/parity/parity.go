// Package parity is the format of parity objects: blocks by which the damaged bytes of one pack
// can be made anew. It is docs/formats/repository-layout.md, "Parity".
//
// It encodes and decodes; it does not know where packs are kept, nor whether what it makes is
// the chunk that somebody wants: who asks for it compares. Encode and Open are functions of their
// arguments; a Mender belongs to one goroutine.
package parity

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/reedsolomon"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
)

// Sizes and bounds. All but the percentages are format.
const (
	// Block is what is found damaged, and made anew, as one: a sector of most disks.
	Block      = 4096
	headerSize = 64
	version    = 1
	// maxData pieces of a pack are coded together: with a quarter of parity the code, which is
	// over bytes, has room for no more.
	maxData = 200
	// MaxPack bounds the packs that get parity, and so the memory: a full pack has 64 MiB and
	// at most one more chunk.
	MaxPack = 128 << 20
	// MinPercent and MaxPercent bound the parity that may be asked for.
	MinPercent = 1
	MaxPercent = 25
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is the start of a parity object, and its end.
//
//	0  "KWPY"                 24 attempt, 16 bytes    48 size of the pack, 8 bytes
//	4  version, 2 bytes       40 number, 4 bytes      56 0, 4 bytes
//	6  class                  44 0, 4 bytes           60 CRC-32C of bytes 0 to 59
//	7  percent                8  repository id, 16 bytes
type Header struct {
	RepositoryID [16]byte
	Pack         pack.Key
	Percent      int
	Size         int64 // of the pack
}

func (h Header) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, "KWPY")
	binary.LittleEndian.PutUint16(b[4:], version)
	b[6], b[7] = byte(h.Pack.Class), byte(h.Percent)
	copy(b[8:], h.RepositoryID[:])
	copy(b[24:], h.Pack.Attempt[:])
	binary.LittleEndian.PutUint32(b[40:], h.Pack.Number)
	binary.LittleEndian.PutUint64(b[48:], uint64(h.Size))
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

func parseHeader(b []byte) (h Header, err error) {
	if len(b) != headerSize || !bytes.Equal(b[:4], []byte("KWPY")) {
		return h, corrupt("header", "it is none")
	}
	if crc32.Checksum(b[:60], castagnoli) != binary.LittleEndian.Uint32(b[60:]) {
		return h, corrupt("header", "checksum of its header differs")
	}
	if v := binary.LittleEndian.Uint16(b[4:]); v != version {
		return h, errs.New(errs.Invalid, "parity.version", "read parity: version %d is newer than this Keepward knows", v).WithHint("update Keepward")
	}
	h = Header{
		RepositoryID: [16]byte(b[8:24]),
		Pack:         pack.Key{Attempt: point.Attempt(b[24:40]), Class: pack.Class(b[6]), Number: binary.LittleEndian.Uint32(b[40:])},
		Percent:      int(b[7]),
		Size:         int64(binary.LittleEndian.Uint64(b[48:])),
	}
	return h, h.check()
}

func (h Header) check() error {
	if h.Pack.Class != pack.Data && h.Pack.Class != pack.Meta {
		return corrupt("header", "class %d is unknown", h.Pack.Class)
	}
	if h.Percent < MinPercent || h.Percent > MaxPercent || h.Size <= 0 || h.Size > MaxPack {
		return corrupt("header", "%d percent of a pack of %d bytes is out of bounds", h.Percent, h.Size)
	}
	return nil
}

func corrupt(code, format string, args ...any) error {
	return errs.New(errs.Corrupt, "parity."+code, "read parity: "+format, args...)
}

// layout says how the blocks of a pack lie. The pack is cut into pieces of rows blocks, one after
// the other; a row is the block of that number of every piece. Each row is coded for itself, so
// that what lies together on a disk is spread over many rows.
type layout struct {
	blocks int // of the pack; those beyond are zeros
	rows   int
	data   int // pieces of the pack
	parity int // pieces of parity
}

func layoutOf(h Header) layout {
	l := layout{blocks: int((h.Size + Block - 1) / Block)}
	l.rows = (l.blocks + maxData - 1) / maxData
	l.data = (l.blocks + l.rows - 1) / l.rows
	l.parity = max((l.data*h.Percent+99)/100, 1)
	return l
}

// tableSize: a CRC-32C of each block of the pack and of the parity, and XXH64 of header and these.
func (l layout) tableSize() int64 { return 4*int64(l.blocks+l.parity*l.rows) + 8 }

// parityAt is where a block of parity lies in the object.
func (l layout) parityAt(piece, row int) int64 {
	return headerSize + l.tableSize() + int64(piece*l.rows+row)*Block
}

func (l layout) backTable() int64 { return l.parityAt(l.parity, 0) }

func (l layout) size() int64 { return l.backTable() + l.tableSize() + headerSize }

// Size is how large the parity object of a pack is.
func Size(h Header) int64 { return layoutOf(h).size() }

// coders are kept, since making one inverts nothing but still fills tables.
var coders sync.Map // [2]int{data, parity}: reedsolomon.Encoder

func (l layout) coder() (reedsolomon.Encoder, error) {
	key := [2]int{l.data, l.parity}
	if c, ok := coders.Load(key); ok {
		return c.(reedsolomon.Encoder), nil
	}
	// One goroutine: whoever calls decides how much of the processors this may have.
	c, err := reedsolomon.New(l.data, l.parity, reedsolomon.WithCauchyMatrix(), reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		return nil, errs.New(errs.Internal, "", "make a code of %d and %d pieces: %w", l.data, l.parity, err)
	}
	coders.Store(key, c)
	return c, nil
}

// stretch is how much of a piece is coded at once: with its share of the parity it stays in the
// cache of a processor.
const stretch = 8 * Block

// Encode makes the parity object of a pack, which it reads once from its beginning to its end.
// It needs memory for the object and little more.
func Encode(h Header, from io.Reader) ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, errs.New(errs.Invalid, "parity.bounds", "make parity: %w", err)
	}
	l := layoutOf(h)
	coder, err := l.coder()
	if err != nil {
		return nil, err
	}
	object := make([]byte, l.size())
	copy(object, h.encode())
	e := encoder{l: l, coder: coder, object: object, table: object[headerSize:][:0:l.tableSize()], from: from, left: h.Size}
	if err := e.run(); err != nil {
		return nil, err
	}
	for i := range l.parity * l.rows {
		e.sum(object[l.parityAt(0, i):][:Block])
	}
	sum := xxhash.New()
	_, _ = sum.Write(object[:headerSize]) // documented never to fail
	_, _ = sum.Write(e.table)
	e.table = binary.LittleEndian.AppendUint64(e.table, sum.Sum64())
	copy(object[l.backTable():], e.table)
	copy(object[l.size()-headerSize:], object[:headerSize])
	return object, nil
}

type encoder struct {
	l      layout
	coder  reedsolomon.Encoder
	object []byte
	table  []byte // grows within object
	from   io.Reader
	left   int64
	block  int // the next one
}

func (e *encoder) sum(block []byte) {
	e.table = binary.LittleEndian.AppendUint32(e.table, crc32.Checksum(block, castagnoli))
}

// run reads the pack and adds each stretch of it to the parity.
func (e *encoder) run() error {
	buf := make([]byte, stretch)
	parity := make([][]byte, e.l.parity)
	pieceSize := e.l.rows * Block
	for piece := range e.l.data {
		for at := 0; at < pieceSize; at += stretch {
			n := min(stretch, pieceSize-at)
			b := buf[:n]
			if err := e.read(b); err != nil {
				return err
			}
			for i := range parity {
				parity[i] = e.object[e.l.parityAt(i, 0)+int64(at):][:n]
			}
			if err := e.coder.EncodeIdx(b, piece, parity); err != nil {
				return errs.New(errs.Internal, "", "make parity: %w", err)
			}
		}
	}
	return nil
}

// read fills b with the next bytes of the pack, and with zeros behind its end.
func (e *encoder) read(b []byte) error {
	n := min(int64(len(b)), e.left)
	if _, err := io.ReadFull(e.from, b[:n]); err != nil {
		return errs.New(errs.KindOf(err), errs.CodeOf(err), "make parity: read the pack: %w", err)
	}
	clear(b[n:])
	e.left -= n
	for ; len(b) > 0 && e.block < e.l.blocks; b = b[Block:] {
		e.sum(b[:Block])
		e.block++
	}
	return nil
}
