package changes

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/repo/fileindex"
)

func build(t testing.TB, view View, cs ...Change) *Set {
	t.Helper()
	b := newBuilder(&view)
	defer b.close()
	for i := range cs {
		if err := b.add(&cs[i]); err != nil {
			t.Fatal(err)
		}
	}
	s, err := b.finish()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func all(t testing.TB, s *Set) (out []Change) {
	t.Helper()
	for c := s.Cursor(); ; {
		x, err := c.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
}

func TestSetJoinsWhatIsSaidOfAPath(t *testing.T) {
	p := func(s string) []byte { return []byte(s) }
	s := build(t, View{Prefix: p("srv")},
		Change{Path: p("b"), What: Metadata, Inode: 7},
		Change{Path: p("b"), What: Content, Known: true, Extents: []Extent{{8192, 100}}},
		Change{Path: p("b"), What: Content, Known: true, Extents: []Extent{{0, 4096}, {8000, 192}}, Inode: 7},
		Change{Path: p("c"), What: Content, Known: true, Extents: []Extent{{0, 1}}},
		Change{Path: p("c"), What: Content},
		Change{Path: p("d/x"), What: Content},
		Change{Path: p("d"), What: Subtree},
		Change{Path: p("d!"), What: Metadata},
		Change{What: Listing},
	)
	want := []Change{
		{Path: p("srv"), What: Listing},
		{Path: p("srv/b"), What: Metadata | Content, Inode: 7, Known: true, Extents: []Extent{{0, 4096}, {8000, 292}}},
		{Path: p("srv/c"), What: Content},
		{Path: p("srv/d"), What: Subtree | everything},
		{Path: p("srv/d!"), What: Metadata},
	}
	if d := cmp.Diff(want, all(t, s)); d != "" {
		t.Error(d)
	}
	if s.Count != 5 {
		t.Errorf("%d counted", s.Count)
	}
}

func TestCursorTellsWhatIsBelow(t *testing.T) {
	s := build(t, View{},
		Change{Path: []byte("a/b/c"), What: Content}, Change{Path: []byte("d"), What: Subtree}, Change{Path: []byte("f"), What: Metadata})
	c := s.Cursor()
	for _, l := range []struct {
		path  string
		what  What
		below bool
	}{
		{"", 0, true},
		{"", 0, true},
		{"a", 0, true},
		{"a/a", 0, false},
		{"a/b", 0, true},
		{"a/b/c", Content, false},
		{"a/b/c", Content, false},
		{"a/z", 0, false},
		{"a!", 0, false},
		{"d", Subtree | everything, true},
		{"d/x", Subtree | everything, true},
		{"d/x/y", Subtree | everything, true},
		{"d!", 0, false},
		{"e", 0, false},
		{"g", 0, false},
	} {
		got, below, err := c.Look([]byte(l.path))
		if err != nil || got.What != l.what || below != l.below || string(got.Path) != l.path {
			t.Errorf("%q: %s, below %v, %v; want %s, %v", l.path, got.What, below, err, l.what, l.below)
		}
	}
	if got, below, err := Doubt(Rebooted).Cursor().Look([]byte("x")); err != nil || got.What&Subtree == 0 || !below {
		t.Errorf("in doubt: %s, %v, %v", got.What, below, err)
	}
}

// A set of any size takes little memory, and says the same.
func TestSetSpills(t *testing.T) {
	var cs []Change
	for i := range 20000 {
		cs = append(cs, Change{Path: fmt.Appendf(nil, "d%d/f%d", i%97, i), What: Content | Metadata, Inode: uint64(i)})
	}
	big := build(t, View{Memory: 64 << 20}, cs...)
	small := build(t, View{Memory: 32 << 10, Scratch: t.TempDir()}, cs...)
	if big.file != nil || small.file == nil || len(small.memory) > 0 {
		t.Fatal("the wrong one is on disk")
	}
	a, b := all(t, big), all(t, small)
	if d := cmp.Diff(a, b); d != "" || len(a) != len(cs) {
		t.Errorf("%d changes, %s", len(a), d)
	}
	if !slices.IsSortedFunc(a, func(x, y Change) int { return fileindex.ComparePaths(x.Path, y.Path) }) {
		t.Error("not in the order of the index")
	}
}

func TestManyExtentsAreJoinedNotLost(t *testing.T) {
	var es []Extent
	for i := range int64(3 * maxExtents) {
		es = addExtent(es, Extent{i * 1 << 20, 4096})
	}
	if len(es) > maxExtents {
		t.Fatalf("%d extents", len(es))
	}
	es = normal(es)
	at := 0
	for i := range int64(3 * maxExtents) {
		for es[at].end() < i*1<<20+4096 {
			at++
		}
		if es[at].Offset > i*1<<20 {
			t.Fatalf("page %d is lost", i)
		}
	}
	if got := normal([]Extent{{5, math.MaxInt64 - 2}, {0, 6}, {100, 1}}); !slices.Equal(got, []Extent{{0, math.MaxInt64}}) {
		t.Error(got)
	}
}

func FuzzChange(f *testing.F) {
	f.Add(encodeChange(nil, []byte("a\x00b"), &Change{What: Content, Inode: 5, Known: true, Extents: []Extent{{1, 2}, {10, 20}}}))
	f.Add(encodeChange(nil, nil, &Change{What: Listing}))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeChange(b)
		if err != nil {
			return
		}
		again, err := decodeChange(encodeChange(nil, c.Path, &c))
		if err != nil || cmp.Diff(c, again) != "" {
			t.Fatalf("%v: %v, %v", c, again, err)
		}
	})
}
