package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"

	"keepward/internal/repo/fileindex"
)

// The calls below take names that end with a zero byte where they lie, so that a walk of a
// million files makes no million strings.

func statxCall(dirfd int, name *byte, flags int, st *Stat) error {
	var x unix.Statx_t
	const mask = unix.STATX_BASIC_STATS | unix.STATX_BTIME
	for {
		_, _, e := unix.Syscall6(unix.SYS_STATX, uintptr(dirfd), uintptr(unsafe.Pointer(name)), uintptr(flags), mask, uintptr(unsafe.Pointer(&x)), 0)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return e
		}
		break
	}
	*st = Stat{
		Type: modeType(uint32(x.Mode)), Mode: uint32(x.Mode) & 0o7777,
		UID: x.Uid, GID: x.Gid, Size: int64(x.Size), Blocks: int64(x.Blocks),
		MTime: fileindex.Time{Sec: x.Mtime.Sec, Nsec: x.Mtime.Nsec},
		CTime: fileindex.Time{Sec: x.Ctime.Sec, Nsec: x.Ctime.Nsec},
		Inode: x.Ino, Device: unix.Mkdev(x.Dev_major, x.Dev_minor), Links: uint64(x.Nlink),
	}
	if x.Mask&unix.STATX_BTIME != 0 {
		st.BTime = fileindex.Time{Sec: x.Btime.Sec, Nsec: x.Btime.Nsec}
	}
	if st.Type == fileindex.Char || st.Type == fileindex.Block {
		st.RDev = unix.Mkdev(x.Rdev_major, x.Rdev_minor)
	}
	return nil
}

var emptyName = [1]byte{}

func statFD(fd int, st *Stat) error {
	return statxCall(fd, &emptyName[0], unix.AT_EMPTY_PATH, st)
}

// zeroEnded copies a name behind a zero byte's distance.
func zeroEnded(buf *[256]byte, name []byte) *byte {
	if len(name) < len(buf) {
		copy(buf[:], name)
		buf[len(name)] = 0
		return &buf[0]
	}
	long := append(bytes.Clone(name), 0)
	return &long[0]
}

func statAt(dirfd int, name []byte, st *Stat) error {
	var buf [256]byte
	return statxCall(dirfd, zeroEnded(&buf, name), unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, st)
}

// deviceAt is the device number of a name, from what the system knows already: no server is asked.
func deviceAt(dirfd int, name []byte) (uint64, error) {
	var x unix.Statx_t
	err := unix.Statx(dirfd, string(name), unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC, 0, &x)
	return unix.Mkdev(x.Dev_major, x.Dev_minor), err
}

// statListed is statAt for a name that ends with a zero byte where it lies.
func statListed(dirfd int, name *byte, st *Stat) error {
	return statxCall(dirfd, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, st)
}

func openCall(dirfd int, name *byte, flags int) (int, error) {
	flags |= unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_LARGEFILE
	noatime := unix.O_NOATIME
	for {
		fd, _, e := unix.Syscall6(unix.SYS_OPENAT, uintptr(dirfd), uintptr(unsafe.Pointer(name)), uintptr(flags|noatime), 0, 0, 0)
		switch {
		case e == 0:
			return int(fd), nil
		case e == unix.EPERM && noatime != 0:
			noatime = 0 // somebody else's file, and we are not root
		case e != unix.EINTR:
			return -1, e
		}
	}
}

func openAt(dirfd int, name string, flags int) (int, error) {
	b := append([]byte(name), 0)
	return openCall(dirfd, &b[0], flags)
}

func openFileAt(dirfd int, name []byte) (int, error) {
	var buf [256]byte
	return openCall(dirfd, zeroEnded(&buf, name), 0)
}

func modeType(mode uint32) fileindex.Type {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return fileindex.Dir
	case unix.S_IFREG:
		return fileindex.File
	case unix.S_IFLNK:
		return fileindex.Symlink
	case unix.S_IFCHR:
		return fileindex.Char
	case unix.S_IFBLK:
		return fileindex.Block
	case unix.S_IFIFO:
		return fileindex.FIFO
	case unix.S_IFSOCK:
		return fileindex.Socket
	}
	return 0
}

func (d *Dir) statListed(fd int, l *nameList, i int, st *Stat) error {
	err := statListed(fd, &l.names[l.refs[i].offset], st)
	d.translate(st)
	return err
}

// list appends the names in the directory, open as fd, to l.
func (d *Dir) list(fd int, buf []byte, l *listing) error {
	// The descriptor may have been listed before.
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return err
	}
	for {
		n, err := unix.Getdents(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			return err
		}
		for b := buf[:n]; len(b) > 19; {
			// struct linux_dirent64: inode 8, offset 8, length 2, type 1, name ended by zero.
			reclen := int(binary.NativeEndian.Uint16(b[16:]))
			name := b[19:reclen]
			name = name[:bytes.IndexByte(name, 0)]
			l.addName(name, direntType(b[18]))
			b = b[reclen:]
		}
	}
}

func direntType(t byte) fileindex.Type {
	switch t {
	case unix.DT_UNKNOWN:
		return 0
	case unix.DT_DIR:
		return fileindex.Dir
	}
	return fileindex.File // or another kind that is no directory: the stat will tell
}

// Readahead tells the system that all of the file will be read from its start to its end.
func (f File) Readahead() { _ = unix.Fadvise(f.fd, 0, 0, unix.FADV_SEQUENTIAL) } // a hint only
