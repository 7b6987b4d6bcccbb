package treecmp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// settable are the file flags that a user can set; the others say how the file system keeps
// the file, which is its own affair.
const settable = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x400 | 0x4000 | 0x8000 | 0x10000 | 0x20000 | 0x800000 | 0x20000000

// attributes compares file flags and extended attributes of two open files.
func (c *comparer) attributes(a, b int, st *unix.Stat_t) {
	if !c.o.IgnoreFlags {
		fa, fb := flags(a), flags(b)
		if fa != fb {
			c.differ("file flags %#x / %#x", fa, fb)
		}
	}
	c.xattrs(fdXattrs(a), fdXattrs(b))
}

func flags(fd int) int {
	v, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return 0 // this file system has none
	}
	return v & settable
}

// reader reads extended attributes of one file.
type reader struct {
	list func([]byte) (int, error)
	get  func(string, []byte) (int, error)
}

func fdXattrs(fd int) reader {
	return reader{
		list: func(b []byte) (int, error) { return unix.Flistxattr(fd, b) },
		get:  func(n string, b []byte) (int, error) { return unix.Fgetxattr(fd, n, b) },
	}
}

// xattrsAt compares those of what cannot be opened: symlinks, devices, FIFOs, sockets.
func (c *comparer) xattrsAt(a, b int, name string) error {
	at := func(dir int) reader {
		// Through /proc the path begins at the open directory, so it is never too long.
		p := fmt.Sprintf("/proc/self/fd/%d/%s", dir, name)
		return reader{
			list: func(b []byte) (int, error) { return unix.Llistxattr(p, b) },
			get:  func(n string, b []byte) (int, error) { return unix.Lgetxattr(p, n, b) },
		}
	}
	c.xattrs(at(a), at(b))
	return nil
}

func (c *comparer) xattrs(a, b reader) {
	xa, ea := c.read(a)
	xb, eb := c.read(b)
	if err := errors.Join(ea, eb); err != nil {
		c.differ("extended attributes cannot be read: %v", err)
		return
	}
	for _, n := range xa.names {
		v, ok := xb.values[n]
		switch {
		case !ok:
			c.differ("extended attribute %q only on the left", n)
		case !bytes.Equal(v, xa.values[n]):
			c.differ("extended attribute %q: %x / %x", n, xa.values[n], v)
		}
	}
	for _, n := range xb.names {
		if _, ok := xa.values[n]; !ok {
			c.differ("extended attribute %q only on the right", n)
		}
	}
}

type xattrSet struct {
	names  []string
	values map[string][]byte
}

func (c *comparer) read(r reader) (xattrSet, error) {
	var x xattrSet
	list, err := sized(r.list)
	if errors.Is(err, unix.EOPNOTSUPP) || err == nil && len(list) == 0 {
		return x, nil
	}
	if err != nil {
		return x, err
	}
	x.values = map[string][]byte{}
	for n := range bytes.SplitSeq(list, []byte{0}) {
		name := string(n)
		if name == "" || match(c.o.IgnoreXattr, name) {
			continue
		}
		v, err := sized(func(b []byte) (int, error) { return r.get(name, b) })
		if err != nil {
			return x, fmt.Errorf("%q: %w", name, err)
		}
		x.names = append(x.names, name)
		x.values[name] = v
	}
	slices.Sort(x.names)
	return x, nil
}

// sized calls fn with as large a buffer as it takes.
func sized(fn func([]byte) (int, error)) ([]byte, error) {
	for size := 1 << 10; ; size *= 8 {
		buf := make([]byte, size)
		n, err := fn(buf)
		switch {
		case errors.Is(err, unix.EINTR):
			size /= 8
		case errors.Is(err, unix.ERANGE) && size < 1<<20:
		case err != nil:
			return nil, err
		default:
			return buf[:n], nil
		}
	}
}
