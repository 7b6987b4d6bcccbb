//go:build unix

package restore

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"golang.org/x/sys/unix"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
)

// Everything on the target is reached from the base directory's descriptor, one component at
// a time, without following a symbolic link: the target may be changed, or have been
// prepared, by others while a restore runs, and must not lead it elsewhere. No path is ever
// put together, so none is too long.

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// retry repeats a call that a signal interrupted; Go's own preemption signals do that.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func openAt(dir int, name string, flags int, mode uint32) (fd int, err error) {
	err = retry(func() (err error) { fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, mode); return err })
	return fd, err
}

func openDirAt(dir int, name string) (int, error) { return openAt(dir, name, dirFlags, 0) }

func closeFD(fd int) error {
	// The descriptor is gone even after EINTR, so this is not repeated.
	return unix.Close(fd)
}

// statAt answers what stands under name, nil if nothing does.
func statAt(dir int, name string) (*present, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return presentOf(&st), nil
}

func statFD(fd int) (*present, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return nil, err
	}
	return presentOf(&st), nil
}

func presentOf(st *unix.Stat_t) *present {
	p := &present{
		mode: uint32(st.Mode) & 0o7777, uid: st.Uid, gid: st.Gid, size: st.Size,
		rdev: uint64(st.Rdev), dev: uint64(st.Dev), ino: st.Ino, links: uint64(st.Nlink),
	}
	sec, nsec := st.Mtim.Unix()
	p.mtime = fileindex.Time{Sec: sec, Nsec: uint32(nsec)}
	sec, nsec = st.Ctim.Unix()
	p.ctime = fileindex.Time{Sec: sec, Nsec: uint32(nsec)}
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFREG:
		p.typ = fileindex.File
	case unix.S_IFDIR:
		p.typ = fileindex.Dir
	case unix.S_IFLNK:
		p.typ = fileindex.Symlink
	case unix.S_IFCHR:
		p.typ = fileindex.Char
	case unix.S_IFBLK:
		p.typ = fileindex.Block
	case unix.S_IFIFO:
		p.typ = fileindex.FIFO
	case unix.S_IFSOCK:
		p.typ = fileindex.Socket
	}
	return p
}

func mkdirAt(dir int, name string, mode uint32) error {
	return retry(func() error { return unix.Mkdirat(dir, name, mode) })
}

func unlinkAt(dir int, name string) error {
	return retry(func() error { return unix.Unlinkat(dir, name, 0) })
}

func rmdirAt(dir int, name string) error {
	return retry(func() error { return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) })
}

func renameAt(dir int, from, to string) error {
	return retry(func() error { return unix.Renameat(dir, from, dir, to) })
}

func linkAt(fromDir int, from string, toDir int, to string) error {
	return retry(func() error { return unix.Linkat(fromDir, from, toDir, to, 0) })
}

func chownAt(dir int, name string, uid, gid int) error {
	return retry(func() error { return unix.Fchownat(dir, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW) })
}

// setTimeAt sets the mtime, and leaves the atime where the system can.
func setTimeAt(dir int, name string, t fileindex.Time) error {
	ts := []unix.Timespec{accessTime(t), timespec(t)}
	return retry(func() error { return unix.UtimesNanoAt(dir, name, ts, unix.AT_SYMLINK_NOFOLLOW) })
}

func readlinkAt(dir int, name string) (string, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		var n int
		if err := retry(func() (err error) { n, err = unix.Readlinkat(dir, name, buf); return err }); err != nil {
			return "", err
		}
		if n < size {
			return string(buf[:n]), nil
		}
	}
}

// tempName is where the content that will be called name grows. It is always the same for a
// name, so that the next restore clears what a killed one left.
func tempName(name string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	return fmt.Sprintf(".keepward-%016x.tmp", h.Sum64())
}

// clearTemp removes what an earlier restore left under a temporary name.
func clearTemp(dir int, temp string) error {
	if err := unlinkAt(dir, temp); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// walkDir opens the directory that is reached from base by these names.
func walkDir(base int, names []string) (int, error) {
	fd, err := openAt(base, ".", dirFlags, 0)
	if err != nil {
		return -1, err
	}
	for _, name := range names {
		next, err := openDirAt(fd, name)
		_ = closeFD(fd)
		if err != nil {
			return -1, err
		}
		fd = next
	}
	return fd, nil
}

// checkName refuses names that a file index made by Keepward cannot hold: a forged one must
// not lead out of the directory.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return errs.New(errs.Corrupt, "entry.name", "the restore point holds the name %q, which cannot be a file's", name)
	}
	return nil
}

// listDir answers the names in an open directory, from its beginning.
func listDir(fd int) ([]string, error) {
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		return nil, err
	}
	var names []string
	buf := make([]byte, 32<<10)
	for {
		var n int
		if err := retry(func() (err error) { n, err = unix.ReadDirent(fd, buf); return err }); err != nil {
			return nil, err
		}
		if n <= 0 {
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// removeAt removes what stands under name, with all that is below it. It stays on the file
// system dev: what is mounted below is not removed.
func removeAt(dir int, name string, dev uint64) (removed int64, err error) {
	if err := unlinkAt(dir, name); err == nil {
		return 1, nil
	} else if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return 0, fmt.Errorf("remove: %w", err)
	}
	fd, err := openDirAt(dir, name)
	if err != nil {
		return 0, fmt.Errorf("remove: %w", err)
	}
	defer func() { _ = closeFD(fd) }()
	st, err := statFD(fd)
	if err != nil {
		return 0, fmt.Errorf("remove: %w", err)
	}
	if st.dev != dev {
		return 0, errs.New(errs.Busy, "restore.mountpoint", "remove: another file system is mounted there")
	}
	names, err := listDir(fd)
	if err != nil {
		return 0, fmt.Errorf("remove: list: %w", err)
	}
	for _, n := range names {
		k, err := removeAt(fd, n, dev)
		removed += k
		if err != nil {
			return removed, err
		}
	}
	if err := rmdirAt(dir, name); err != nil {
		return removed, fmt.Errorf("remove: %w", err)
	}
	return removed + 1, nil
}

func pwriteAll(fd int, b []byte, offset int64) error {
	for len(b) > 0 {
		var n int
		if err := retry(func() (err error) { n, err = unix.Pwrite(fd, b, offset); return err }); err != nil {
			return err
		}
		b, offset = b[n:], offset+int64(n)
	}
	return nil
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		var n int
		if err := retry(func() (err error) { n, err = unix.Write(fd, b); return err }); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// readFull reads len(b) bytes at offset; false: the file is shorter.
func readFull(fd int, b []byte, offset int64) (bool, error) {
	for len(b) > 0 {
		var n int
		if err := retry(func() (err error) { n, err = unix.Pread(fd, b, offset); return err }); err != nil {
			return false, err
		}
		if n == 0 {
			return false, nil
		}
		b, offset = b[n:], offset+int64(n)
	}
	return true, nil
}
