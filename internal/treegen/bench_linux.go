package treegen

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// BenchOptions say what a bench tree is made from, and how large.
type BenchOptions struct {
	From  []string // real trees
	Files int      // about as many files
	Bytes int64    // about as many bytes
	Seed  uint64
}

// Made counts what was made.
type Made struct {
	Files, Dirs, Symlinks, Bytes int64
}

// original is a file of a real tree.
type original struct {
	path, rel string
	mode      fs.FileMode
	mtime     time.Time
	size      int64
	target    string // symlink
}

// Bench fills dir with varied copies of real trees until both goals are met. Every copy,
// the first included, differs from its original in about one byte of 500.
func Bench(dir string, o BenchOptions) (Made, error) {
	var m Made
	list, err := originals(o)
	if err != nil {
		return m, err
	}
	g := errgroup.Group{}
	g.SetLimit(runtime.GOMAXPROCS(0))
	for n := 0; m.Files < int64(o.Files); n++ {
		before := m.Files
		for i := range list {
			f := &list[i]
			to := filepath.Join(dir, fmt.Sprintf("copy%02d", n), f.rel)
			if f.mode.IsDir() {
				m.Dirs++
				if err := os.MkdirAll(to, 0o755); err != nil {
					return m, err
				}
				continue
			}
			if !m.take(f, &o) {
				continue
			}
			stream := uint64(n)<<32 | uint64(i)
			g.Go(func() error { return f.copy(to, o.Seed, stream) })
			if m.Files >= int64(o.Files) {
				break
			}
		}
		if m.Files == before {
			return m, errors.New("make bench tree: the sources hold no file that fits its size")
		}
	}
	return m, g.Wait()
}

// take decides whether a file fits: the sum of bytes is kept in step with the number of files.
func (m *Made) take(f *original, o *BenchOptions) bool {
	if f.target != "" {
		m.Symlinks++
		return true
	}
	const slack = 64 << 20
	share := int64(float64(o.Bytes) * float64(m.Files+1) / float64(o.Files))
	if m.Bytes+f.size > share+slack {
		return false
	}
	m.Files++
	m.Bytes += f.size
	return true
}

// originals lists the trees, largest files first left out.
func originals(o BenchOptions) ([]original, error) {
	var list []original
	for k, from := range o.From {
		base := fmt.Sprintf("%d-%s", k, filepath.Base(from))
		err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return nil // it has just gone
			}
			f := original{path: path, rel: filepath.Join(base, strings.TrimPrefix(path, from)), mode: info.Mode(), mtime: info.ModTime(), size: info.Size()}
			switch {
			case f.mode.Type() == fs.ModeSymlink:
				f.target, err = os.Readlink(path)
			case !f.mode.IsRegular() && !f.mode.IsDir(), f.mode.IsRegular() && f.size > 64<<20:
				return nil
			}
			list = append(list, f)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", from, err)
		}
	}
	return list, nil
}

func (f *original) copy(to string, seed, stream uint64) error {
	if f.target != "" {
		return os.Symlink(f.target, to)
	}
	b, err := os.ReadFile(f.path)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(b) > 0 {
		vary(source(seed, stream), b)
	}
	if err := os.WriteFile(to, b, f.mode.Perm()|0o200); err != nil {
		return err
	}
	return os.Chtimes(to, time.Time{}, f.mtime)
}
