package repo

import (
	"context"
	"encoding/binary"
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
	w, err := r.NewWriter(WriterOptions{Attempt: attemptNumber(1), Owner: s.owner("web1"), Keys: s.keys("web1")})
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
