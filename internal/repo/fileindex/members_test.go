package fileindex

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/tlv"
)

// leaf is the only node of a tree of these entries.
func leaf(t *testing.T, entries ...*Entry) []byte {
	t.Helper()
	s := newStore()
	b := NewBuilder(seal.KindNode, testHasher(), s)
	for _, e := range entries {
		if err := b.Add(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	top, err := b.Finish(t.Context())
	if err != nil || top.Level != 0 {
		t.Fatalf("level %d, %v", top.Level, err)
	}
	return s.chunks[top.H].Content
}

func TestALeafTellsWhichMembersItsFilesNeed(t *testing.T) {
	in := func(h byte, member uint32, length int64) Extent {
		return Extent{Kind: InBundle, H: seal.H{h}, Member: member, Len: length}
	}
	content := leaf(
		t,
		&Entry{Path: []byte("a"), Type: File, Extents: []Extent{in(1, 3, 10)}, Signature: &seal.H{9}},
		&Entry{Path: []byte("b"), Type: File, Extents: []Extent{{Kind: InChunk, H: seal.H{2}, Len: 5}, in(1, 0, 20), {Kind: Hole, Len: 7}}},
		&Entry{Path: []byte("c"), Type: File, Streams: []Stream{{Name: []byte("s"), Extents: []Extent{in(3, 7, 30)}}}},
		&Entry{Path: []byte("d"), Type: File, Map: Tree{H: seal.H{4}, Entries: 20}},
	)
	var got []Member
	if err := Members(seal.KindNode, content, func(m Member) { got = append(got, m) }); err != nil {
		t.Fatal(err)
	}
	want := []Member{{seal.H{1}, 3, 10}, {seal.H{1}, 0, 20}, {seal.H{3}, 7, 30}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

// A later version may name members in fields that this one does not know.
func TestALeafOfALaterVersionMayNeedOtherMembers(t *testing.T) {
	content := leaf(t, &Entry{Path: []byte("a"), Type: File, Unknown: tlv.Uint(nil, lastField+3, 5)})
	err := Members(seal.KindNode, content, func(Member) {})
	if errs.CodeOf(err) != "node.fields" {
		t.Fatal(err)
	}
}
