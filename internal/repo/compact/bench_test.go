package compact

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
)

// BenchmarkCompact writes the living half of 512 MiB anew: usual chunks of 300 KiB, and nodes
// of 8 KiB.
func BenchmarkCompact(b *testing.B) {
	for name, c := range map[string]struct {
		size int
		kind seal.Kind
	}{"data": {300 << 10, seal.KindData}, "nodes": {8 << 10, seal.KindNode}} {
		b.Run(name, func(b *testing.B) { benchmarkCompact(b, c.size, c.kind) })
	}
}

func benchmarkCompact(b *testing.B, size int, kind seal.Kind) {
	ctx := context.Background()
	s := repotest.NewSite()
	d, err := storage.OpenDir(b.TempDir())
	must(b, err)
	key, err := s.KeyObject()
	must(b, err)
	must(b, repo.Create(ctx, d, s.Config(), []repo.KeyObject{key}, repo.Owner{Term: 1}))
	r, err := repo.Open(ctx, d)
	must(b, err)
	defer r.Close() //nolint:errcheck // the benchmark is over
	w, err := r.NewWriter(ctx, repo.WriterOptions{Attempt: repotest.Attempt(1), Owner: s.Owner("web1")})
	must(b, err)
	sealer, err := seal.NewSealer(s.Keys("web1"), seal.CompressNone)
	must(b, err)
	hasher := s.Keys("web1").NewHasher()
	content := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{1})
	needed := map[seal.ID]bool{}
	var liveBytes int64
	for i := range (512 << 20) / size {
		_, _ = rng.Read(content)
		binary.LittleEndian.PutUint64(content, uint64(i))
		h := hasher.Hash(kind, content)
		rec, err := sealer.Seal(nil, kind, h, nil, content)
		must(b, err)
		_, err = w.Put(rec)
		must(b, err)
		if i/3%2 == 0 { // three needed, three not
			needed[h.ID()] = true
			liveBytes += int64(len(rec))
		}
	}
	must(b, w.Flush(ctx))
	w.Abort()
	packs := uses(b, r, needed)
	var peak uint64
	b.SetBytes(liveBytes)
	for i := 0; b.Loop(); i++ {
		fresh, err := repo.Open(ctx, d)
		must(b, err)
		result, err := Run(ctx, fresh, packs, Options{
			Attempt: repotest.Attempt(100 + i), Live: func(id seal.ID) bool { return needed[id] },
			// What the runs before have copied must not count.
			Doomed:   func(k pack.Key) bool { return k.Attempt != repotest.Attempt(1) },
			Progress: func(_, _ int64) { peak = max(peak, inUse()) },
		})
		if err != nil || result.WrittenBytes != liveBytes {
			b.Fatalf("%+v, %v", result, err)
		}
		must(b, fresh.Close())
		b.StopTimer()
		l := &lab{t: b}
		l.drop(d, i)
		b.StartTimer()
	}
	b.ReportMetric(float64(peak)/(1<<20), "MiB-in-use")
}

func inUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// drop removes what run i wrote.
func (l *lab) drop(d *storage.Dir, i int) {
	l.t.Helper()
	a := repotest.Attempt(100 + i).String()
	for _, dir := range []string{"packs/" + a[:2] + "/" + a, "index/" + a[:2]} {
		must(l.t, d.List(context.Background(), dir, func(info storage.Info) error { return d.Delete(context.Background(), info.Name) }))
	}
}

// BenchmarkRecompress makes 64 MiB of text dense that were compressed fast.
func BenchmarkRecompress(b *testing.B) {
	ctx := context.Background()
	s := repotest.NewSite()
	d, err := storage.OpenDir(b.TempDir())
	must(b, err)
	key, err := s.KeyObject()
	must(b, err)
	must(b, repo.Create(ctx, d, s.Config(), []repo.KeyObject{key}, repo.Owner{Term: 1}))
	r, err := repo.Open(ctx, d)
	must(b, err)
	defer r.Close() //nolint:errcheck // the benchmark is over
	var text strings.Builder
	for _, part := range words(64<<20/3000, 5) {
		text.WriteString(part)
	}
	w, err := r.NewWriter(ctx, repo.WriterOptions{Attempt: repotest.Attempt(1), Owner: s.Owner("web1")})
	must(b, err)
	point := &repotest.Backup{Site: s, Computer: "web1", Attempt: repotest.Attempt(1), Files: map[string]string{"text": text.String()}, ChunkSize: 300 << 10}
	must(b, point.Run(ctx, w))
	l := &lab{t: b, s: s}
	packs := uses(b, r, live(b, r))
	b.SetBytes(int64(text.Len()))
	for i := 0; b.Loop(); i++ {
		fresh, err := repo.Open(ctx, d)
		must(b, err)
		result, err := Run(ctx, fresh, packs, Options{
			Attempt: repotest.Attempt(100 + i), Live: func(seal.ID) bool { return true }, Recompress: l.recompression(),
			Doomed: func(k pack.Key) bool { return k.Attempt != repotest.Attempt(1) },
		})
		if err != nil || result.SavedBytes == 0 {
			b.Fatalf("%+v, %v", result, err)
		}
		b.ReportMetric(float64(result.WrittenBytes)/float64(result.ReadBytes), "of-before")
		must(b, fresh.Close())
		b.StopTimer()
		l.drop(d, i)
		b.StartTimer()
	}
}
