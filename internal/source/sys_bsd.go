//go:build darwin || freebsd

package source

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"keepward/internal/repo/fileindex"
)

const errNoAttr = unix.ENOATTR

func fill(st *Stat, x *unix.Stat_t) {
	*st = Stat{
		Type: modeType(uint32(x.Mode)), Mode: uint32(x.Mode) & 0o7777,
		UID: x.Uid, GID: x.Gid, Size: x.Size, Blocks: x.Blocks,
		MTime: fromTimespec(x.Mtim), CTime: fromTimespec(x.Ctim), BTime: fromTimespec(x.Btim),
		Inode: uint64(x.Ino), Device: uint64(x.Dev), Links: uint64(x.Nlink),
	}
	if st.Type == fileindex.Char || st.Type == fileindex.Block {
		st.RDev = uint64(x.Rdev)
	}
}

func fromTimespec(t unix.Timespec) fileindex.Time {
	sec, nsec := t.Unix()
	return fileindex.Time{Sec: sec, Nsec: uint32(nsec)}
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

func statFD(fd int, st *Stat) error {
	var x unix.Stat_t
	if err := unix.Fstat(fd, &x); err != nil {
		return err
	}
	fill(st, &x)
	return nil
}

func statAt(dirfd int, name []byte, st *Stat) error {
	var x unix.Stat_t
	if err := unix.Fstatat(dirfd, string(name), &x, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	fill(st, &x)
	return nil
}

// deviceAt is the device number of a name.
func deviceAt(dirfd int, name []byte) (uint64, error) {
	var x unix.Stat_t
	err := unix.Fstatat(dirfd, string(name), &x, unix.AT_SYMLINK_NOFOLLOW)
	return uint64(x.Dev), err
}

func (d *Dir) statListed(fd int, l *nameList, i int, st *Stat) error {
	err := statAt(fd, l.name(i), st)
	d.translate(st)
	return err
}

func openAt(dirfd int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dirfd, name, flags|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

func openFileAt(dirfd int, name []byte) (int, error) { return openAt(dirfd, string(name), 0) }

func (d *Dir) list(fd int, _ []byte, l *listing) error {
	own, err := openAt(fd, ".", unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(own), d.name)
	defer func() { _ = f.Close() }() // only read from
	entries, err := f.ReadDir(-1)
	for _, e := range entries {
		typ := fileindex.File
		if e.IsDir() {
			typ = fileindex.Dir
		}
		l.addName([]byte(e.Name()), typ)
	}
	return err
}

// Flags answers 0: file flags are kept on Linux only.
func (f File) Flags() uint32 { return 0 }

// Flags answers 0: file flags are kept on Linux only.
func (d *Dir) Flags() uint32 { return 0 }

// Readahead does nothing here.
func (f File) Readahead() {}

// pathAt is the path of name in d: there is no way by descriptor here.
func pathAt(_ int, d *Dir, name []byte) string {
	return "/" + string(append(append(d.Path(), '/'), name...))
}
