// Package ledger is the format of the small objects by which writers and sweeps agree on what
// may be deleted: open markers of attempts, lists of packs, and markers of points. It is
// docs/formats/repository-layout.md, "Deletion".
//
// It encodes and parses bytes. It neither reads nor writes a repository, and it decides
// nothing. Values are plain and may be shared once made.
package ledger

import (
	"bytes"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
)

// Every object begins with a magic (4 bytes), its version (2), a variant (1), a zero, the
// repository's id (16) and an attempt (16), and ends with XXH64 of all before.
const (
	version  = 1
	headSize = 40
	sumSize  = 8
)

// head is what all objects have in common.
type head struct {
	variant    byte
	repository [16]byte
	attempt    point.Attempt
}

func begin(magic string, h head) []byte {
	b := append([]byte(magic), version, 0, h.variant, 0)
	b = append(b, h.repository[:]...)
	return append(b, h.attempt[:]...)
}

func end(b []byte) []byte { return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b)) }

// parse checks an object and answers what is behind its head; what names it in errors.
func parse(b []byte, magic, what string) (h head, body []byte, err error) {
	if len(b) < headSize+sumSize || !bytes.Equal(b[:4], []byte(magic)) {
		return h, nil, corrupt("magic", what, "it is none")
	}
	body, sum := b[:len(b)-sumSize], binary.LittleEndian.Uint64(b[len(b)-sumSize:])
	if xxhash.Sum64(body) != sum {
		return h, nil, corrupt("checksum", what, "checksum differs")
	}
	if v := binary.LittleEndian.Uint16(b[4:]); v != version {
		return h, nil, errs.New(errs.Invalid, "ledger.version", "read %s: version %d is newer than this Keepward knows", what, v).WithHint("update Keepward")
	}
	h = head{variant: b[6], repository: [16]byte(b[8:24]), attempt: point.Attempt(b[24:40])}
	return h, body[headSize:], nil
}

func corrupt(code, what, why string) error {
	return errs.New(errs.Corrupt, "ledger."+code, "read %s: %s", what, why)
}
