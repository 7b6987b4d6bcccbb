package seal

import (
	"encoding/binary"

	"keepward/internal/errs"
)

// A bundle whose dead members were taken out keeps its header and thereby its id: the number of
// members has its highest bit set, a bit for each member that is left stands behind the header,
// and then the bytes of these. The record says so too, by the highest bit of its codec, so that
// who has no key knows it. docs/formats/repository.md, "Bundles".
const (
	punchedCount = 1 << 31
	punchedCodec = 1 << 7
)

// Punched tells whether members were taken out.
func (b *Bundle) Punched() bool { return b.held != nil }

// Holds tells whether the bytes of member i are here.
func (b *Bundle) Holds(i int) bool { return b.held == nil || b.held[i/8]>>(i%8)&1 != 0 }

// takeHeld splits the bits off from the members' bytes.
func (b *Bundle) takeHeld(n int) error {
	size := (n + 7) / 8
	if n == 0 || size > len(b.body) || n%8 != 0 && b.body[size-1]>>(n%8) != 0 {
		return errs.New(errs.Corrupt, "bundle.members", "read bundle: it does not say which of its %d members it holds", n)
	}
	b.held, b.body = b.body[:size:size], b.body[size:]
	return nil
}

// Without appends to dst the content of the bundle with those members only that it holds and
// keep wants. Empty ones stay: they cost nothing.
func (b *Bundle) Without(dst []byte, keep func(i int) bool) []byte {
	held := make([]byte, (b.Len()+7)/8)
	for i := range b.Len() {
		if b.Holds(i) && (keep(i) || b.Size(i) == 0) {
			held[i/8] |= 1 << (i % 8)
		}
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(b.Len())|punchedCount)
	dst = append(append(dst, b.header[bundleFixed:]...), held...)
	for i := range b.Len() {
		if held[i/8]>>(i%8)&1 != 0 {
			dst = append(dst, b.Member(i)...)
		}
	}
	return dst
}

// isPunched tells from a content whether it is a bundle without some members.
func isPunched(kind Kind, content []byte) bool {
	return kind == KindBundle && len(content) >= bundleFixed && binary.LittleEndian.Uint32(content)&punchedCount != 0
}

// hash is the H of the bundle: of the header as it was when no member was missing.
func (b *Bundle) hash(hs *Hasher) H {
	var first [bundleFixed]byte
	binary.LittleEndian.PutUint32(first[:], uint32(b.Len()))
	return hs.Hash(KindBundle, first[:], b.header[bundleFixed:])
}
