package vfs

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Whatever offset and length, a read past the cache answers as an ordinary one does.
func TestReadingPastTheCacheIsReading(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 4095, 4096, 4097, 100_000, bounce + 5000} {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(rng.Uint32())
		}
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		direct, err := OS{}.OpenPast(path)
		if err != nil {
			t.Fatal(err)
		}
		forgetful, err := openForget(path)
		if err != nil {
			t.Fatal(err)
		}
		for name, f := range map[string]File{"direct": direct, "forgetful": forgetful} {
			if n, err := f.Size(); err != nil || n != int64(size) {
				t.Fatalf("%s: size %d, %v", name, n, err)
			}
			for range 40 {
				off, n := rng.IntN(size+10), rng.IntN(size+10)
				b := make([]byte, n)
				if rng.IntN(2) == 0 { // as a reader of whole packs asks
					off &^= align - 1
					b = Aligned((n + align) &^ (align - 1))
				}
				read(t, name, f, content, b, int64(off))
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func read(t *testing.T, name string, f File, content, b []byte, off int64) {
	t.Helper()
	ref := make([]byte, len(b))
	wantN, wantErr := bytes.NewReader(content).ReadAt(ref, off)
	n, err := f.ReadAt(b, off)
	if n != wantN || !bytes.Equal(b[:n], ref[:n]) || n < len(b) && !errors.Is(err, io.EOF) || n == len(b) && err != nil && wantErr == nil {
		t.Fatalf("%s: %d bytes at %d of %d: read %d, %v; want %d, %v", name, len(b), off, len(content), n, err, wantN, wantErr)
	}
}
