package fileindex

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// store keeps chunks in memory.
type store struct {
	chunks map[seal.H]Chunk
}

func newStore() *store { return &store{chunks: map[seal.H]Chunk{}} }

func (s *store) Save(_ context.Context, c Chunk) error {
	s.chunks[c.H] = c
	return nil
}

func (s *store) Fetch(_ context.Context, kind seal.Kind, hs []seal.H) ([][]byte, error) {
	out := make([][]byte, len(hs))
	for i, h := range hs {
		c, ok := s.chunks[h]
		if !ok || c.Kind != kind {
			return nil, errs.New(errs.NotFound, "chunk.missing", "fetch chunk: it is not there")
		}
		out[i] = bytes.Clone(c.Content)
	}
	return out, nil
}

func testHasher() *seal.Hasher {
	m := seal.Master{Secret: seal.Secret{1}}
	return m.TaskKeys([16]byte{2}, "web1").NewHasher()
}

func file(path string, size int64) *Entry {
	return &Entry{Path: []byte(path), Type: File, Mode: 0o644, UID: 1000, User: []byte("ann"), Size: size, Inode: uint64(size), Device: 7, Links: 1, MTime: Time{Sec: 1700000000 + size, Nsec: 5}}
}

func build(t testing.TB, s *store, list []*Entry) Tree {
	t.Helper()
	b := NewBuilder(seal.KindNode, testHasher(), s)
	for _, e := range list {
		if err := b.Add(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	tr, err := b.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func read(t testing.TB, s *store, tr Tree) []*Entry {
	t.Helper()
	c := NewCursor(s, seal.KindNode, tr)
	defer c.Close()
	var out []*Entry
	for {
		e, err := c.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Clone())
	}
}

var equal = cmp.Options{cmpopts.EquateEmpty()}

// tree makes n files in directories of 50, sorted as the index sorts.
func tree(n int) []*Entry {
	var list []*Entry
	for i := range n {
		list = append(list, file(fmt.Sprintf("srv/d%03d/f%05d", i/50, i), int64(i)))
		if i%50 == 0 {
			list = append(list, &Entry{Path: fmt.Appendf(nil, "srv/d%03d", i/50), Type: Dir, Mode: 0o755})
		}
	}
	list = append(list, &Entry{Path: nil, Type: Dir}, &Entry{Path: []byte("srv"), Type: Dir})
	slices.SortFunc(list, func(a, b *Entry) int { return ComparePaths(a.Path, b.Path) })
	return list
}

func TestEveryFieldComesBack(t *testing.T) {
	sig := seal.H{9}
	e := &Entry{
		Path: []byte("a/\xff\n/b"), Type: File, Mode: 0o4755, UID: 1 << 40, GID: 3, User: []byte("u"), Group: []byte("g"), Size: 1 << 50,
		MTime: Time{-5, 999999999}, CTime: Time{1 << 40, 1}, BTime: Time{3, 4}, Inode: 1 << 60, Device: 66, Links: 2, RDev: 5, Flags: 0x10,
		Xattrs:  []Xattr{{[]byte("user.empty"), nil}, {[]byte("user.x"), []byte("v\x00w")}},
		Target:  []byte("../t"),
		Extents: []Extent{{InChunk, seal.H{1}, 4096, 0, 10}, {InBundle, seal.H{2}, 0, 17, 20}, {Hole, seal.H{}, 0, 0, 30}, {Zeros, seal.H{}, 0, 0, 40}, {InChunk, seal.H{1}, 0, 0, 1}},
		Map:     Tree{H: seal.H{3}, Level: 1, Entries: 40, Bytes: 50}, Signature: &sig, State: Racy | Incomplete,
		Streams: []Stream{{[]byte("alt"), 7, []Extent{{InChunk, seal.H{4}, 0, 0, 7}}}},
		Unknown: []byte{200, 1, 5}, // field 100, number 5
	}
	s := newStore()
	got := read(t, s, build(t, s, []*Entry{e}))
	if diff := cmp.Diff([]*Entry{e}, got, equal); diff != "" {
		t.Errorf("entry differs (-want +got):\n%s", diff)
	}
	for _, c := range s.chunks {
		if c.Kind == seal.KindNode && len(c.Refs) == 5 {
			return
		}
	}
	t.Error("the leaf does not name the five hashes its entry refers to")
}

func TestTreesReadBackInOrder(t *testing.T) {
	for _, n := range []int{0, 1, 2, 300, 20_000} {
		s, list := newStore(), tree(n)
		tr := build(t, s, list)
		if diff := cmp.Diff(list, read(t, s, tr), equal); diff != "" {
			t.Fatalf("%d files differ (-want +got):\n%s", n, diff)
		}
		if int(tr.Entries) != len(list) {
			t.Errorf("%d files: the tree says %d entries, it has %d", n, tr.Entries, len(list))
		}
	}
}

func TestEqualTreesAreEqualWhateverWasBuiltBefore(t *testing.T) {
	s, list := newStore(), tree(3000)
	a := build(t, s, list)
	before := len(s.chunks)
	// One entry changed: only the nodes from its leaf to the top are new.
	list[1500].Mode = 0o600
	b := build(t, s, list)
	if fresh := len(s.chunks) - before; fresh > int(a.Level)+1 {
		t.Errorf("one changed entry made %d new nodes in a tree of level %d", fresh, a.Level)
	}
	list[1500].Mode = 0o644
	if c := build(t, s, list); c != a || b == a {
		t.Error("the tree does not depend on its entries alone")
	}
}

func TestKeysOutOfOrderAreRefused(t *testing.T) {
	b := NewBuilder(seal.KindNode, testHasher(), newStore())
	if err := b.Add(t.Context(), file("b", 1)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"b", "a"} {
		if err := b.Add(t.Context(), file(p, 1)); err == nil {
			t.Errorf("%q was taken behind \"b\"", p)
		}
	}
}

func TestSnapshotHoldsWhatCameSoFarAndChangesNothing(t *testing.T) {
	s, list := newStore(), tree(2000)
	b := NewBuilder(seal.KindNode, testHasher(), s)
	var half Tree
	for i, e := range list {
		if i == len(list)/2 {
			var err error
			if half, err = b.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Add(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := b.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(list[:len(list)/2], read(t, s, half), equal); diff != "" {
		t.Errorf("snapshot differs:\n%s", diff)
	}
	if whole != build(t, s, list) {
		t.Error("the snapshot changed the tree")
	}
}

func TestLookupAndSeek(t *testing.T) {
	s, list := newStore(), tree(5000)
	c := NewCursor(s, seal.KindNode, build(t, s, list))
	defer c.Close()
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(len(list))[:300] {
		got, err := c.Lookup(t.Context(), PathKey(list[i].Path))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(list[i], got, equal); diff != "" {
			t.Fatalf("lookup %q:\n%s", list[i].Path, diff)
		}
		if i+1 < len(list) {
			if next, err := c.Next(t.Context()); err != nil || !bytes.Equal(next.Path, list[i+1].Path) {
				t.Fatalf("behind %q comes %v, %v", list[i].Path, next, err)
			}
		}
	}
	for _, p := range []string{"nothing", "srv/d000/f00000x", "zz"} {
		if _, err := c.Lookup(t.Context(), PathKey([]byte(p))); errs.KindOf(err) != errs.NotFound {
			t.Errorf("lookup %q: %v", p, err)
		}
	}
}

func TestChildrenAreTheDirectOnesAndPage(t *testing.T) {
	s := newStore()
	var list []*Entry
	for _, p := range []string{"", "a", "a/1", "a/1/x", "a/1/y", "a/1/y/z", "a/1.txt", "a/2", "a!", "b"} {
		list = append(list, &Entry{Path: []byte(p), Type: Dir})
	}
	slices.SortFunc(list, func(a, b *Entry) int { return ComparePaths(a.Path, b.Path) })
	c := NewCursor(s, seal.KindNode, build(t, s, list))
	defer c.Close()
	for _, tc := range []struct{ dir, after, want string }{
		{"", "", "a a! b"},
		{"", "a", "a! b"},
		{"a", "", "a/1 a/1.txt a/2"},
		{"a", "1", "a/1.txt a/2"},
		{"a/1", "", "a/1/x a/1/y"},
		{"b", "", ""},
	} {
		var got []string
		err := c.Children(t.Context(), []byte(tc.dir), []byte(tc.after), func(e *Entry) (bool, error) {
			got = append(got, string(e.Path))
			return true, nil
		})
		if err != nil || strings.Join(got, " ") != tc.want {
			t.Errorf("children of %q behind %q: %q, %v; want %q", tc.dir, tc.after, got, err, tc.want)
		}
	}
}

func TestContentMapGivesExtentsWithOffsets(t *testing.T) {
	s := newStore()
	b := NewBuilder(seal.KindMap, testHasher(), s)
	var want []int64
	offset := int64(0)
	for i := range 3000 {
		x := Extent{Kind: InChunk, H: seal.H{byte(i), byte(i >> 8)}, Len: int64(1000 + i)}
		if err := b.AddExtent(t.Context(), offset, x); err != nil {
			t.Fatal(err)
		}
		want = append(want, offset, x.Len)
		offset += x.Len
	}
	m, err := b.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	err = ForEachExtent(t.Context(), s, &Entry{Type: File, Size: offset, Map: m}, func(o int64, x Extent) error {
		got = append(got, o, x.Len)
		return nil
	})
	if err != nil || !slices.Equal(want, got) || m.Bytes != offset {
		t.Errorf("extents differ (%v), map covers %d of %d bytes", err, m.Bytes, offset)
	}
}

// Diff of random edits says exactly what the edits were, and fetches little where little changed.
func TestDiffFindsExactlyTheEdits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s, list := newStore(), tree(rapid.IntRange(1, 2000).Draw(rt, "files"))
		a := build(t, s, list)
		want := map[string]Change{}
		var edited []*Entry
		edits := rapid.SliceOfNDistinct(rapid.IntRange(0, len(list)-1), 0, 8, rapid.ID[int]).Draw(rt, "edits")
		for i, e := range list {
			c := e.Clone()
			if slices.Contains(edits, i) {
				switch kind := rapid.SampledFrom([]Change{Added, Removed, Content, Metadata, Retyped}).Draw(rt, "kind"); kind {
				case Removed:
					want[string(e.Path)] = kind
					continue
				case Added:
					want[string(e.Path)+"!new"] = kind
					edited = append(edited, c)
					c = file(string(e.Path)+"!new", 1)
				case Content:
					c.Extents = []Extent{{Kind: Zeros, Len: 1}}
					want[string(e.Path)] = kind
				case Metadata:
					c.Mode ^= 1
					want[string(e.Path)] = kind
				case Retyped:
					c.Type = FIFO
					want[string(e.Path)] = kind
				}
			}
			edited = append(edited, c)
		}
		slices.SortFunc(edited, func(a, b *Entry) int { return ComparePaths(a.Path, b.Path) })
		b := build(t, s, edited)
		got := map[string]Change{}
		err := Diff(t.Context(), s, Root{Paths: a}, Root{Paths: b}, func(c Change, ea, eb *Entry) error {
			if ea == nil {
				ea = eb
			}
			got[string(ea.Path)] = c
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("diff differs (-want +got):\n%s", diff)
		}
	})
}

func TestNodeRefsNameEverythingBelow(t *testing.T) {
	s, list := newStore(), tree(3000)
	list[100].Extents = []Extent{{Kind: InChunk, H: seal.H{77}, Len: 1}}
	tr := build(t, s, list)
	kinds := map[seal.Kind]int{}
	var visit func(h seal.H)
	visit = func(h seal.H) {
		err := NodeRefs(seal.KindNode, s.chunks[h].Content, func(k seal.Kind, r seal.H) error {
			kinds[k]++
			if k == seal.KindNode {
				visit(r)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	visit(tr.H)
	if kinds[seal.KindNode] != len(s.chunks)-1 || kinds[seal.KindData] != 1 {
		t.Errorf("references found: %v; the tree has %d nodes below its top", kinds, len(s.chunks)-1)
	}
}

func FuzzNode(f *testing.F) {
	s := newStore()
	build(f, s, tree(400))
	for _, c := range s.chunks {
		f.Add(c.Content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, kind := range []seal.Kind{seal.KindNode, seal.KindMap} {
			_ = NodeRefs(kind, content, func(seal.Kind, seal.H) error { return nil })
		}
		h := seal.H{1}
		fs := newStore()
		fs.chunks[h] = Chunk{Kind: seal.KindNode, Content: content}
		c := NewCursor(fs, seal.KindNode, Tree{H: h, Entries: 1})
		defer c.Close()
		for range 100_000 {
			if _, err := c.Next(context.Background()); err != nil {
				return
			}
		}
	})
}

func FuzzRoot(f *testing.F) {
	s := newStore()
	r := Root{Paths: Tree{H: seal.H{1}, Entries: 4}, Include: []string{"/srv"}, OS: "linux"}
	if _, err := r.Save(f.Context(), testHasher(), s); err != nil {
		f.Fatal(err)
	}
	for _, c := range s.chunks {
		f.Add(c.Content)
	}
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = ParseRoot(b) })
}

func BenchmarkBuild(b *testing.B) {
	list, s := tree(100_000), newStore()
	for b.Loop() {
		build(b, s, list)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(list)), "ns/entry")
}

func BenchmarkRead(b *testing.B) {
	list, s := tree(100_000), newStore()
	tr := build(b, s, list)
	for b.Loop() {
		c := NewCursor(s, seal.KindNode, tr)
		for {
			if _, err := c.Next(b.Context()); err != nil {
				break
			}
		}
		c.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(list)), "ns/entry")
}
