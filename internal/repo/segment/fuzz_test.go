package segment

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/cespare/xxhash/v2"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// sum makes the checksums of a segment right, as far as it has the parts: no fuzzer finds them.
func sum(b []byte) {
	if len(b) < HeaderSize {
		return
	}
	binary.LittleEndian.PutUint64(b[120:], xxhash.Sum64(b[:120]))
	pages := binary.LittleEndian.Uint64(b[104:])
	if pages < HeaderSize+8 || pages > uint64(len(b)) {
		return
	}
	binary.LittleEndian.PutUint64(b[pages-8:], xxhash.Sum64(b[:pages-8]))
	for page := b[pages:]; len(page) >= PageSize; page = page[PageSize:] {
		binary.LittleEndian.PutUint64(page[PageSize-8:], xxhash.Sum64(page[:PageSize-8]))
	}
}

// Whoever can write into a repository can make checksums that fit: a segment that lies may say
// anything, but it must not bring its reader down.
func FuzzBehindSums(f *testing.F) {
	f.Add(Encode(header, packs, randomRows(100, 3)))
	f.Add(Encode(header, nil, nil))
	f.Add(Encode(merged, mergedPacks, randomRows(100, 3)))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		sum(b)
		s, err := Parse(b)
		if err != nil {
			if k := errs.KindOf(err); k != errs.Corrupt && k != errs.Invalid {
				t.Fatalf("kind %q: %v", k, err)
			}
			return
		}
		var ids []seal.ID
		err = s.All(func(r Row) error {
			if int(r.Pack) >= len(s.Packs) {
				t.Fatalf("row in pack %d of %d", r.Pack, len(s.Packs))
			}
			ids = append(ids, r.ID)
			return nil
		})
		if err != nil && errs.KindOf(err) != errs.Corrupt {
			t.Fatal(err)
		}
		for _, id := range append(ids, seal.ID{}) {
			found, err := s.Find(nil, id)
			if err != nil && errs.KindOf(err) != errs.Corrupt {
				t.Fatal(err)
			}
			for _, r := range found {
				if int(r.Pack) >= len(s.Packs) {
					t.Fatalf("found in pack %d of %d", r.Pack, len(s.Packs))
				}
			}
			_, _, _ = s.Position(id) // an error is fine, a panic is not
		}
		for i := range min(s.Rows(), 200) {
			_, _ = s.At(i) // as above
		}
	})
}
