package restore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/repo/fileindex"
)

// File flags, as <linux/fs.h> names them; x/sys has only some.
const (
	flagImmutable = 0x10
	flagAppend    = 0x20
	lateFlags     = flagImmutable | flagAppend
	// Those that a user can set and that mean the same on every file system: secure deletion,
	// undelete, compress, sync, nodump, noatime, no-compress, data journalling, no tail
	// merging, dirsync, top of a hierarchy, no copy-on-write, project inheritance.
	earlyFlags = 0x1 | 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x400 | 0x4000 | 0x8000 | 0x10000 | 0x20000 | 0x800000 | 0x20000000
	setFlags   = earlyFlags | lateFlags
)

const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
)

func timespec(t fileindex.Time) unix.Timespec {
	return unix.Timespec{Sec: t.Sec, Nsec: int64(t.Nsec)}
}

// accessTime leaves the access time as it is.
func accessTime(fileindex.Time) unix.Timespec { return unix.Timespec{Nsec: unix.UTIME_OMIT} }

// creationMask is this process's umask, or all bits when it cannot be told: what it may
// have cleared is set again.
func creationMask() uint32 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0o777
	}
	for line := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(line, []byte("Umask:")); ok {
			m, err := strconv.ParseUint(string(bytes.TrimSpace(v)), 8, 32)
			if err == nil {
				return uint32(m)
			}
		}
	}
	return 0o777
}

// creationOwner is who owns what this process makes in a directory without set-group-id.
func creationOwner() (uid, gid uint32) { return uint32(os.Geteuid()), uint32(os.Getegid()) }

func getFlags(fd int) (flags uint32, ok bool) {
	err := retry(func() (err error) {
		var v int
		v, err = unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
		flags = uint32(v)
		return err
	})
	return flags, err == nil
}

func setFlagsOf(fd int, flags uint32) error {
	return retry(func() error { return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags)) })
}

// prepareFlags sets, before there is any content, what only an empty file can take.
func prepareFlags(fd int, flags uint32) {
	const noCopyOnWrite = 0x800000
	if flags&noCopyOnWrite == 0 {
		return
	}
	if now, ok := getFlags(fd); ok {
		// Whether it took is seen, and reported, when the flags are set for good.
		_ = setFlagsOf(fd, now|noCopyOnWrite)
	}
}

// preallocate reserves the blocks of a range, so that a full disk shows before the data
// comes; file systems that cannot are left alone. The size stays: a file that is not whole
// must not look it.
func preallocate(fd int, offset, length int64) error {
	err := retry(func() error { return unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, offset, length) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

// punch makes a hole in a file.
func punch(fd int, at, length int64) error {
	err := retry(func() error {
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, length)
	})
	if unsupported(err) {
		return writeZeros(fd, at, length)
	}
	return err
}

// hasData tells whether anything is allocated in a range; yes where the system cannot tell.
func hasData(fd int, at, length int64) bool {
	next, err := unix.Seek(fd, at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return false
	}
	return err != nil || next < at+length
}

// allData tells whether there is no hole in a range.
func allData(fd int, at, length int64) bool {
	next, err := unix.Seek(fd, at, unix.SEEK_HOLE)
	return err == nil && next >= at+length
}

// forget drops what the system has of a file in memory, so that reading it asks the disk. What
// is not yet on disk stays.
func forget(fd int) { _ = unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) }

// bornSince tells whether the directory name was made at t or later, as far as the file system
// knows.
func bornSince(dir int, name string, t time.Time) bool {
	var st unix.Statx_t
	err := retry(func() error {
		return unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &st)
	})
	return err == nil && st.Mask&unix.STATX_BTIME != 0 && !time.Unix(st.Btime.Sec, int64(st.Btime.Nsec)).Before(t)
}

// syncTarget makes what was written durable on the file system of fd.
func syncTarget(fd int) error { return retry(func() error { return unix.Syncfs(fd) }) }

func syncAll() { unix.Sync() }

// mknodAt makes a device, FIFO or socket.
func mknodAt(dir int, name string, a *attrs) error {
	mode := a.mode & 0o777
	switch a.typ {
	case fileindex.Char:
		mode |= unix.S_IFCHR
	case fileindex.Block:
		mode |= unix.S_IFBLK
	case fileindex.FIFO:
		mode |= unix.S_IFIFO
	case fileindex.Socket:
		mode |= unix.S_IFSOCK
	}
	return retry(func() error { return unix.Mknodat(dir, name, mode, int(a.rdev)) })
}

