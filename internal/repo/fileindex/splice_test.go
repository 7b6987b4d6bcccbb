package fileindex

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"keepward/internal/repo/seal"
)

// model is the entries of a tree by their keys.
type model map[string]*Entry

func (m model) keys() []string { return slices.Sorted(maps.Keys(m)) }

// build makes the tree of the entries one by one.
func (m model) build(t testing.TB, kind seal.Kind, s Saver) Tree {
	t.Helper()
	b := NewBuilder(kind, testHasher(), s)
	for _, k := range m.keys() {
		if err := b.AddKeyed(t.Context(), []byte(k), m[k]); err != nil {
			t.Fatal(err)
		}
	}
	tr, err := b.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// steps calls keep for the ranges in which two models are the same, and put for what is new or
// changed, in order.
func steps(before, after model, keep func(Range), put func(key string)) {
	all := maps.Clone(before)
	maps.Copy(all, after)
	from := []byte(nil)
	for _, k := range all.keys() {
		if before[k] == after[k] {
			continue
		}
		if k != string(from) {
			keep(Range{From: from, To: []byte(k)})
		}
		if after[k] != nil {
			put(k)
		}
		from = append([]byte(k), 0)
	}
	keep(Range{From: from})
}

// splice makes the tree of after out of that of before.
func splice(t testing.TB, kind seal.Kind, d *Donor, s Saver, before, after model) Tree {
	t.Helper()
	b := NewBuilder(kind, testHasher(), s)
	var part Part
	steps(before, after, func(r Range) {
		p, err := b.Take(t.Context(), d, r)
		if err != nil {
			t.Fatalf("take over %q to %q: %v", r.From, r.To, err)
		}
		part.Entries, part.Bytes = part.Entries+p.Entries, part.Bytes+p.Bytes
	}, func(k string) {
		if err := b.AddKeyed(t.Context(), []byte(k), after[k]); err != nil {
			t.Fatal(err)
		}
	})
	for _, k := range after.keys() {
		if before[k] == after[k] {
			part.Entries--
			if after[k].Type == File {
				part.Bytes -= after[k].Size
			}
		}
	}
	if part != (Part{}) {
		t.Errorf("what was taken over differs from what was counted by %+v", part)
	}
	tr, err := b.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// shape is how a random tree looks.
type shape struct {
	kind       seal.Kind
	n          int
	wide, deep int
	long, fat  bool // long names; large values, so that nodes close because they are full
}

func (sh *shape) key(r *rand.Rand) string {
	if sh.kind == seal.KindInode {
		return string(InodeKey(uint64(r.IntN(2)), uint64(r.IntN(4*sh.n+1))))
	}
	var parts []string
	for range 1 + r.IntN(sh.deep) {
		p := fmt.Sprintf("%c%d", 'a'+r.IntN(3), r.IntN(sh.wide))
		if r.IntN(20) == 0 {
			p += "\x01" // sorts right behind what is below the name without it
		}
		if sh.long {
			p += strings.Repeat("n", r.IntN(250))
		}
		parts = append(parts, p)
	}
	return strings.Join(parts, "\x00")
}

func (sh *shape) entry(r *rand.Rand) *Entry {
	e := &Entry{Type: File, Mode: uint32(r.IntN(512)), Size: r.Int64N(1 << 20), Inode: r.Uint64N(1 << 20), Links: 1}
	switch r.IntN(8) {
	case 0:
		e.Type, e.Size = Dir, 0
	case 1:
		*e = Entry{Type: Link, Inode: r.Uint64N(1 << 20), Device: 1}
	default:
		var h seal.H
		h[0], h[1] = byte(r.IntN(256)), byte(r.IntN(4))
		e.Extents = []Extent{{Kind: InBundle, H: h, Member: uint32(r.IntN(50)), Len: e.Size}}
	}
	if sh.fat && r.IntN(2) == 0 {
		v := make([]byte, 20000+r.IntN(30000))
		for i := range v {
			v[i] = byte(r.IntN(256))
		}
		e.Xattrs = []Xattr{{Name: []byte("user.fat"), Value: v}}
	}
	return e
}

func (sh *shape) model(r *rand.Rand) model {
	m := model{"": {Type: Dir}}
	if sh.kind == seal.KindInode {
		m = model{}
	}
	for range sh.n {
		m[sh.key(r)] = sh.entry(r)
	}
	return m
}

// edit changes k places: entries, or all below a directory.
func (sh *shape) edit(r *rand.Rand, m model, k int) model {
	out := maps.Clone(m)
	keys := m.keys()
	for range k {
		var at string
		if len(keys) > 0 {
			at = keys[r.IntN(len(keys))]
		}
		switch r.IntN(6) {
		case 0:
			delete(out, at)
		case 1: // a subtree
			for key := range out {
				if strings.HasPrefix(key, at+"\x00") {
					delete(out, key)
				}
			}
		case 2:
			out[at] = sh.entry(r)
		case 3:
			out[sh.key(r)] = sh.entry(r)
		case 4: // a run
			for _, key := range keys[len(keys)/2 : min(len(keys), len(keys)/2+r.IntN(40))] {
				delete(out, key)
			}
		case 5: // at the very end
			out["zz"+sh.key(r)] = sh.entry(r)
		}
	}
	return out
}

func TestASplicedTreeIsTheOneThatIsBuilt(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		sh := shape{
			kind: rapid.SampledFrom([]seal.Kind{seal.KindNode, seal.KindNode, seal.KindInode}).Draw(rt, "kind"),
			n:    rapid.SampledFrom([]int{0, 1, 3, 100, 3000, 12000}).Draw(rt, "n"),
			wide: rapid.SampledFrom([]int{2, 30, 100000}).Draw(rt, "wide"), deep: rapid.SampledFrom([]int{1, 3, 12}).Draw(rt, "deep"),
			long: rapid.Bool().Draw(rt, "long"), fat: rapid.Bool().Draw(rt, "fat"),
		}
		if sh.fat {
			sh.n = min(sh.n, 600)
		}
		s := newStore()
		m := sh.model(r)
		tr := m.build(t, sh.kind, s)
		// Each spliced tree is the parent of the next.
		for range 4 {
			next := sh.edit(r, m, rapid.SampledFrom([]int{0, 1, 2, 10, 200}).Draw(rt, "k"))
			d := NewDonor(s, sh.kind, tr)
			got := splice(t, sh.kind, d, s, m, next)
			if want := next.build(t, sh.kind, s); got != want {
				rt.Fatalf("a tree of %d entries made out of one of %d: %+v, want %+v", len(next), len(m), got, want)
			}
			m, tr = next, got
		}
	})
}

