package repo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"keepward/internal/storage"
	"keepward/internal/storage/vfs"
)

// BenchmarkCheckReadData reads and opens a repository on the disk of the temporary directory,
// past the page cache, with some numbers of packs at once.
func BenchmarkCheckReadData(b *testing.B) {
	ctx := context.Background()
	s := newSite()
	dir := b.TempDir()
	backend := storage.NewDir(vfs.OS{}, dir)
	s.create(b, backend)
	files := map[string]string{}
	rng := rand.NewChaCha8([32]byte{1})
	for i := range 64 {
		content := make([]byte, 8<<20)
		_, _ = rng.Read(content) // documented never to fail
		for j := range content {
			content[j] &= 0x3f // compresses a little, as data does
		}
		files[fmt.Sprintf("file%03d", i)] = string(content)
	}
	r, err := Open(ctx, backend)
	must(b, err)
	defer r.Close() //nolint:errcheck // the benchmark is over
	backup := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: files, chunkSize: 1 << 20}
	_, err = backup.run(ctx, r)
	must(b, err)
	for _, readers := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			for b.Loop() {
				report, err := r.Check(ctx, s.check(CheckOptions{ReadData: true, Readers: readers}))
				if err != nil || len(report.Findings) > 0 {
					b.Fatalf("%+v, %v", report.Findings, err)
				}
				b.SetBytes(report.BytesRead)
			}
		})
	}
}
