package fileindex

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

func TestAnEntryIsFoundByItsNumber(t *testing.T) {
	s, list := newStore(), tree(5000)
	tr := build(t, s, list)
	if tr.Level == 0 {
		t.Fatal("the tree has one leaf only")
	}
	c := NewCursor(s, seal.KindNode, tr)
	defer c.Close()
	for i := range list {
		e, err := c.Next(t.Context())
		if err != nil || !bytes.Equal(e.Path, list[i].Path) || c.Ordinal() != int64(i) {
			t.Fatalf("entry %d is %v, number %d (%v)", i, e, c.Ordinal(), err)
		}
	}
	for _, i := range append(rand.New(rand.NewPCG(3, 4)).Perm(len(list))[:500], 0, len(list)-1) {
		e, err := c.At(t.Context(), int64(i))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(list[i], e, equal); diff != "" || c.Ordinal() != int64(i) {
			t.Fatalf("entry %d (number %d):\n%s", i, c.Ordinal(), diff)
		}
		if next, err := c.Next(t.Context()); i+1 < len(list) && (err != nil || !bytes.Equal(next.Path, list[i+1].Path) || c.Ordinal() != int64(i+1)) {
			t.Fatalf("behind entry %d comes %v, %v", i, next, err)
		}
		if e, err = c.Lookup(t.Context(), PathKey(list[i].Path)); err != nil || c.Ordinal() != int64(i) {
			t.Fatalf("%q has number %d (%v), not %d", e.Path, c.Ordinal(), err, i)
		}
	}
	for _, i := range []int64{-1, int64(len(list)), 1 << 40} {
		if _, err := c.At(t.Context(), i); errs.KindOf(err) != errs.NotFound {
			t.Errorf("entry %d of %d: %v", i, len(list), err)
		}
	}
}

func TestExtentsAreFoundByOffset(t *testing.T) {
	s, r := newStore(), rand.New(rand.NewPCG(5, 6))
	b := NewBuilder(seal.KindMap, testHasher(), s)
	var starts []int64
	size := int64(0)
	var few []Extent
	for i := range 3000 {
		x := Extent{Kind: InChunk, H: seal.H{byte(i), byte(i >> 8)}, Len: 1 + r.Int64N(5000)}
		if err := b.AddExtent(t.Context(), size, x); err != nil {
			t.Fatal(err)
		}
		if len(few) < MaxExtents {
			few = append(few, x)
		}
		starts = append(starts, size)
		size += x.Len
	}
	m, err := b.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]*Entry{"in a content map": {Type: File, Map: m}, "in the entry": {Type: File, Extents: few}} {
		t.Run(name, func(t *testing.T) {
			n := len(starts)
			if e.Map.Empty() {
				n = len(few)
			}
			end := size
			if n < len(starts) {
				end = starts[n]
			}
			x := NewExtents(s, e)
			defer x.Close()
			for range 2000 {
				offset := r.Int64N(end)
				if err := x.Seek(t.Context(), offset); err != nil {
					t.Fatal(err)
				}
				at, got, err := x.Next(t.Context())
				if err != nil || offset < at || offset >= at+got.Len {
					t.Fatalf("offset %d: the extent from %d of %d bytes (%v)", offset, at, got.Len, err)
				}
				if behind, _, err := x.Next(t.Context()); at+got.Len < end && (err != nil || behind != at+got.Len) {
					t.Fatalf("behind the extent of offset %d comes %d (%v)", offset, behind, err)
				}
			}
			if err := x.Seek(t.Context(), end); err != nil {
				t.Fatal(err)
			}
			if _, _, err := x.Next(t.Context()); !errors.Is(err, io.EOF) {
				t.Errorf("behind the end: %v", err)
			}
		})
	}
}
