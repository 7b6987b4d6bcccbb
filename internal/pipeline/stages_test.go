package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
	"keepward/internal/source"
)

// keeper is a Saver that shows what it is given.
type keeper func(c fileindex.Chunk)

func (k keeper) Save(_ context.Context, c fileindex.Chunk) error { k(c); return nil }

// fetched are contents by what names them.
type fetched map[seal.H][]byte

func (f fetched) Fetch(_ context.Context, _ seal.Kind, hs []seal.H) ([][]byte, error) {
	out := make([][]byte, len(hs))
	for i, h := range hs {
		out[i] = f[h]
	}
	return out, nil
}

// BenchmarkParentCompare is what an unchanged file costs beside its stat: its entry in the
// parent found, decoded and compared.
func BenchmarkParentCompare(b *testing.B) {
	const n = 100_000
	saved := make(map[seal.H][]byte)
	keep := keeper(func(c fileindex.Chunk) { saved[c.H] = bytes.Clone(c.Content) })
	builder := fileindex.NewBuilder(seal.KindNode, testKeys().NewHasher(), keep)
	path := func(i int) []byte { return fmt.Appendf(nil, "srv/data/dir%04d/file-%06d.dat", i/100, i) }
	st := source.Stat{Type: fileindex.File, Mode: 0o644, Size: 4096, Links: 1, Device: 1}
	for i := range n {
		e := fileindex.Entry{Path: path(i), User: []byte("root"), Group: []byte("root"), Extents: []fileindex.Extent{{Kind: fileindex.Zeros, Len: 4096}}}
		st.Inode = uint64(i)
		fill(&e, &st)
		if err := builder.Add(b.Context(), &e); err != nil {
			b.Fatal(err)
		}
	}
	tree, err := builder.Finish(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	keys := make([][]byte, n)
	for i := range keys {
		keys[i] = fileindex.PathKey(path(i))
	}
	for b.Loop() {
		base := base{parts: []part{{cursor: fileindex.NewCursor(fetched(saved), seal.KindNode, tree)}}}
		for i, key := range keys {
			old, err := base.match(b.Context(), key)
			if err != nil {
				b.Fatal(err)
			}
			st.Inode = uint64(i)
			if old == nil || !unchanged(old, &st, 0) {
				b.Fatalf("%s has changed", key)
			}
		}
		base.close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/file")
}
