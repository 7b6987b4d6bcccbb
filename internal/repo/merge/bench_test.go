package merge

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
	"keepward/internal/storage"
)

// attempts makes the index of n attempts of twenty computers, of rows each, on a disk. There
// are no packs: what is measured reads none.
func attempts(tb testing.TB, n, rows int) (*storage.Dir, []seal.ID) {
	tb.Helper()
	ctx := context.Background()
	s := repotest.NewSite()
	d, err := storage.OpenDir(tb.TempDir())
	must(tb, err)
	key, err := s.KeyObject()
	must(tb, err)
	must(tb, repo.Create(ctx, d, s.Config(), []repo.KeyObject{key}, repo.Owner{Term: 1}))
	rng := rand.New(rand.NewPCG(1, 1))
	var ids []seal.ID
	for i := range n {
		list := make([]segment.Row, rows)
		for j := range list {
			r := segment.Row{Offset: uint32(j * 1000), Length: 1000, Kind: seal.KindData}
			for k := 0; k < 32; k += 8 {
				binary.LittleEndian.PutUint64(r.ID[k:], rng.Uint64())
			}
			list[j] = r
			if j%100 == 0 {
				ids = append(ids, r.ID)
			}
		}
		h := segment.Header{RepositoryID: s.ID, Attempt: repotest.Attempt(i), Owner: [16]byte{byte(i % 20), 1}, Number: 1}
		packs := []segment.Pack{{Attempt: h.Attempt, Class: pack.Data, Number: 1}}
		must(tb, d.Put(ctx, repo.SegmentName(h.Attempt, 1), segment.Encode(h, packs, list)))
		must(tb, d.Put(ctx, repo.PackName(h.Attempt, pack.Data, 1), nil))
	}
	rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return d, ids
}

// BenchmarkLookup asks 1000 segments, and what was made of them, for chunks that are there and
// for such that are not.
func BenchmarkLookup(b *testing.B) {
	d, ids := attempts(b, 1000, 1000)
	misses := make([]seal.ID, len(ids))
	for i, id := range ids {
		id[20] ^= 1
		misses[i] = id
	}
	r := openOn(b, d)
	ask := func(ids []seal.ID, found bool) func(*testing.B) {
		return func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if _, ok := r.Lookup(context.Background(), ids[i%len(ids)]); ok != found {
					b.Fatal(ok)
				}
			}
		}
	}
	b.Run("1000 segments/hit", ask(ids, true))
	b.Run("1000 segments/miss", ask(misses, false))
	_, err := Run(context.Background(), r, options(r))
	must(b, err)
	b.Run("merged/hit", ask(ids, true))
	b.Run("merged/miss", ask(misses, false))
}

// BenchmarkMerge joins 100 segments of 10 000 rows.
func BenchmarkMerge(b *testing.B) {
	const n, rows = 100, 10_000
	d, _ := attempts(b, n, rows)
	var peak uint64
	for i := 0; b.Loop(); i++ {
		r, err := repo.Open(context.Background(), d)
		must(b, err)
		o := Options{Attempt: repotest.Attempt(5000 + i)} // the parts stay
		o.Progress = func(done, total int64) {
			if done > total*2/3 && peak == 0 {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				peak = m.HeapAlloc
			}
		}
		result, err := Run(context.Background(), r, o)
		must(b, err)
		if result.RowsWritten < n*rows {
			b.Fatalf("%+v", result)
		}
		must(b, r.Close())
		must(b, d.Delete(context.Background(), repo.SegmentName(o.Attempt, 1)))
	}
	b.ReportMetric(float64(b.N)*n*rows/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(peak)/(1<<20), "MiB-live")
}

// BenchmarkOpen opens a repository of a million rows in one segment.
func BenchmarkOpen(b *testing.B) {
	d, _ := attempts(b, 10, 100_000)
	r := openOn(b, d)
	_, err := Run(context.Background(), r, options(r))
	must(b, err)
	for b.Loop() {
		r, err := repo.Open(context.Background(), d)
		must(b, err)
		must(b, r.Close())
	}
}
