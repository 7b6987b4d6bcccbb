package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// sources are the real trees that the tree of small files is made from.
func sources() []string {
	dirs := []string{"/usr/share", "/usr/lib", "/usr/include"}
	if out, err := exec.Command("go", "env", "GOROOT").Output(); err == nil {
		dirs = append([]string{strings.TrimSpace(string(out))}, dirs...)
	}
	return slices.DeleteFunc(dirs, func(dir string) bool { _, err := os.Stat(dir); return err != nil })
}

// noise makes a file that nothing compresses: AES-CTR of zeros, the same in every run.
func noise(path string, size int64) error {
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	zeros, err := os.Open("/dev/zero")
	if err != nil {
		return errors.Join(err, f.Close())
	}
	defer zeros.Close()
	_, err = io.CopyN(f, cipher.StreamReader{S: cipher.NewCTR(block, make([]byte, 16)), R: zeros}, size)
	return errors.Join(err, f.Close())
}

// floor is what a backup cannot be faster than, or what is known to be fast.
type floor struct {
	name string
	walk bool // in this process
	read bool
	// line is a shell command with $0 the data, $1 an archive, $2 an empty directory.
	line string
}

var (
	floorWalk    = floor{name: "parallel walk with lstat", walk: true}
	floorRead    = floor{name: "parallel walk, every file read", walk: true, read: true}
	floorTarZstd = floor{name: `tar \| zstd -1 -T2 > file`, line: `tar cf - -C "$0" . | zstd -q -1 -T2 -f -o "$1"`}
	floorUntar   = floor{name: `zstd -d \| tar x`, line: `zstd -q -dc "$1" | tar xf - -C "$2"`}
	floorTarCat  = floor{name: `tar \| cat > file`, line: `tar cf - -C "$0" . | cat > "$1"`}
)

// possible tells whether what the floor needs is there.
func (f floor) possible() bool {
	_, err := exec.LookPath("zstd")
	return err == nil || !strings.Contains(f.line, "zstd")
}

func (f floor) measure(ctx context.Context, src, root string) (usage, error) {
	if f.walk {
		began := time.Now()
		err := walk(src, f.read)
		return usage{Wall: time.Since(began)}, err
	}
	to, err := newTarget(ctx, root)
	if err != nil {
		return usage{}, err
	}
	settle() // as before every measured step
	u, err := command(ctx, "", nil, "sh", "-c", f.line, src, filepath.Join(root, "floor.archive"), to.dir)
	return u, errors.Join(err, to.remove())
}

// walk lstats everything below dir on all cores, and reads files if asked to.
func walk(dir string, read bool) error {
	var g errgroup.Group
	g.SetLimit(4 * runtime.NumCPU()) // enough to keep the disk asked while others wait
	var visit func(string) error
	visit = func(dir string) error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if e.IsDir() {
				if !g.TryGo(func() error { return visit(path) }) {
					if err := visit(path); err != nil {
						return err
					}
				}
				continue
			}
			if _, err := os.Lstat(path); err != nil {
				return err
			}
			if read && e.Type().IsRegular() {
				if _, err := os.ReadFile(path); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := visit(dir); err != nil {
		return err
	}
	return g.Wait()
}
