// Package treegen makes trees of files to test and measure with: one with every kind of file
// and nasty name, many small files, a large one varied from real trees, and changes to a
// tree. The same arguments make the same content.
//
// It is test support and runs on Linux only. Its functions share nothing.
package treegen

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// words are what text is made of: it compresses about as prose and source code do.
var words = []string{
	"the", "of", "and", "backup", "restore", "point", "return", "error", "if", "func", "index", "chunk", "server",
	"agent", "data", "value", "string", "int", "byte", "name", "path", "time", "session", "repository", "write",
	"read", "open", "close", "struct", "import", "package", "nil", "for", "range", "type", "const", "var", "with",
}

// text appends about n bytes of text to b and cuts it at exactly n.
func text(r *rand.Rand, b []byte, n int) []byte {
	b = b[:0]
	for len(b) < n {
		b = append(b, words[r.IntN(len(words))]...)
		switch r.IntN(12) {
		case 0:
			b = append(b, '\n')
		case 1:
			b = fmt.Appendf(b, "%d ", r.IntN(1<<20))
		default:
			b = append(b, ' ')
		}
	}
	return b[:n]
}

// noise is n bytes that do not compress.
func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, (n+7)/8*8)
	for i := 0; i < len(b); i += 8 {
		v := r.Uint64()
		for k := range 8 {
			b[i+k] = byte(v >> (8 * k))
		}
	}
	return b[:n]
}

func source(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// Small fills dir with n files of 0 to 2 KiB in three levels of directories.
func Small(dir string, n int) error {
	const perDir, dirsPerDir = 100, 40
	g := errgroup.Group{}
	g.SetLimit(runtime.GOMAXPROCS(0))
	for d := 0; d*perDir < n; d++ {
		g.Go(func() error {
			at := filepath.Join(dir, fmt.Sprintf("a%03d", d/dirsPerDir/dirsPerDir), fmt.Sprintf("b%03d", d/dirsPerDir%dirsPerDir), fmt.Sprintf("c%03d", d%dirsPerDir))
			if err := os.MkdirAll(at, 0o755); err != nil {
				return err
			}
			r := source(1, uint64(d))
			var b []byte
			for i := d * perDir; i < min(n, (d+1)*perDir); i++ {
				b = text(r, b, r.IntN(2049))
				if err := os.WriteFile(filepath.Join(at, fmt.Sprintf("file%07d.txt", i)), b, 0o644); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// vary changes one byte in about every 500, and at least one, so that no chunk of b is like
// one of another variant and b compresses nearly as before.
func vary(r *rand.Rand, b []byte) {
	for at := r.IntN(min(len(b), 500) + 1); ; at += 1 + r.IntN(1000) {
		if at >= len(b) {
			return
		}
		b[at] ^= byte(1 + r.IntN(255))
	}
}
