package fileindex

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/repo/seal"
)

func TestRootComesBack(t *testing.T) {
	for _, r := range []Root{
		{},
		{
			Paths: Tree{H: seal.H{1}, Level: 2, Entries: 4, Bytes: 5}, Inodes: Tree{H: seal.H{2}, Entries: 1},
			Include: []string{"/srv", "", "/srv"}, OS: "linux", Version: "1", Thin: []byte{0, 1, 2}, Dirs: 3,
		},
		{Ahead: Tree{H: seal.H{3}, Entries: 7, Bytes: 8}, AheadInodes: Tree{H: seal.H{4}, Level: 1, Entries: 9}},
	} {
		s := newStore()
		h, err := r.Save(t.Context(), testHasher(), s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := FetchRoot(t.Context(), s, h)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, got); d != "" {
			t.Errorf("root (-want +got):\n%s", d)
		}
		// A sweep goes by what the record lists in clear.
		var want []seal.H
		r.Trees(func(_ seal.Kind, t Tree) { want = append(want, t.H) })
		if d := cmp.Diff(want, s.chunks[h].Refs); d != "" {
			t.Errorf("references (-want +got):\n%s", d)
		}
	}
}
