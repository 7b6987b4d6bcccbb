//go:build !unix

package source

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"keepward/internal/repo/fileindex"
)

// Dir is a directory of a walk, named by its path.
type Dir struct {
	cache  *dirCache
	parent *Dir
	name   string
	spot   *spot // what of the view lies at or below it; nil: nothing
}

// dirCache holds nothing open here.
type dirCache struct{ view *spot } // nil: all is read at its own place

func newDirCache() *dirCache { return &dirCache{} }

func (c *dirCache) root() *Dir { return &Dir{cache: c, spot: c.view} }

func (c *dirCache) closeAll() {}

func (d *Dir) child(name []byte) *Dir {
	return &Dir{cache: d.cache, parent: d, name: string(name), spot: d.spot.child(name)}
}

// Seen is the moment whose state is read in d: now, or when its snapshot was taken.
func (d *Dir) Seen(now time.Time) time.Time {
	if g, _ := d.cache.view.innermost(d.Path()); g != nil && !g.Taken.IsZero() && g.Taken.Before(now) {
		return g.Taken
	}
	return now
}

func (d *Dir) acquire() (int, error) { return 0, nil }

func (d *Dir) release() {}

// Path is the directory's path as Item.Path has it.
func (d *Dir) Path() []byte {
	if d == nil || d.parent == nil {
		return nil
	}
	p := d.parent.Path()
	if len(p) > 0 {
		p = append(p, '/')
	}
	return append(p, d.name...)
}

// native is where name in d is read, or d itself.
func (d *Dir) native(name string) string {
	p := d.Path()
	if name != "" {
		if len(p) > 0 {
			p = append(p, '/')
		}
		p = append(p, name...)
	}
	return d.cache.view.native(p, string(filepath.Separator))
}

func (d *Dir) statOpen(_ int, st *Stat) error {
	if d.parent == nil {
		// Above the volumes there is nothing to look at.
		*st = Stat{Type: fileindex.Dir, Mode: 0o755, Links: 1}
		return nil
	}
	return d.parent.Stat([]byte(d.name), st)
}

// Stat looks at name in d.
func (d *Dir) Stat(name []byte, st *Stat) error {
	fi, err := os.Lstat(d.native(string(name)))
	if err != nil {
		return err
	}
	fill(st, fi)
	return nil
}

func fill(st *Stat, fi os.FileInfo) {
	*st = Stat{Mode: uint32(fi.Mode().Perm()), Size: fi.Size(), Blocks: -1, MTime: fromTime(fi.ModTime()), Links: 1}
	switch mode := fi.Mode(); {
	case mode.IsRegular():
		st.Type = fileindex.File
	case mode.IsDir():
		st.Type, st.Size = fileindex.Dir, 0
	case mode&os.ModeSymlink != 0:
		st.Type, st.Size = fileindex.Symlink, 0
	case mode&os.ModeNamedPipe != 0:
		st.Type = fileindex.FIFO
	case mode&os.ModeSocket != 0:
		st.Type = fileindex.Socket
	case mode&os.ModeCharDevice != 0:
		st.Type = fileindex.Char
	default:
		st.Type = fileindex.Block
	}
}

func fromTime(t time.Time) fileindex.Time {
	return fileindex.Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())}
}

func (d *Dir) statListed(_ int, l *nameList, i int, st *Stat) error { return d.Stat(l.name(i), st) }

func (d *Dir) list(_ int, _ []byte, l *listing) error {
	entries, err := os.ReadDir(d.native(""))
	for _, e := range entries {
		typ := fileindex.File
		if e.IsDir() {
			typ = fileindex.Dir
		}
		l.addName([]byte(e.Name()), typ)
	}
	return err
}

// Open opens the regular file called name in d for reading.
func (d *Dir) Open(name []byte) (File, error) {
	f, err := os.Open(d.native(string(name)))
	return File{f: f}, err
}

// crosses: there are no borders of file systems here.
func (d *Dir) crosses([]byte) bool { return false }

// Readable answers nothing: only an attempt tells.
func (d *Dir) Readable([]byte) error { return nil }

// Readlink answers the target of the symlink called name in d.
func (d *Dir) Readlink(name []byte) ([]byte, error) {
	t, err := os.Readlink(d.native(string(name)))
	return []byte(t), err
}

// Xattrs answers nothing: there are no extended attributes here.
func (d *Dir) Xattrs([]byte) ([]fileindex.Xattr, error) { return nil, nil }

// Flags answers 0: file flags are kept on Linux only.
func (d *Dir) Flags() uint32 { return 0 }

// File is an open regular file.
type File struct{ f *os.File }

// Close closes the file. It was only read from, so nothing can be lost.
func (f File) Close() { _ = f.f.Close() }

// Stat looks at the open file.
func (f File) Stat(st *Stat) error {
	fi, err := f.f.Stat()
	if err != nil {
		return err
	}
	fill(st, fi)
	return nil
}

// ReadAt reads into p from offset on; it answers fewer bytes only at the file's end, and then
// no error.
func (f File) ReadAt(p []byte, offset int64) (int, error) {
	n, err := f.f.ReadAt(p, offset)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// ReadAll reads from the file's start into p and answers how much it got: all of p, or as much
// as the file has.
func (f File) ReadAll(p []byte, _ int) (int, error) { return f.ReadAt(p, 0) }

// NextData answers the next run of bytes that are not a hole: all of the rest, since the
// system does not tell.
func (f File) NextData(offset, size int64) (start, end int64, err error) {
	if offset >= size {
		return 0, 0, io.EOF
	}
	return offset, size, nil
}

// Xattrs answers nothing: there are no extended attributes here.
func (f File) Xattrs() ([]fileindex.Xattr, error) { return nil, nil }

// Flags answers 0: file flags are kept on Linux only.
func (f File) Flags() uint32 { return 0 }

// Readahead does nothing here.
func (f File) Readahead() {}

const errNameTooLong = syscall.ENAMETOOLONG

// foldsCase: a file has one name, however it is written.
const foldsCase = true

// toPath is an absolute path as Item.Path has it.
func toPath(native string) []byte { return []byte(strings.TrimRight(filepath.ToSlash(native), "/")) }

// fromNative turns the separators of a pattern into slashes; there is no escaping by \ here.
func fromNative(pattern string) string { return filepath.ToSlash(pattern) }