// openMeta opens a name for setting metadata without opening a device or FIFO itself.
func openMeta(dir int, name string) (int, error) {
	return openAt(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
}

// procPath is a path to the file of a descriptor that O_PATH made, for calls that take
// paths only. It is no path through the target: it ends at that very file.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// linkPath is a path to a symbolic link itself, for the l… calls.
func linkPath(dir int, name string) string { return procPath(dir) + "/" + name }

func chmodMeta(fd int, mode uint32) error {
	return retry(func() error { return unix.Chmod(procPath(fd), mode) })
}

func chownMeta(fd int, uid, gid int) error {
	return retry(func() error { return unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH) })
}

// xattrCalls are the ways to the extended attributes of one file.
type xattrCalls struct {
	list   func([]byte) (int, error)
	get    func(string, []byte) (int, error)
	set    func(string, []byte) error
	remove func(string) error
}

func xattrsOfFD(fd int) xattrCalls {
	return xattrCalls{
		list:   func(b []byte) (int, error) { return unix.Flistxattr(fd, b) },
		get:    func(n string, b []byte) (int, error) { return unix.Fgetxattr(fd, n, b) },
		set:    func(n string, v []byte) error { return unix.Fsetxattr(fd, n, v, 0) },
		remove: func(n string) error { return unix.Fremovexattr(fd, n) },
	}
}

// xattrsOfPath is for procPath (follow) and linkPath (not).
func xattrsOfPath(path string, follow bool) xattrCalls {
	if follow {
		return xattrCalls{
			list:   func(b []byte) (int, error) { return unix.Listxattr(path, b) },
			get:    func(n string, b []byte) (int, error) { return unix.Getxattr(path, n, b) },
			set:    func(n string, v []byte) error { return unix.Setxattr(path, n, v, 0) },
			remove: func(n string) error { return unix.Removexattr(path, n) },
		}
	}
	return xattrCalls{
		list:   func(b []byte) (int, error) { return unix.Llistxattr(path, b) },
		get:    func(n string, b []byte) (int, error) { return unix.Lgetxattr(path, n, b) },
		set:    func(n string, v []byte) error { return unix.Lsetxattr(path, n, v, 0) },
		remove: func(n string) error { return unix.Lremovexattr(path, n) },
	}
}

// sized calls fn with a buffer that is large enough.
func sized(fn func([]byte) (int, error)) ([]byte, error) {
	buf := make([]byte, 1024)
	for {
		var n int
		err := retry(func() (err error) { n, err = fn(buf); return err })
		if errors.Is(err, unix.ERANGE) {
			if err := retry(func() (err error) { n, err = fn(nil); return err }); err != nil {
				return nil, err
			}
			buf = make([]byte, n+256)
			continue
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
}

func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTTY)
}

// extraXattrs removes the attributes that are there and not wanted, and answers those
// wanted that are missing or differ.
func extraXattrs(c xattrCalls, want []fileindex.Xattr) (set []fileindex.Xattr, changed bool, err error) {
	list, err := sized(c.list)
	if unsupported(err) {
		return want, false, nil
	}
	if err != nil {
		return want, false, fmt.Errorf("list extended attributes: %w", err)
	}
	right := make(map[string]bool)
	for name := range bytes.SplitSeq(list, []byte{0}) {
		if len(name) == 0 {
			continue
		}
		i := indexXattr(want, name)
		if i < 0 {
			// What the system itself sets on every file is not ours to take away.
			if bytes.HasPrefix(name, []byte("security.")) && string(name) != "security.capability" {
				continue
			}
			if err := c.remove(string(name)); err == nil {
				changed = true
			} else if !errors.Is(err, unix.ENODATA) {
				return want, changed, fmt.Errorf("remove extended attribute %q: %w", name, err)
			}
			continue
		}
		have, err := sized(func(b []byte) (int, error) { return c.get(string(name), b) })
		right[string(name)] = err == nil && bytes.Equal(have, want[i].Value)
	}
	for _, x := range want {
		if !right[string(x.Name)] {
			set = append(set, x)
		}
	}
	return set, changed, nil
}

func indexXattr(list []fileindex.Xattr, name []byte) int {
	for i := range list {
		if bytes.Equal(list[i].Name, name) {
			return i
		}
	}
	return -1
}
