//go:build linux

package mount

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// How fast a tree of small files is walked with all that stat tells, and read.
func BenchmarkWalk(b *testing.B) {
	h := newHost(b)
	src := filepath.Join(tempDir(b), "src")
	const files = 5000
	for i := range files {
		dir := filepath.Join(src, fmt.Sprintf("d%02d", i%50))
		must(b, os.MkdirAll(dir, 0o755))
		must(b, os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%04d", i)), fmt.Appendf(nil, "content %d", i*i), 0o644))
	}
	h.backup(src)
	for _, read := range []bool{false, true} {
		b.Run(fmt.Sprintf("read=%t", read), func(b *testing.B) {
			for b.Loop() {
				m := h.mount(Options{})
				n := 0
				must(b, filepath.WalkDir(filepath.Join(m.dir, "latest", src)+"/", func(path string, d fs.DirEntry, err error) error {
					if err == nil {
						_, err = d.Info()
					}
					if err == nil && read && d.Type().IsRegular() {
						_, err = os.ReadFile(path)
					}
					n++
					return err
				}))
				if n < files {
					b.Fatalf("%d of %d files are there", n, files)
				}
				must(b, m.end())
			}
		})
	}
}
