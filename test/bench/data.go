package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// sources are the real trees that the tree of small files is made from.
func sources() []string {
	dirs := []string{"/usr/share", "/usr/lib", "/usr/include"}
	if out, err := exec.Command("go", "env", "GOROOT").Output(); err == nil {
		dirs = append([]string{strings.TrimSpace(string(out))}, dirs...)
	}
	return slices.DeleteFunc(dirs, func(dir string) bool { _, err := os.Stat(dir); return err != nil })
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
	archive := filepath.Join(root, "floor.tar.zst")
	defer os.Remove(archive)
	to, err := newTarget(ctx, root)
	if err != nil {
		return err
	}
	for _, f := range []struct{ name, line string }{
		{floorTar, `tar cf - -C "$0" . | zstd -q -1 -T2 -o "$1"`},
		{floorUntar, `zstd -q -dc "$1" | tar xf - -C "$2"`},
	} {
		unix.Sync() // as before every measured step
		u, err := command(ctx, "", nil, "sh", "-c", f.line, src, archive, to.dir)
		if err != nil {
			return errors.Join(err, to.remove())
		}
		rep.floor(f.name, u)
	}
	return to.remove()
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