func TestRangesOfATreeAreCountedAndEndWhereTheyEnd(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 2))
		sh := shape{kind: seal.KindNode, n: rapid.SampledFrom([]int{0, 5, 4000}).Draw(rt, "n"), wide: 40, deep: 4}
		s := newStore()
		m := sh.model(r)
		d := NewDonor(s, sh.kind, m.build(t, sh.kind, s))
		for range 20 {
			g := Range{From: []byte(sh.key(r)), To: []byte(sh.key(r))}
			switch r.IntN(5) {
			case 0:
				g.From = nil
			case 1:
				g.To = nil
			case 2:
				g = Below(g.From)
			}
			var want Part
			var last []byte
			for _, k := range m.keys() {
				if bytes.Compare([]byte(k), g.From) < 0 || g.To != nil && bytes.Compare([]byte(k), g.To) >= 0 {
					continue
				}
				want.Entries++
				if m[k].Type == File {
					want.Bytes += m[k].Size
				}
				last = []byte(k)
			}
			got, err := d.Count(t.Context(), g)
			if err != nil || got != want {
				rt.Fatalf("%q to %q: %+v, %v, want %+v", g.From, g.To, got, err, want)
			}
			if got, err := d.Last(t.Context(), g); err != nil || !bytes.Equal(got, last) || (got == nil) != (last == nil) {
				rt.Fatalf("the last of %q to %q: %q, %v, want %q", g.From, g.To, got, err, last)
			}
		}
	})
}

func TestTakingOverKeepsTheOrder(t *testing.T) {
	s := newStore()
	m := wideModel(3000)
	tr := m.build(t, seal.KindNode, s)
	key := []byte("srv\x00data\x00d00001")
	for name, misuse := range map[string]func(b *Builder, d *Donor) error{
		"an entry below what was taken over": func(b *Builder, d *Donor) error {
			_, err := b.Take(t.Context(), d, Below(key))
			if err == nil {
				err = b.AddKeyed(t.Context(), append(bytes.Clone(key), 0, 'z'), &Entry{Type: File})
			}
			return err
		},
		"a range below an entry": func(b *Builder, d *Donor) error {
			err := b.AddKeyed(t.Context(), []byte("t"), &Entry{Type: File})
			if err == nil {
				_, err = b.Take(t.Context(), d, Below(key))
			}
			return err
		},
		"behind the end": func(b *Builder, d *Donor) error {
			_, err := b.Take(t.Context(), d, Range{})
			if err == nil {
				err = b.AddKeyed(t.Context(), []byte("z"), &Entry{Type: File})
			}
			return err
		},
		"another kind": func(b *Builder, _ *Donor) error {
			_, err := b.Take(t.Context(), NewDonor(s, seal.KindInode, tr), Range{})
			return err
		},
	} {
		if err := misuse(NewBuilder(seal.KindNode, testHasher(), s), NewDonor(s, seal.KindNode, tr)); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

// FuzzDonor takes over from nodes that somebody has made up.
func FuzzDonor(f *testing.F) {
	s := newStore()
	small := model{"": {Type: Dir}, "a": {Type: File, Size: 3}, "a\x00b": {Type: Link, Inode: 3}}
	f.Add(s.chunks[small.build(f, seal.KindNode, s).H].Content, []byte(nil), []byte("a\x00"), uint8(0))
	f.Add(s.chunks[wideModel(2000).build(f, seal.KindNode, s).H].Content, []byte("srv"), []byte(nil), uint8(1))
	f.Fuzz(func(t *testing.T, content, from, to []byte, level uint8) {
		s := &store{chunks: map[seal.H]Chunk{{1}: {Kind: seal.KindNode, Content: content}}}
		tree := Tree{H: seal.H{1}, Level: level % 17, Entries: 1}
		r := Range{From: from, To: to}
		if len(to) == 0 {
			r.To = nil
		}
		b := NewBuilder(seal.KindNode, testHasher(), newStore())
		part, err := b.Take(t.Context(), NewDonor(s, seal.KindNode, tree), r)
		if err != nil {
			return
		}
		if part.Entries < 0 && level%17 == 0 {
			t.Errorf("%d entries", part.Entries)
		}
		_, _ = b.Finish(t.Context())
		_, _ = NewDonor(s, seal.KindNode, tree).Count(t.Context(), r)
		_, _ = NewDonor(s, seal.KindNode, tree).Last(t.Context(), r)
	})
}
