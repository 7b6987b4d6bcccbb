package seal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/cespare/xxhash/v2"

	"keepward/internal/errs"
)

// Kind is what a chunk holds. The numbers are format.
type Kind uint8

// The kinds. Data and Bundle live in data packs, all others in metadata packs.
const (
	KindData      Kind = 1 // a piece of one file
	KindBundle    Kind = 2 // several small files; see docs/formats/repository.md, "Bundles"
	KindNode      Kind = 3 // a node of the path tree
	KindMap       Kind = 4 // a node of a content map
	KindInode     Kind = 5 // a node of the inode table
	KindSignature Kind = 6 // hashes per 16 KiB of a large file rewritten in place
	KindRoot      Kind = 7 // what a restore point points to
)

// Meta tells whether chunks of this kind go to metadata packs.
func (k Kind) Meta() bool { return k >= KindNode }

// Valid tells whether the kind is one this version knows.
func (k Kind) Valid() bool { return k >= KindData && k <= KindRoot }

func (k Kind) String() string {
	switch k {
	case KindData:
		return "data"
	case KindBundle:
		return "bundle"
	case KindNode:
		return "node"
	case KindMap:
		return "map"
	case KindInode:
		return "inode"
	case KindSignature:
		return "signature"
	case KindRoot:
		return "root"
	}
	return "unknown"
}

// Codec is how a chunk's content was compressed before it was sealed. The numbers are format.
type Codec uint8

// The codecs.
const (
	CodecRaw  Codec = 0
	CodecS2   Codec = 1 // S2 block format
	CodecZstd Codec = 2 // one zstd frame
)

// Record layout, little-endian; see docs/formats/repository.md, "Records".
//
//	0  "KWR1"           28 id, 32 bytes
//	4  kind, codec      60 nonce, 12 bytes
//	6  key epoch        72 CRC-32C of bytes 0 to 71
//	8  domain           76 ids referred to, 32 bytes each
//	12 raw length          sealed bytes, the 16-byte tag at their end
//	16 sealed length       XXH64 of all before
//	20 ids referred to
//	24 dictionary (0)
const (
	HeaderSize   = 76
	trailerSize  = 8
	tagSize      = 16
	offID        = 28
	offNonce     = 60
	offHeaderCRC = 72

	// MaxRaw bounds a chunk's content: the largest file chunk is 4 MiB, a bundle's header
	// may add to it.
	MaxRaw = 8 << 20
	// MaxRefs bounds the ids one chunk may refer to.
	MaxRefs = 1 << 17
	// MaxRecord bounds a whole record.
	MaxRecord = HeaderSize + MaxRefs*32 + MaxRaw + 1024 + tagSize + trailerSize
)

var (
	recordMagic = []byte("KWR1")
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
)

// Record is a sealed chunk as it lies in a pack and travels on the wire. Its slices point
// into the bytes it was parsed from.
type Record struct {
	Kind   Kind
	Codec  Codec
	Epoch  uint16
	Domain uint32
	RawLen int
	ID     ID
	// Punched: a bundle of which members were taken out.
	Punched bool
	refs    []byte // 32 bytes each
	raw     []byte // the whole record
	sealed  []byte
}

// Len is the length of the whole record in bytes.
func (r *Record) Len() int { return len(r.raw) }

// Bytes is the whole record.
func (r *Record) Bytes() []byte { return r.raw }

// NumRefs is how many ids the chunk refers to.
func (r *Record) NumRefs() int { return len(r.refs) / 32 }

// Ref is the i-th id the chunk refers to.
func (r *Record) Ref(i int) ID { return ID(r.refs[i*32 : i*32+32]) }

// HeaderLen reads a record's header alone and answers the length of the whole record, so
// that a reader knows how much to fetch. b must hold HeaderSize bytes.
func HeaderLen(b []byte) (int, error) {
	if len(b) < HeaderSize {
		return 0, errs.New(errs.Corrupt, "record.short", "read record header: %d bytes of %d", len(b), HeaderSize)
	}
	if !bytes.Equal(b[:4], recordMagic) {
		return 0, errs.New(errs.Corrupt, "record.magic", "read record header: not a record")
	}
	if crc32.Checksum(b[:offHeaderCRC], castagnoli) != binary.LittleEndian.Uint32(b[offHeaderCRC:]) {
		return 0, errs.New(errs.Corrupt, "record.header", "read record header: checksum differs")
	}
	kind, raw := Kind(b[4]), binary.LittleEndian.Uint32(b[12:])
	sealed, refs := binary.LittleEndian.Uint32(b[16:]), binary.LittleEndian.Uint32(b[20:])
	switch {
	case !kind.Valid():
		return 0, errs.New(errs.Corrupt, "record.kind", "read record header: kind %d is unknown", kind)
	case b[5]&punchedCodec != 0 && kind != KindBundle:
		return 0, errs.New(errs.Corrupt, "record.kind", "read record header: members are missing from a %s", kind)
	case raw > MaxRaw || refs > MaxRefs || sealed < tagSize || sealed > MaxRaw+1024:
		return 0, errs.New(errs.Corrupt, "record.length", "read record header: lengths out of bounds (raw %d, sealed %d, ids %d)", raw, sealed, refs)
	}
	return HeaderSize + int(refs)*32 + int(sealed) + trailerSize, nil
}

// ParseRecord reads the record at the start of b and checks its lengths and its checksum;
// no key is needed. Bytes after the record are ignored.
func ParseRecord(b []byte) (Record, error) {
	n, err := HeaderLen(b)
	if err != nil {
		return Record{}, err
	}
	if len(b) < n {
		return Record{}, errs.New(errs.Corrupt, "record.short", "read record: %d bytes of %d", len(b), n)
	}
	b = b[:n:n]
	if xxhash.Sum64(b[:n-trailerSize]) != binary.LittleEndian.Uint64(b[n-trailerSize:]) {
		return Record{}, errs.New(errs.Corrupt, "record.checksum", "read record %s: checksum differs", ID(b[offID:offNonce]))
	}
	refs := int(binary.LittleEndian.Uint32(b[20:])) * 32
	return Record{
		Kind:    Kind(b[4]),
		Codec:   Codec(b[5] &^ punchedCodec),
		Epoch:   binary.LittleEndian.Uint16(b[6:]),
		Domain:  binary.LittleEndian.Uint32(b[8:]),
		RawLen:  int(binary.LittleEndian.Uint32(b[12:])),
		ID:      ID(b[offID:offNonce]),
		Punched: b[5]&punchedCodec != 0,
		refs:    b[HeaderSize : HeaderSize+refs],
		raw:     b,
		sealed:  b[HeaderSize+refs : n-trailerSize],
	}, nil
}

// RawLength is the length of a record's content as its header tells it; 0 of what is no record.
func RawLength(record []byte) int {
	if len(record) < HeaderSize {
		return 0
	}
	return int(binary.LittleEndian.Uint32(record[12:]))
}
