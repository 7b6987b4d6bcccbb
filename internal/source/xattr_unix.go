//go:build unix

package source

import (
	"bytes"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"keepward/internal/repo/fileindex"
)

// Xattrs answers the file's extended attributes, sorted by name; nil where there are none or
// the file system has no such thing.
func (f File) Xattrs() ([]fileindex.Xattr, error) {
	return readXattrs(
		func(b []byte) (int, error) { return unix.Flistxattr(f.fd, b) },
		func(name string, b []byte) (int, error) { return unix.Fgetxattr(f.fd, name, b) },
	)
}

// Xattrs answers the extended attributes of name in d without opening it; an empty name means
// d itself.
func (d *Dir) Xattrs(name []byte) ([]fileindex.Xattr, error) {
	fd, err := d.acquire()
	if err != nil && len(name) == 0 && d.parent != nil {
		return d.parent.Xattrs([]byte(d.name)) // it may not be opened, but be looked at
	}
	if err != nil {
		return nil, err
	}
	defer d.release()
	if len(name) == 0 {
		return File{fd: fd}.Xattrs()
	}
	path := pathAt(fd, d, name)
	return readXattrs(
		func(b []byte) (int, error) { return unix.Llistxattr(path, b) },
		func(name string, b []byte) (int, error) { return unix.Lgetxattr(path, name, b) },
	)
}

func readXattrs(list func([]byte) (int, error), get func(string, []byte) (int, error)) ([]fileindex.Xattr, error) {
	names, err := growing(list)
	if noXattrs(err) || err == nil && len(names) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var xs []fileindex.Xattr
	for n := range bytes.SplitSeq(names, []byte{0}) {
		if len(n) == 0 {
			continue
		}
		value, err := growing(func(b []byte) (int, error) { return get(string(n), b) })
		if errors.Is(err, errNoAttr) {
			continue // removed since it was listed
		}
		if err != nil {
			return xs, err
		}
		xs = append(xs, fileindex.Xattr{Name: bytes.Clone(n), Value: bytes.Clone(value)})
	}
	slices.SortFunc(xs, func(a, b fileindex.Xattr) int { return bytes.Compare(a.Name, b.Name) })
	return xs, nil
}

// growing asks how much there is to read, which is mostly nothing, and reads it; again when
// it has become more meanwhile.
func growing(read func([]byte) (int, error)) ([]byte, error) {
	for {
		n, err := read(nil)
		if err != nil || n == 0 {
			return nil, err
		}
		buf := make([]byte, n)
		if n, err = read(buf); !errors.Is(err, unix.ERANGE) {
			return buf[:max(n, 0)], err
		}
	}
}

func noXattrs(err error) bool {
	return errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS)
}
