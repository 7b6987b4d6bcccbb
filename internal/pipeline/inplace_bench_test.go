package pipeline

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/source"
)

// BenchmarkCompare is an incremental backup of a large file of which one page in a hundred
// differs: reading it, hashing its blocks, comparing; what differs is stored the first time.
func BenchmarkCompare(b *testing.B) {
	const length, page = 256 << 20, 8 << 10
	dir := b.TempDir()
	name := filepath.Join(dir, "file")
	content := noise(1, length)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		b.Fatal(err)
	}
	m := newMemStore(testKeys())
	run := func(n byte, parent string) {
		opts := Options{
			Keys: m.keys, Compression: seal.CompressFast, Selection: source.Selection{Include: []string{dir}},
			Attempt: point.Attempt{n}, Parent: parent, Workers: 2,
		}
		m.attempt = opts.Attempt
		if _, err := Run(context.Background(), m, opts); err != nil {
			b.Fatal(err)
		}
	}
	run(1, "")
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for at := int64(0); at < length; at += 100 * page {
		if _, err := f.WriteAt(noise(2, page), at); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(length)
	for b.Loop() {
		run(2, point.Attempt{1}.String())
	}
}
