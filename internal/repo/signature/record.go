package signature

import (
	"encoding/binary"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// A signature is a tree of records. A leaf has the hashes of leafBlocks blocks, an inner
// record the hashes of up to fan records below it; so the size of the file says where each
// stands. All of it is format.
//
//	0  version (1), level (0: leaf)
//	2  uvarint: bytes of the file this record covers
//	   leaf: 8 bytes for each block; inner: h of each record below, 32 bytes, or zeros where
//	   all below is zeros
const (
	version    = 1
	leafBlocks = 4096
	fan        = 1024
	maxLevel   = 4 // covers more than a file can have
)

// span is how many bytes of a file a full record of a level covers.
func span(level int) int64 {
	if level == maxLevel {
		return 1<<63 - 1
	}
	return leafBlocks * Block << (10 * level)
}

// parts is how many pieces of so many bytes make up size.
func parts(size, of int64) int64 {
	n := size / of
	if size%of > 0 {
		n++
	}
	return n
}

func header(level int, size int64) []byte {
	return binary.AppendUvarint([]byte{version, byte(level)}, uint64(size))
}

// record is one that was read; body is what follows its header.
type record struct {
	level int
	size  int64
	body  []byte
}

func parse(content []byte) (record, error) {
	if len(content) < 2 || content[0] != version || content[1] > maxLevel {
		return record{}, damaged("it is none of version %d", version)
	}
	size, n := binary.Uvarint(content[2:])
	r := record{level: int(content[1]), size: int64(size)}
	if n <= 0 || r.size <= 0 || r.size > span(r.level) {
		return record{}, damaged("it covers %d bytes at level %d", r.size, r.level)
	}
	r.body = content[2+n:]
	width, below := int64(8), int64(Block)
	if r.level > 0 {
		width, below = 32, span(r.level-1)
	}
	if want := parts(r.size, below); int64(len(r.body)) != want*width {
		return record{}, damaged("%d bytes where %d hashes are due", len(r.body), want)
	}
	return r, nil
}

func damaged(format string, args ...any) error {
	return errs.New(errs.Corrupt, "signature.damaged", "read signature: "+format, args...)
}

// Refs are the records that one refers to.
func Refs(content []byte) ([]seal.H, error) {
	r, err := parse(content)
	if err != nil || r.level == 0 {
		return nil, err
	}
	var hs []seal.H
	for b := r.body; len(b) > 0; b = b[32:] {
		if h := seal.H(b[:32]); h != (seal.H{}) {
			hs = append(hs, h)
		}
	}
	return hs, nil
}
