package fileindex

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keepward/internal/repo/seal"
)

// host is the files of a computer: what each name is, and the inodes with several names.
type host struct {
	names  map[string]*Entry
	inodes map[uint64]*Entry
}

func newHost(list []*Entry) *host {
	h := &host{names: map[string]*Entry{}, inodes: map[uint64]*Entry{}}
	for _, e := range list {
		h.names[string(e.Path)] = e
	}
	return h
}

// link makes inode e, and names of it.
func (h *host) link(e *Entry, names ...string) {
	h.inodes[e.Inode] = e
	for _, n := range names {
		h.names[n] = &Entry{Path: []byte(n), Type: Link, Device: e.Device, Inode: e.Inode}
	}
}

func (h *host) clone() *host {
	c := &host{names: map[string]*Entry{}, inodes: map[uint64]*Entry{}}
	for n, e := range h.names {
		c.names[n] = e.Clone()
	}
	for n, e := range h.inodes {
		c.inodes[n] = e.Clone()
	}
	return c
}

func (h *host) root(t testing.TB, s *store) Root {
	t.Helper()
	list := slices.Collect(maps.Values(h.names))
	slices.SortFunc(list, func(a, b *Entry) int { return ComparePaths(a.Path, b.Path) })
	r := Root{Paths: build(t, s, list)}
	b := NewBuilder(seal.KindInode, testHasher(), s)
	for _, n := range slices.Sorted(maps.Keys(h.inodes)) {
		e := h.inodes[n]
		if err := b.AddKeyed(t.Context(), InodeKey(e.Device, e.Inode), e); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if r.Inodes, err = b.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// whole is what a name stands for; nil: it is not there.
func (h *host) whole(name string) *Entry {
	e := h.names[name]
	if e != nil && e.Type == Link {
		e = h.inodes[e.Inode].Clone()
		e.Path = []byte(name)
	}
	return e
}

// differences are what Diff says, each as "change path".
func differences(t testing.TB, f Fetcher, a, b Root) []string {
	t.Helper()
	var got []string
	err := Diff(t.Context(), f, a, b, func(c Change, ea, eb *Entry) error {
		if ea == nil {
			ea = eb
		}
		if ea.Type == Link {
			t.Errorf("%s is handed over without its inode", ea.Path)
		}
		got = append(got, string(rune(c))+" "+string(ea.Path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestDiffLooksBehindNames(t *testing.T) {
	inode := func(n uint64, size int64) *Entry {
		return &Entry{Type: File, Mode: 0o644, Size: size, Device: 7, Inode: n, Links: 2, Extents: []Extent{{Kind: InChunk, H: seal.H{byte(size)}, Len: size}}}
	}
	for _, tc := range []struct {
		name string
		edit func(h *host)
		want []string
	}{
		{"nothing", func(*host) {}, nil},
		{"other content", func(h *host) { h.inodes[1].Extents[0].H[0]++ }, []string{"M srv/d000/one", "M srv/d050/uno"}},
		{"other mode", func(h *host) { h.inodes[1].Mode = 0o600 }, []string{"m srv/d000/one", "m srv/d050/uno"}},
		{"other type", func(h *host) { h.inodes[2].Type = Symlink }, []string{"T srv/d001/two", "T srv/d059/zwei"}},
		{"another change time and number of names", func(h *host) { h.inodes[1].CTime.Sec++; h.inodes[1].Links++ }, nil},
		{"other numbers of the inodes", func(h *host) {
			h.link(inode(901, 11), "srv/d000/one", "srv/d050/uno")
			h.link(inode(902, 12), "srv/d001/two", "srv/d059/zwei")
		}, nil},
		{"another inode with another mode", func(h *host) {
			e := inode(901, 11)
			e.Mode = 0o600
			h.link(e, "srv/d000/one", "srv/d050/uno")
		}, []string{"m srv/d000/one", "m srv/d050/uno"}},
		{"one name saved over, one inode left", func(h *host) {
			h.names["srv/d000/one"] = inode(33, 44).Clone()
			h.names["srv/d000/one"].Path = []byte("srv/d000/one")
		}, []string{"M srv/d000/one"}},
		{"a third name", func(h *host) { h.link(h.inodes[1], "srv/d000/three") }, []string{"+ srv/d000/three"}},
		{"a second name of a file that had one", func(h *host) {
			e := file("", 3)
			e.Inode = 77
			h.link(e, "srv/d000/f00003", "srv/d000/g")
		}, []string{"+ srv/d000/g"}},
		{"a name less", func(h *host) { delete(h.names, "srv/d000/one") }, []string{"- srv/d000/one"}},
		{"no several names any more", func(h *host) {
			for _, n := range []string{"srv/d000/one", "srv/d001/two"} {
				h.names[n] = h.whole(n)
			}
			delete(h.names, "srv/d050/uno")
			delete(h.names, "srv/d059/zwei")
			h.inodes = map[uint64]*Entry{}
		}, []string{"- srv/d050/uno", "- srv/d059/zwei"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, h := newStore(), newHost(tree(3000))
			h.link(inode(1, 11), "srv/d000/one", "srv/d050/uno")
			h.link(inode(2, 12), "srv/d001/two", "srv/d059/zwei")
			a := h.root(t, s)
			edited := h.clone()
			tc.edit(edited)
			b := edited.root(t, s)
			if diff := cmp.Diff(tc.want, differences(t, s, a, b)); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever the names and inodes are, Diff says what a comparison of everything would say.
func TestDiffIsAsIfAllWereCompared(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStore()
		a := newHost(tree(rapid.IntRange(1, 1500).Draw(rt, "files")))
		files := slices.DeleteFunc(slices.Sorted(maps.Keys(a.names)), func(n string) bool { return a.names[n].Type != File })
		for i := range rapid.IntRange(0, 12).Draw(rt, "inodes") {
			e := file("", int64(i))
			e.Inode = uint64(1000 + i)
			a.link(e, rapid.SliceOfN(rapid.SampledFrom(files), 1, 4).Draw(rt, "names")...)
		}
		b := a.clone()
		for _, n := range slices.Sorted(maps.Keys(b.inodes)) {
			e := b.inodes[n]
			switch rapid.IntRange(0, 4).Draw(rt, "edit") {
			case 0:
				e.Extents = []Extent{{Kind: Zeros, Len: e.Size}}
			case 1:
				e.Mode ^= 1
			case 2: // another number
				c := e.Clone()
				c.Inode += 5000
				var names []string
				for name, old := range b.names {
					if old.Type == Link && old.Inode == n {
						names = append(names, name)
					}
				}
				b.link(c, names...)
			case 3: // one more name
				b.link(e, rapid.SampledFrom(files).Draw(rt, "name"))
			}
		}
		var want []string
		for _, n := range slices.SortedFunc(maps.Keys(a.names), func(x, y string) int { return ComparePaths([]byte(x), []byte(y)) }) {
			ea, eb := a.whole(n), b.whole(n)
			switch {
			case ea.Size != eb.Size || len(ea.Extents) != len(eb.Extents):
				want = append(want, "M "+n)
			case ea.Mode != eb.Mode || ea.MTime != eb.MTime:
				want = append(want, "m "+n)
			}
		}
		if diff := cmp.Diff(want, differences(t, s, a.root(t, s), b.root(t, s))); diff != "" {
			rt.Errorf("differences (-want +got):\n%s", diff)
		}
	})
}

func TestDiffHandsOverWhatANameStandsFor(t *testing.T) {
	s, a := newStore(), newHost(nil)
	a.link(&Entry{Type: File, Mode: 0o640, UID: 5, Size: 99, Device: 7, Inode: 1}, "gone", "stays")
	b := a.clone()
	delete(b.names, "gone")
	b.inodes[1].Size = 100
	var got []*Entry
	err := Diff(t.Context(), s, a.root(t, s), b.root(t, s), func(_ Change, ea, eb *Entry) error {
		for _, e := range []*Entry{ea, eb} {
			if e != nil {
				got = append(got, e.Clone())
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*Entry{a.whole("gone"), a.whole("stays"), b.whole("stays")}, got, equal); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// A file that could not be read leaves its names without an inode.
func TestDiffTakesNamesWhoseInodeIsMissing(t *testing.T) {
	s, a := newStore(), newHost(tree(10))
	b := a.clone()
	b.link(&Entry{Type: File, Device: 7, Inode: 1}, "lost", "lost too")
	b.inodes = map[uint64]*Entry{}
	var got []string
	err := Diff(t.Context(), s, a.root(t, s), b.root(t, s), func(c Change, _, eb *Entry) error {
		got = append(got, fmt.Sprintf("%c %s %s", c, eb.Path, eb.Type))
		return nil
	})
	if diff := cmp.Diff([]string{"+ lost link", "+ lost too link"}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// counting counts the nodes that are fetched, by kind.
type counting struct {
	*store
	n map[seal.Kind]int
}

func (c counting) Fetch(ctx context.Context, kind seal.Kind, hs []seal.H) ([][]byte, error) {
	c.n[kind] += len(hs)
	return c.store.Fetch(ctx, kind, hs)
}

func TestDiffReadsLittleWhereLittleChanged(t *testing.T) {
	s, h := newStore(), newHost(tree(20_000))
	for i := range uint64(3000) {
		e := file("", int64(i))
		e.Inode = i
		h.link(e, fmt.Sprintf("links/a%04d", i), fmt.Sprintf("links/b%04d", i))
	}
	a := h.root(t, s)
	read := func(edit func()) map[seal.Kind]int {
		t.Helper()
		edit()
		f := counting{s, map[seal.Kind]int{}}
		differences(t, f, a, h.root(t, s))
		return f.n
	}
	if n := read(func() {}); n[seal.KindInode] != 0 || n[seal.KindNode] > 6 {
		t.Errorf("nothing changed: %v were read", n)
	}
	if n := read(func() { h.names["srv/d000/f00000"].Mode = 0o600 }); n[seal.KindInode] != 0 || n[seal.KindNode] > 20 {
		t.Errorf("one file changed: %v were read", n)
	}
	// All names are looked for, once; the table is read where it differs.
	nodes := 0
	for _, c := range s.chunks {
		if c.Kind == seal.KindNode {
			nodes++
		}
	}
	if n := read(func() { h.inodes[1500].Size++ }); n[seal.KindInode] > 20 || n[seal.KindNode] > nodes+40 {
		t.Errorf("one inode changed: %v of %d nodes were read", n, nodes)
	}
}

func TestDiffLooksIntoBundles(t *testing.T) {
	s := newStore()
	bundle := func(members ...string) seal.H {
		var w seal.BundleWriter
		for _, m := range members {
			w.Add(testHasher(), []byte(m))
		}
		content, h := w.Finish(testHasher())
		if err := s.Save(t.Context(), Chunk{Kind: seal.KindBundle, H: h, Content: slices.Clone(content)}); err != nil {
			t.Fatal(err)
		}
		return h
	}
	one, two := bundle("same", "that"), bundle("this", "same")
	point := func(h seal.H, member uint32) Root {
		e := &Entry{Path: []byte("f"), Type: File, Size: 4, Extents: []Extent{{Kind: InBundle, H: h, Member: member, Len: 4}}}
		return newHost([]*Entry{e}).root(t, s)
	}
	chunk := func(bytes string, offset uint32) Root {
		x := Extent{Kind: InChunk, H: testHasher().Hash(seal.KindData, []byte(bytes)), Offset: offset, Len: 4}
		return newHost([]*Entry{{Path: []byte("f"), Type: File, Size: 4, Extents: []Extent{x}}}).root(t, s)
	}
	for _, tc := range []struct {
		name string
		a, b Root
		want []string
	}{
		{"the same bytes in two bundles", point(one, 0), point(two, 1), nil},
		{"other bytes", point(one, 0), point(two, 0), []string{"M f"}},
		{"other bytes of one bundle", point(one, 0), point(one, 1), []string{"M f"}},
		{"the same bytes in a bundle and a chunk", point(one, 0), chunk("same", 0), nil},
		{"the same bytes in a chunk and a bundle", chunk("same", 0), point(two, 1), nil},
		{"other bytes in a chunk", point(one, 0), chunk("that", 0), []string{"M f"}},
		{"a part of a chunk", point(one, 0), chunk("same", 1), []string{"M f"}},
		{"other chunks", chunk("same", 0), chunk("that", 0), []string{"M f"}},
		{"a bundle that is lost", point(one, 0), point(seal.H{9}, 1), []string{"M f"}},
		{"two bundles that are lost", point(seal.H{8}, 0), point(seal.H{9}, 1), []string{"M f"}},
	} {
		if diff := cmp.Diff(tc.want, differences(t, s, tc.a, tc.b)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}
