package repo

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"keepward/internal/repo/seal"
	"keepward/internal/storage"
)

// BenchmarkPut stores chunks as a first backup does: Have, Put, and at the end Flush.
func BenchmarkPut(b *testing.B) {
	ctx := context.Background()
	s := newSite()
	d, err := storage.OpenDir(b.TempDir())
	must(b, err)
	s.create(b, d)
	r, err := Open(ctx, d)
	must(b, err)
	defer r.Close() //nolint:errcheck // the benchmark is over
	w, err := r.NewWriter(context.Background(), WriterOptions{Attempt: attemptNumber(1), Owner: s.owner("web1"), Keys: s.keys("web1")})
	must(b, err)
	defer w.Abort()
	const size = 300 << 10 // a compressed bundle
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(rand.Uint32())
	}
	keys := s.keys("web1")
	sealer, err := seal.NewSealer(keys, seal.CompressNone)
	must(b, err)
	hasher := keys.NewHasher()
	b.SetBytes(size)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		binary.LittleEndian.PutUint64(content, uint64(i))
		h := hasher.Hash(seal.KindData, content)
		rec, err := sealer.Seal(nil, seal.KindData, h, nil, content)
		must(b, err)
		b.StartTimer()
		if _, err := w.Have(ctx, []seal.H{h}); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Put(rec); err != nil {
			b.Fatal(err)
		}
	}
	must(b, w.Flush(ctx))
}

// half is content that compresses to about half.
func half(n int, seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := 0; i+16 <= n; i += 16 {
		binary.LittleEndian.PutUint64(b[i:], rng.Uint64())
	}
	return string(b)
}

// BenchmarkCheckContent checks a repository of 256 MiB of content with its data. Compare with
// BenchmarkOpen, which opens the like on one processor from memory.
func BenchmarkCheckContent(b *testing.B) {
	ctx := context.Background()
	for _, size := range []int{16 << 10, 512 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			const total = 256 << 20
			s := newSite()
			d, err := storage.OpenDir(b.TempDir())
			must(b, err)
			s.create(b, d)
			r, err := Open(ctx, d)
			must(b, err)
			defer r.Close() //nolint:errcheck // the benchmark is over
			files := map[string]string{}
			for i := range total / size {
				files[fmt.Sprintf("f%06d", i)] = half(size, uint64(i))
			}
			_, err = (&backup{s: s, computer: "web1", attempt: attemptNumber(1), files: files, chunkSize: size}).run(ctx, r)
			must(b, err)
			b.SetBytes(total)
			for b.Loop() {
				report, err := r.Check(ctx, s.check(CheckOptions{ReadData: true}))
				if err != nil || len(report.Findings) != 0 || report.ProvedBytes < total {
					b.Fatal(report, err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	const size = 512 << 10
	keys := newSite().keys("web1")
	sealer, err := seal.NewSealer(keys, seal.CompressFast)
	must(b, err)
	opener, err := seal.NewOpener(keys)
	must(b, err)
	content := []byte(half(size, 1))
	h := keys.NewHasher().Hash(seal.KindData, content)
	b.SetBytes(size)
	raw, err := sealer.Seal(nil, seal.KindData, h, nil, content)
	must(b, err)
	for b.Loop() {
		rec, err := seal.ParseRecord(raw)
		must(b, err)
		if content, err = opener.Open(content, &rec, h); err != nil {
			b.Fatal(err)
		}
	}
}
