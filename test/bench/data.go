package main

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"keepward/test/site"
)

// Files larger than this are left out of the tree of small files.
const smallFile = 1 << 20

type treeSize struct {
	files int
	bytes int64
}

// buildTree copies this machine's own files until there are enough. From the second
// copy on every file gets bytes of its own, so that no program finds whole copies.
func buildTree(dir string, files int, bytes int64) (treeSize, error) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return treeSize{}, fmt.Errorf("go env GOROOT: %w", err)
	}
	from := []string{strings.TrimSpace(string(goroot)), "/usr/share", "/usr/lib", "/usr/include"}
	var made treeSize
	for copied := 0; made.files < files && made.bytes < bytes; copied++ {
		r := rand.New(rand.NewPCG(uint64(copied), 7))
		before := made
		for _, root := range from {
			err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() || made.files >= files || made.bytes >= bytes {
					return nil // what cannot be read is not part of the tree
				}
				info, err := d.Info()
				if err != nil || info.Size() > smallFile {
					return nil
				}
				b, err := os.ReadFile(path)
				if err != nil {
					return nil
				}
				if copied > 0 {
					b = append(site.Noise(r, 16), b...)
				}
				to := filepath.Join(dir, fmt.Sprintf("copy%d", copied), path)
				if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
					return err
				}
				made.files++
				made.bytes += int64(len(b))
				return os.WriteFile(to, b, info.Mode().Perm())
			})
			if err != nil {
				return made, err
			}
		}
		if made == before {
			return made, fmt.Errorf("no files to copy below %v", from)
		}
	}
	return made, nil
}

const (
	floorWalk  = "parallel walk with lstat"
	floorRead  = "parallel walk, every file read"
	floorTar   = "tar \\| zstd -1 -T2"
	floorUntar = "zstd -d \\| tar x"
)

var floorNames = []string{floorWalk, floorRead, floorTar, floorUntar}

// floors measures what a backup cannot be faster than, or what is known to be fast.
func floors(ctx context.Context, src, root string, rep *report) error {
	for name, read := range map[string]bool{floorWalk: false, floorRead: true} {
		began := time.Now()
		if err := walk(src, read); err != nil {
			return err
		}
		rep.floor(name, usage{wall: time.Since(began)})
	}
	if _, err := exec.LookPath("zstd"); err != nil {
		fmt.Println("zstd is not in PATH: its floors are left out")
		return nil
	}
	archive, to := filepath.Join(root, "floor.tar.zst"), filepath.Join(root, "floor")
	defer os.Remove(archive)
	defer os.RemoveAll(to)
	for _, f := range []struct{ name, line string }{
		{floorTar, `tar cf - -C "$0" . | zstd -q -1 -T2 -o "$1"`},
		{floorUntar, `mkdir "$2" && zstd -q -dc "$1" | tar xf - -C "$2"`},
	} {
		u, err := command(ctx, "", nil, "sh", "-c", f.line, src, archive, to)
		if err != nil {
			return err
		}
		rep.floor(f.name, u)
	}
	return nil
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
