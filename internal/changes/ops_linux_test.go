package changes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ops are what a history is made of. The first removes.
var ops = []operation{
	{"remove", func(h *history) error {
		n := h.pick(isAny)
		if n == nil {
			return errNothing
		}
		return h.remove(n)
	}},
	{"create", func(h *history) error { return h.create(h.someDir(), h.name()) }},
	{"create more", func(h *history) error { return h.create(h.someDir(), h.name()) }},
	{"mkdir", func(h *history) error {
		d, name := h.someDir(), h.name()
		if err := os.Mkdir(filepath.Join(d.full(), name), 0o755); err != nil {
			return err
		}
		h.add(d, name, true, false)
		return nil
	}},
	{"special", func(h *history) error {
		d, name := h.someDir(), h.name()
		path := filepath.Join(d.full(), name)
		var err error
		switch h.rng.IntN(3) {
		case 0:
			err = os.Symlink("to/"+name, path)
		case 1:
			err = unix.Mkfifo(path, 0o600)
		default:
			err = unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
		}
		if err != nil {
			return err
		}
		h.add(d, name, false, false)
		return nil
	}},
	{"write", func(h *history) error {
		return h.withFile(func(f *os.File, size int64) error {
			_, err := f.WriteAt(h.bytes(1+h.rng.IntN(5000)), h.rng.Int64N(size+1))
			return err
		})
	}},
	{"write a page", func(h *history) error {
		return h.withFile(func(f *os.File, size int64) error {
			_, err := f.WriteAt(h.bytes(4096), h.rng.Int64N(size/4096+1)*4096)
			return err
		})
	}},
	{"write and set the time back", func(h *history) error {
		return h.withFile(func(f *os.File, size int64) error {
			st, err := f.Stat()
			if err != nil {
				return err
			}
			if _, err := f.WriteAt(h.bytes(1+h.rng.IntN(50)), h.rng.Int64N(size+1)); err != nil {
				return err
			}
			return os.Chtimes(f.Name(), st.ModTime(), st.ModTime())
		})
	}},
	{"append", func(h *history) error {
		return h.withFile(func(f *os.File, size int64) error {
			_, err := f.WriteAt(h.bytes(1+h.rng.IntN(5000)), size)
			return err
		})
	}},
	{"truncate", func(h *history) error {
		return h.withFile(func(f *os.File, size int64) error {
			if err := f.Truncate(h.rng.Int64N(size + 1)); err != nil || h.rng.IntN(2) == 0 {
				return err
			}
			return f.Truncate(h.rng.Int64N(size + 20000))
		})
	}},
	{"punch a hole", func(h *history) error { return h.fallocate(unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE) }},
	{"zero a range", func(h *history) error { return h.fallocate(unix.FALLOC_FL_ZERO_RANGE) }},
	{"allocate", func(h *history) error { return h.fallocate(0) }},
	{"allocate behind the end", func(h *history) error { return h.fallocate(unix.FALLOC_FL_KEEP_SIZE) }},
	{"collapse a range", func(h *history) error { return h.fallocate(unix.FALLOC_FL_COLLAPSE_RANGE) }},
	{"insert a range", func(h *history) error { return h.fallocate(unix.FALLOC_FL_INSERT_RANGE) }},
	{"reflink", func(h *history) error { return h.clone(true) }},
	{"clone a range", func(h *history) error { return h.clone(false) }},
	{"copy a range", func(h *history) error {
		src := h.pick(isPlain)
		if src == nil {
			return errNothing
		}
		in, err := os.Open(src.full())
		if err != nil {
			return err
		}
		defer in.Close()
		return h.withFile(func(f *os.File, size int64) error {
			from, to := h.rng.Int64N(4096), h.rng.Int64N(size+1)
			n, err := unix.CopyFileRange(int(in.Fd()), &from, int(f.Fd()), &to, 1+h.rng.IntN(8192), 0)
			if err == nil && n == 0 {
				return errNothing
			}
			return err
		})
	}},
	{"map, write and unmap", func(h *history) error {
		return h.withFile(func(f *os.File, size int64) error {
			if size == 0 {
				return errNothing
			}
			m, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			if err != nil {
				return err
			}
			m[h.rng.Int64N(size)]++
			return unix.Munmap(m)
		})
	}},
	{"hold a mapping", func(h *history) error { return h.hold(true) }},
	{"hold open", func(h *history) error { return h.hold(false) }},
	{"rename", func(h *history) error {
		n := h.pick(isAny)
		if n == nil {
			return errNothing
		}
		return h.rename(n, h.someDir(), h.name(), unix.RENAME_NOREPLACE)
	}},
	{"move a directory", func(h *history) error {
		n := h.pick(isDir)
		if n == nil {
			return errNothing
		}
		return h.rename(n, h.someDir(), h.name(), unix.RENAME_NOREPLACE)
	}},
	{"rename over", func(h *history) error {
		n, over := h.pick(isLeaf), h.pick(isLeaf)
		if n == nil || over == nil || n == over {
			return errNothing
		}
		from, to := n.full(), over.full()
		if same(from, to) {
			return errNothing // two names of one file: rename does nothing
		}
		dir, name := over.parent, over.name
		if err := h.rename(n, dir, name, 0); err != nil {
			return err
		}
		h.forget(over)
		return nil
	}},
	{"exchange", func(h *history) error {
		a, b := h.pick(isAny), h.pick(isAny)
		if a == nil || b == nil || h.inside(a, b) || h.inside(b, a) {
			return errNothing
		}
		if err := unix.Renameat2(unix.AT_FDCWD, a.full(), unix.AT_FDCWD, b.full(), unix.RENAME_EXCHANGE); err != nil {
			return err
		}
		a.parent, b.parent = b.parent, a.parent
		a.name, b.name = b.name, a.name
		return nil
	}},
	{"link", func(h *history) error {
		n := h.pick(isLeaf)
		if n == nil {
			return errNothing
		}
		d, name := h.someDir(), h.name()
		if err := os.Link(n.full(), filepath.Join(d.full(), name)); err != nil {
			return err
		}
		h.add(d, name, false, n.plain)
		return nil
	}},
	{"recreate", func(h *history) error {
		n := h.pick(isAny)
		if n == nil {
			return errNothing
		}
		d, name := n.parent, n.name
		if err := h.remove(n); err != nil {
			return err
		}
		if h.rng.IntN(3) > 0 {
			return h.create(d, name)
		}
		if err := os.Mkdir(filepath.Join(d.full(), name), 0o755); err != nil {
			return err
		}
		dir := h.add(d, name, true, false)
		return h.create(dir, h.name())
	}},
	{"move a directory and make another in its place", func(h *history) error {
		n := h.pick(isDir)
		if n == nil {
			return errNothing
		}
		d, name := n.parent, n.name
		if err := h.rename(n, h.someDir(), h.name(), unix.RENAME_NOREPLACE); err != nil {
			return err
		}
		if err := os.Mkdir(filepath.Join(d.full(), name), 0o700); err != nil {
			return err
		}
		return h.create(h.add(d, name, true, false), "n1")
	}},
	{"write elsewhere and rename over", func(h *history) error {
		n := h.pick(isPlain)
		if n == nil {
			return errNothing
		}
		tmp := n.full() + "~"
		if err := os.WriteFile(tmp, h.bytes(h.size()), 0o600); err != nil {
			return err
		}
		return os.Rename(tmp, n.full())
	}},
	{"chmod", func(h *history) error {
		n := h.pick(func(n *hnode) bool { return n.dir || n.plain })
		if n == nil {
			return errNothing
		}
		return os.Chmod(n.full(), 0o700|os.FileMode(h.rng.IntN(64)))
	}},
	{"chown", func(h *history) error {
		n := h.pick(isAny)
		if n == nil {
			return errNothing
		}
		return os.Lchown(n.full(), h.rng.IntN(2000), h.rng.IntN(2000))
	}},
	{"set the time", func(h *history) error {
		n := h.pick(isAny)
		if n == nil {
			return errNothing
		}
		ts := []unix.Timespec{{Sec: h.rng.Int64N(1 << 30)}, {Sec: h.rng.Int64N(1 << 30), Nsec: h.rng.Int64N(1e9)}}
		return unix.UtimesNanoAt(unix.AT_FDCWD, n.full(), ts, unix.AT_SYMLINK_NOFOLLOW)
	}},
	{"set an attribute", func(h *history) error {
		n := h.pick(isPlain)
		if n == nil {
			return errNothing
		}
		return unix.Lsetxattr(n.full(), fmt.Sprintf("user.k%d", h.rng.IntN(4)), h.bytes(h.rng.IntN(300)), 0)
	}},
	{"remove an attribute", func(h *history) error {
		n := h.pick(isPlain)
		if n == nil {
			return errNothing
		}
		err := unix.Lremovexattr(n.full(), fmt.Sprintf("user.k%d", h.rng.IntN(4)))
		if errors.Is(err, unix.ENODATA) {
			return errNothing
		}
		return err
	}},
	{"set an acl", func(h *history) error {
		n := h.pick(func(n *hnode) bool { return n.dir || n.plain })
		if n == nil {
			return errNothing
		}
		return unix.Lsetxattr(n.full(), "system.posix_acl_access", acl(uint16(h.rng.IntN(8))), 0)
	}},
}

func same(a, b string) bool {
	x, err := os.Lstat(a)
	if err != nil {
		return false
	}
	y, err := os.Lstat(b)
	return err == nil && os.SameFile(x, y)
}
