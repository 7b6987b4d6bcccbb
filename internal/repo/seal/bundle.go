package seal

import (
	"encoding/binary"

	"keepward/internal/errs"
)

// Bundle is several small contents in one chunk. Layout, little-endian:
//
//	0  number of members n, 4 bytes
//	4  n times: H of the member as KindData (32 bytes), length (4 bytes)
//	   the members' bytes, one after the other
//
// The H of a bundle is the keyed hash of its header (all before the members' bytes), so that
// a member can be punched out later under the same id. See docs/formats/repository.md.
type Bundle struct {
	header []byte
	held   []byte // one bit for each member whose bytes are here; nil: all are
	body   []byte
	ends   []int
}

const (
	bundleFixed  = 4
	bundleMember = 36
	// MaxMembers bounds the members of one bundle.
	MaxMembers = 1 << 16
)

// Files below SmallFile share bundles. A bundle closes behind a name whose border hash is 0
// modulo BundleOdds once it holds BundleMin bytes, and before it would pass BundleMax; so
// insertions move few borders. Another writer may choose differently, but shares less.
const (
	SmallFile  = 256 << 10
	BundleMin  = 256 << 10
	BundleMax  = 1 << 20
	BundleOdds = 8
)

// ParseBundle reads a bundle's content, punched or not; it does not check the members' hashes.
func ParseBundle(content []byte) (Bundle, error) {
	if len(content) < bundleFixed {
		return Bundle{}, errs.New(errs.Corrupt, "bundle.short", "read bundle: %d bytes are too few", len(content))
	}
	first := binary.LittleEndian.Uint32(content)
	n := int(first &^ punchedCount)
	hdr := bundleFixed + n*bundleMember
	if n > MaxMembers || hdr > len(content) {
		return Bundle{}, errs.New(errs.Corrupt, "bundle.members", "read bundle: %d members do not fit into %d bytes", n, len(content))
	}
	b := Bundle{header: content[:hdr:hdr], body: content[hdr:], ends: make([]int, n)}
	if first&punchedCount != 0 {
		if err := b.takeHeld(n); err != nil {
			return Bundle{}, err
		}
	}
	end := 0
	for i := range n {
		if b.Holds(i) {
			end += b.Size(i)
		}
		if end > len(b.body) {
			return Bundle{}, errs.New(errs.Corrupt, "bundle.members", "read bundle: member %d ends past its %d bytes", i, len(b.body))
		}
		b.ends[i] = end
	}
	if end != len(b.body) {
		return Bundle{}, errs.New(errs.Corrupt, "bundle.members", "read bundle: members hold %d of %d bytes", end, len(b.body))
	}
	return b, nil
}

// Len is the number of members.
func (b *Bundle) Len() int { return len(b.ends) }

// Member is the content of member i; it shares the bundle's memory. It is nil if the member was
// taken out: ask Holds.
func (b *Bundle) Member(i int) []byte {
	if !b.Holds(i) {
		return nil
	}
	start := 0
	if i > 0 {
		start = b.ends[i-1]
	}
	return b.body[start:b.ends[i]:b.ends[i]]
}

// Size is the length of member i, be it here or not.
func (b *Bundle) Size(i int) int {
	return int(binary.LittleEndian.Uint32(b.header[bundleFixed+i*bundleMember+32:]))
}

// Hash is the H of member i.
func (b *Bundle) Hash(i int) H {
	off := bundleFixed + i*bundleMember
	return H(b.header[off : off+32])
}

// BundleWriter collects members. The zero value is ready; Reset makes it so again.
type BundleWriter struct {
	hashes []H
	sizes  []int
	body   []byte
	out    []byte
}

// Reset forgets all members and keeps the memory.
func (w *BundleWriter) Reset() { w.hashes, w.sizes, w.body = w.hashes[:0], w.sizes[:0], w.body[:0] }

// Add appends a member and answers its number.
func (w *BundleWriter) Add(hs *Hasher, content []byte) int {
	w.hashes = append(w.hashes, hs.Hash(KindData, content))
	w.sizes = append(w.sizes, len(content))
	w.body = append(w.body, content...)
	return len(w.sizes) - 1
}

// Len is the number of members so far; Size their bytes.
func (w *BundleWriter) Len() int { return len(w.sizes) }

// Size is the members' bytes so far.
func (w *BundleWriter) Size() int { return len(w.body) }

// Finish answers the bundle's content and H. The content is valid until the next call.
func (w *BundleWriter) Finish(hs *Hasher) ([]byte, H) {
	w.out = binary.LittleEndian.AppendUint32(w.out[:0], uint32(len(w.sizes)))
	for i := range w.sizes {
		w.out = append(w.out, w.hashes[i][:]...)
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(w.sizes[i]))
	}
	h := hs.Hash(KindBundle, w.out)
	w.out = append(w.out, w.body...)
	return w.out, h
}
