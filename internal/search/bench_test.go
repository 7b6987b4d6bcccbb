package search

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// A search of a million files in 10 points, of which each differs from the one before in a thousand
// files: the first one, which reads the names, and those after it.
func BenchmarkAMillionFiles(b *testing.B) {
	s, r := &store{chunks: map[seal.H][]byte{}}, rand.New(rand.NewPCG(1, 2))
	const dirs, each, count = 20_000, 50, 10
	build := fileindex.NewBuilder(seal.KindNode, hasher(), s)
	var points []Point
	changed := map[int]int64{}
	for p := range count {
		for d := range dirs {
			dir := fmt.Sprintf("srv/projects/team-%03d/customer-%05d", d/100, d)
			must(b, build.Add(b.Context(), &fileindex.Entry{Path: []byte(dir), Type: fileindex.Dir, Mode: 0o755}))
			for i := range each {
				n := d*each + i
				v := int64(n%1000)*100 + changed[n]
				must(b, build.Add(b.Context(), &fileindex.Entry{
					Path: fmt.Appendf(nil, "%s/document-%07d.%s", dir, n, []string{"txt", "odt", "png", "csv"}[n%4]), Type: fileindex.File, Mode: 0o644,
					UID: 1000, GID: 1000, User: []byte("ann"), Group: []byte("staff"), Size: v, MTime: fileindex.Time{Sec: 1700000000 + v}, CTime: fileindex.Time{Sec: 1700000000 + v},
					Inode: uint64(n), Device: 7, Links: 1, Extents: []fileindex.Extent{{Kind: fileindex.InBundle, H: seal.H{byte(n >> 5), byte(n >> 13), byte(n >> 21)}, Member: uint32(n % 32), Len: v}},
				}))
			}
		}
		tree, err := build.Finish(b.Context())
		must(b, err)
		points = append(points, Point{ID: fmt.Sprint(p), Root: fileindex.Root{Paths: tree}})
		for range 1000 {
			changed[r.IntN(dirs*each)]++
		}
	}
	find := func(b *testing.B, x *Index, q *Query) {
		n := 0
		must(b, x.Find(b.Context(), points, q, func(*Version) error { n++; return nil }))
		b.ReportMetric(float64(n), "versions")
	}
	b.Run("first", func(b *testing.B) {
		var x *Index
		for b.Loop() {
			x = New(s, 1<<30)
			find(b, x, &Query{Pattern: pattern(b, "nothing*")})
		}
		b.ReportMetric(float64(x.Size())/(1<<20), "MiB")
	})
	x := New(s, 1<<30)
	find(b, x, &Query{Pattern: pattern(b, "nothing*")})
	most := int64(100_010)
	for _, c := range []struct {
		name string
		q    Query
	}{
		{"name", Query{Pattern: pattern(b, "document-0777777.odt")}},
		{"part", Query{Pattern: pattern(b, "*-07777*")}},
		{"length", Query{Pattern: pattern(b, "???")}},
		{"path", Query{Pattern: pattern(b, "/srv/projects/team-077/**/*77.txt")}},
		{"class", Query{Pattern: pattern(b, "[x-z]*")}},
		{"size", Query{Pattern: pattern(b, ""), MinSize: most}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				find(b, x, &c.q)
			}
		})
	}
}
