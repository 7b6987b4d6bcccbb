package source

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkSmallFile is all that a small file costs before it is hashed: open, look, flags,
// extended attributes, read, look again, close.
func BenchmarkSmallFile(b *testing.B) {
	dir := b.TempDir()
	const files = 1000
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), make([]byte, 4000), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	w, err := NewWalker(Selection{Include: []string{dir}}, func(Problem) {})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	d := w.Dir([]byte(dir[1:]))
	buf := make([]byte, 8<<10)
	var st Stat
	for i := 0; b.Loop(); i++ {
		f, err := d.Open(fmt.Append(nil, i%files))
		if err != nil {
			b.Fatal(err)
		}
		if err := f.Stat(&st); err != nil {
			b.Fatal(err)
		}
		f.Flags()
		if _, err := f.Xattrs(); err != nil {
			b.Fatal(err)
		}
		if _, err := f.ReadAll(buf, int(st.Size)); err != nil {
			b.Fatal(err)
		}
		if err := f.Stat(&st); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

func BenchmarkReadLarge(b *testing.B) {
	path := filepath.Join(b.TempDir(), "large")
	if err := os.WriteFile(path, make([]byte, 64<<20), 0o644); err != nil {
		b.Fatal(err)
	}
	w, err := NewWalker(Selection{Include: []string{path}}, func(Problem) {})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	f, err := w.Dir([]byte(filepath.Dir(path)[1:])).Open([]byte("large"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 8<<20)
	b.SetBytes(64 << 20)
	for b.Loop() {
		for at := int64(0); at < 64<<20; at += int64(len(buf)) {
			if _, err := f.ReadAt(buf, at); err != nil {
				b.Fatal(err)
			}
		}
	}
}
