package fileindex

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/repo/seal"
)

func TestPartsOfExtentsNameTheirBytes(t *testing.T) {
	chunk := Extent{Kind: InChunk, H: seal.H{1}, Offset: 100, Len: 50}
	member := Extent{Kind: InBundle, H: seal.H{2}, Member: 3, Len: 50}
	hole := Extent{Kind: Hole, Len: 50}
	for _, tc := range []struct {
		name         string
		of           Extent
		from, length int64
		want         Extent
		ok           bool
	}{
		{"whole chunk", chunk, 0, 50, chunk, true},
		{"inside a chunk", chunk, 10, 20, Extent{Kind: InChunk, H: seal.H{1}, Offset: 110, Len: 20}, true},
		{"past the end", chunk, 40, 20, Extent{}, false},
		{"before the start", chunk, -1, 20, Extent{}, false},
		{"nothing", chunk, 10, 0, Extent{}, false},
		{"whole member", member, 0, 50, member, true},
		{"part of a member", member, 0, 49, Extent{}, false},
		{"hole", hole, 49, 1, Extent{Kind: Hole, Len: 1}, true},
	} {
		got, ok := tc.of.Part(tc.from, tc.length)
		if ok != tc.ok || got != tc.want {
			t.Errorf("%s: %+v, %v; want %+v, %v", tc.name, got, ok, tc.want, tc.ok)
		}
	}
}

func TestExtentsJoinOnlyWhereOneCanNameBoth(t *testing.T) {
	chunk := func(h byte, offset uint32, length int64) Extent {
		return Extent{Kind: InChunk, H: seal.H{h}, Offset: offset, Len: length}
	}
	for _, tc := range []struct {
		name string
		x, y Extent
		want Extent // zero: they do not join
	}{
		{"neighbours in a chunk", chunk(1, 0, 10), chunk(1, 10, 5), chunk(1, 0, 15)},
		{"a gap in a chunk", chunk(1, 0, 10), chunk(1, 11, 5), Extent{}},
		{"two chunks", chunk(1, 0, 10), chunk(2, 10, 5), Extent{}},
		{"holes", Extent{Kind: Hole, Len: 1}, Extent{Kind: Hole, Len: 2}, Extent{Kind: Hole, Len: 3}},
		{"hole and zeros", Extent{Kind: Hole, Len: 1}, Extent{Kind: Zeros, Len: 2}, Extent{}},
		{"members", Extent{Kind: InBundle, Len: 1}, Extent{Kind: InBundle, Member: 1, Len: 2}, Extent{}},
	} {
		before := tc.x
		joined := tc.x.Append(&tc.y)
		if want := tc.want; joined != (want != Extent{}) || joined && tc.x != want || !joined && tc.x != before {
			t.Errorf("%s: %v, %s", tc.name, joined, cmp.Diff(want, tc.x))
		}
	}
}
