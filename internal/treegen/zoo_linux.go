package treegen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Zoo fills dir with every kind of file, name and metadata there is. What this user or file
// system cannot have is left out and named in the answer; as root on ext4 that is nothing.
// Remove clears such a tree away again.
func Zoo(dir string) (missing []string, err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	z := &zoo{}
	defer func() {
		for _, d := range z.open {
			_ = unix.Close(d)
		}
		_ = unix.Close(fd)
	}()
	for _, part := range []struct {
		name string
		fill func(dir int)
	}{
		{"content", z.content},
		{"names", z.names},
		{"deep", z.deep},
		{"modes", z.modes},
		{"times", z.times},
		{"symlinks", z.symlinks},
		{"links", z.links},
		{"special", z.special},
		{"xattrs", z.xattrs},
		{"flags", z.flags},
		{"many", z.many},
		{"empty", func(int) {}},
	} {
		part.fill(z.dir(fd, part.name))
	}
	return z.missing, z.err
}

// zoo keeps the first error; calls after it do nothing that matters.
type zoo struct {
	err     error
	missing []string
	open    []int
}

// must notes a failure; what cannot be had here is missing, all else an error.
func (z *zoo) must(what string, err error) bool {
	switch {
	case err == nil:
		return true
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EACCES):
		z.missing = append(z.missing, what)
	case z.err == nil:
		z.err = fmt.Errorf("make %s: %w", what, err)
	}
	return false
}

func (z *zoo) dir(parent int, name string) int {
	z.must("directory "+name, unix.Mkdirat(parent, name, 0o755))
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if !z.must("directory "+name, err) {
		return -1
	}
	z.open = append(z.open, fd)
	return fd
}

// file makes a file and hands its descriptor to more, if that is set.
func (z *zoo) file(dir int, name string, content []byte, more func(fd int)) {
	fd, err := unix.Openat(dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	if !z.must(name, err) {
		return
	}
	z.write(name, fd, content, 0)
	if more != nil {
		more(fd)
	}
	z.must(name, unix.Close(fd))
}

func (z *zoo) write(what string, fd int, b []byte, at int64) {
	for len(b) > 0 && z.err == nil {
		n, err := unix.Pwrite(fd, b, at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		z.must(what, err)
		b, at = b[max(n, 0):], at+int64(n)
	}
}

// content: sizes around every limit that a backup may have, and every layout of holes.
func (z *zoo) content(dir int) {
	r := source(5, 5)
	for _, n := range []int{0, 1, 511, 4095, 4096, 4097, 64<<10 + 1, 256<<10 - 1, 256 << 10, 256<<10 + 1, 1<<20 + 3, 4<<20 + 1, 9<<20 + 77} {
		z.file(dir, fmt.Sprintf("noise-%d", n), noise(r, n), nil)
		z.file(dir, fmt.Sprintf("text-%d", n), text(r, nil, n), nil)
	}
	z.file(dir, "zeros-allocated", make([]byte, 3<<20), nil)
	z.file(dir, "zeros-small", make([]byte, 5000), nil)
	z.file(dir, "twice-1", text(source(6, 6), nil, 700<<10), nil)
	z.file(dir, "twice-2", text(source(6, 6), nil, 700<<10), nil)
	z.sparse(dir, "hole-only", 10<<20+5)
	z.sparse(dir, "hole-head", 8<<20, 7<<20)
	z.sparse(dir, "hole-tail", 8<<20+123, 0)
	z.sparse(dir, "hole-middle", 8<<20, 0, 6<<20)
	z.sparse(dir, "hole-small", 64<<10, 0, 32<<10)
	var many []int64
	for i := range int64(60) {
		many = append(many, i*(300<<10))
	}
	z.sparse(dir, "holes-many", 60*(300<<10)+11, many...)
	z.file(dir, "holes-and-zeros", nil, func(fd int) {
		z.must("holes-and-zeros", unix.Ftruncate(fd, 16<<20))
		z.write("holes-and-zeros", fd, make([]byte, 2<<20), 1<<20)
		z.write("holes-and-zeros", fd, text(r, nil, 1<<20), 6<<20)
		z.write("holes-and-zeros", fd, make([]byte, 64<<10), 12<<20)
	})
}

// sparse makes a file of size with 8 KiB of data at each offset.
func (z *zoo) sparse(dir int, name string, size int64, data ...int64) {
	r := source(uint64(size), 9)
	z.file(dir, name, nil, func(fd int) {
		z.must(name, unix.Ftruncate(fd, size))
		for _, at := range data {
			z.write(name, fd, noise(r, 8192), at)
		}
	})
}

func (z *zoo) names(dir int) {
	for _, n := range []string{
		" ", " leading", "trailing ", "-rf", "--", "...", ".hidden", "new\nline", "tab\there", "cr\rlf", "bell\x07", "esc\x1b[31mred",
		"back\\slash", "quote'\"`", "star*?[x]", "{a,b}", "$HOME", "a:b", "CON", "aux.txt", "ünïcödé", "u\u0308nfd", "日本語", "🎒",
		"\xff\xfe not utf-8", "latin-\xe9", "\xc0\xaf", strings.Repeat("x", 255), strings.Repeat("\xc3\xa4", 127), "\x01", "\x7f", "~", "#", "a b  c",
	} {
		z.file(dir, n, []byte(n), nil)
	}
	d := z.dir(dir, "dir\n\xff")
	z.file(d, "in it", []byte("x"), nil)
	// Order by component: these sort differently as plain strings.
	for _, n := range []string{"a", "a!", "a.b", "a-b"} {
		z.file(z.dir(dir, "order-"+n), "f", []byte(n), nil)
	}
}

// deep goes beyond PATH_MAX.
func (z *zoo) deep(dir int) {
	d := dir
	for i := range 24 {
		z.file(d, "beside", fmt.Appendf(nil, "level %d", i), nil)
		d = z.dir(d, fmt.Sprintf("%02d-%s", i, strings.Repeat("d", 240)))
	}
	z.file(d, "bottom", []byte("here"), func(fd int) {
		z.must("deep xattr", unix.Fsetxattr(fd, "user.deep", []byte("yes"), 0))
		z.must("deep owner", unix.Fchown(fd, 1234, 4321))
	})
	z.must("deep symlink", unix.Symlinkat("bottom", d, "symlink"))
	z.must("deep hard link", unix.Linkat(d, "bottom", dir, "linked-from-the-top", 0))
	z.must("deep fifo", unix.Mkfifoat(d, "fifo", 0o640))
}

func (z *zoo) modes(dir int) {
	for _, m := range []uint32{0, 0o400, 0o444, 0o600, 0o755, 0o777, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777} {
		z.file(dir, fmt.Sprintf("file-%04o", m), []byte("x"), func(fd int) { z.must("mode", unix.Fchmod(fd, m)) })
		d := z.dir(dir, fmt.Sprintf("dir-%04o", m))
		z.file(d, "inside", []byte("y"), nil)
		z.must("mode", unix.Fchmod(d, m))
	}
	for _, o := range [][2]int{{1000, 1000}, {0, 65534}, {65534, 0}, {3000000000, 4000000000}} {
		name := fmt.Sprintf("owner-%d-%d", o[0], o[1])
		z.file(dir, name, []byte("x"), func(fd int) {
			z.must("owner", unix.Fchown(fd, o[0], o[1]))
			z.must("mode", unix.Fchmod(fd, 0o6755))
		})
		z.must("symlink owner", unix.Symlinkat("x", dir, name+"-symlink"))
		z.must("symlink owner", unix.Fchownat(dir, name+"-symlink", o[0], o[1], unix.AT_SYMLINK_NOFOLLOW))
	}
}

func (z *zoo) times(dir int) {
	for i, t := range []unix.Timespec{{Sec: 0, Nsec: 1}, {Sec: -1, Nsec: 999999999}, {Sec: -1000000000}, {Sec: 1, Nsec: 123456789}, {Sec: 4102444800, Nsec: 5}, {Sec: 10000000000}} {
		set := func(at int, name string) {
			z.must("time", unix.UtimesNanoAt(at, name, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW))
		}
		name := fmt.Sprintf("time-%d", i)
		z.file(dir, name, []byte("x"), nil)
		set(dir, name)
		z.must("symlink", unix.Symlinkat("x", dir, name+"-symlink"))
		set(dir, name+"-symlink")
		d := z.dir(dir, name+"-dir")
		z.file(d, "inside", nil, nil)
		z.dir(d, "sub")
		set(d, "sub")
		set(dir, name+"-dir")
	}
}

func (z *zoo) symlinks(dir int) {
	for name, target := range map[string]string{
		"relative": "../content/text-1", "absolute": "/etc/hostname", "dangling": "nowhere/at/all", "loop": "loop", "self-dir": ".",
		"up": "../../../../../..", "not-utf8": "\xff\xfe", "newline": "a\nb", "long": strings.Repeat("l/", 2047) + "x", "space": " ",
	} {
		z.must("symlink "+name, unix.Symlinkat(target, dir, name))
	}
	z.must("symlink to a directory", unix.Symlinkat("../content", dir, "to-dir"))
}

func (z *zoo) links(dir int) {
	sub := z.dir(dir, "sub")
	z.file(dir, "one", text(source(8, 8), nil, 300<<10), func(fd int) {
		z.must("xattr", unix.Fsetxattr(fd, "user.shared", []byte("by all names"), 0))
		z.must("mode", unix.Fchmod(fd, 0o640))
	})
	for _, to := range []string{"one-b", "one-c", "zz-one"} {
		z.must("hard link", unix.Linkat(dir, "one", dir, to, 0))
	}
	z.must("hard link", unix.Linkat(dir, "one", sub, "one", 0))
	z.must("hard link", unix.Linkat(dir, "one", sub, "a-one", 0))
	z.file(dir, "empty", nil, nil)
	z.must("hard link", unix.Linkat(dir, "empty", sub, "empty", 0))
	// The same content, and no hard link.
	z.file(sub, "copy", text(source(8, 8), nil, 300<<10), nil)
	z.must("symlink", unix.Symlinkat("one", dir, "symlink"))
	z.must("hard link to a symlink", unix.Linkat(dir, "symlink", sub, "symlink", 0))
	z.must("fifo", unix.Mkfifoat(dir, "fifo", 0o600))
	z.must("hard link to a fifo", unix.Linkat(dir, "fifo", sub, "fifo", 0))
}

func (z *zoo) special(dir int) {
	z.must("fifo", unix.Mkfifoat(dir, "fifo", 0o622))
	z.must("fifo mode", unix.Fchmodat(dir, "fifo", 0o662, 0))
	z.must("socket", unix.Mknodat(dir, "socket", unix.S_IFSOCK|0o755, 0))
	z.must("char device", unix.Mknodat(dir, "char", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	z.must("block device", unix.Mknodat(dir, "block", unix.S_IFBLK|0o660, int(unix.Mkdev(259, 1048575))))
	z.must("char device 0:0", unix.Mknodat(dir, "whiteout", unix.S_IFCHR, 0))
	for _, n := range []string{"fifo", "socket", "char", "block"} {
		z.must("owner", unix.Fchownat(dir, n, 7, 8, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// ACL entries, as the kernel keeps them.
const (
	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
	aclNoID     = 0xffffffff
)

func acl(entries ...[3]uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

func (z *zoo) xattrs(dir int) {
	set := func(fd int, name string, value []byte) { z.must("xattr "+name, unix.Fsetxattr(fd, name, value, 0)) }
	z.file(dir, "user", []byte("x"), func(fd int) {
		set(fd, "user.empty", nil)
		set(fd, "user.binary", []byte{0, 1, 255, 0})
		set(fd, "user.long", noise(source(1, 1), 2000))
		set(fd, "user.\xff not utf-8", []byte("v"))
		set(fd, "trusted.keepward", []byte("root only"))
	})
	access := acl([3]uint32{aclUserObj, 6, aclNoID}, [3]uint32{aclUser, 4, 1000}, [3]uint32{aclGroupObj, 4, aclNoID}, [3]uint32{aclGroup, 7, 1001}, [3]uint32{aclMask, 5, aclNoID}, [3]uint32{aclOther, 0, aclNoID})
	z.file(dir, "acl", []byte("x"), func(fd int) { set(fd, "system.posix_acl_access", access) })
	z.file(dir, "capability", []byte("x"), func(fd int) {
		z.must("owner", unix.Fchown(fd, 1000, 1000))
		z.must("mode", unix.Fchmod(fd, 0o755))
		c := binary.LittleEndian.AppendUint32(nil, 0x02000001) // version 2, effective
		for _, v := range []uint32{1 << 10, 0, 0, 0} {         // net_bind_service
			c = binary.LittleEndian.AppendUint32(c, v)
		}
		set(fd, "security.capability", c)
	})
	d := z.dir(dir, "default-acl")
	z.file(d, "before", []byte("x"), nil)
	set(d, "system.posix_acl_default", access)
	set(d, "user.dir", []byte("v"))
	z.file(d, "inherits", []byte("x"), nil)
	z.dir(d, "inherits-too")
	z.must("symlink", unix.Symlinkat("x", dir, "symlink"))
	z.must("symlink xattr", unix.Lsetxattr(fmt.Sprintf("/proc/self/fd/%d/symlink", dir), "trusted.symlink", []byte("v"), 0))
	z.must("fifo", unix.Mkfifoat(dir, "fifo", 0o600))
	z.must("fifo xattr", unix.Lsetxattr(fmt.Sprintf("/proc/self/fd/%d/fifo", dir), "trusted.fifo", []byte("v"), 0))
}

// File flags, as <linux/fs.h> names them.
const (
	flagSync      = 0x8
	flagImmutable = 0x10
	flagAppend    = 0x20
	flagNoDump    = 0x40
	flagNoATime   = 0x80
)

func addFlags(fd, flags int) error {
	now, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, now|flags)
}

func (z *zoo) flags(dir int) {
	set := func(fd, flags int) { z.must(fmt.Sprintf("file flags %#x", flags), addFlags(fd, flags)) }
	for name, f := range map[string]int{"nodump": flagNoDump, "noatime": flagNoATime, "sync": flagSync, "append": flagAppend, "immutable": flagImmutable, "all": flagNoDump | flagNoATime | flagImmutable} {
		z.file(dir, name, []byte(name), func(fd int) {
			z.must("mode", unix.Fchmod(fd, 0o444))
			set(fd, f)
		})
	}
	for name, f := range map[string]int{"dir-nodump": flagNoDump, "dir-noatime": flagNoATime, "dir-immutable": flagImmutable, "dir-append": flagAppend} {
		d := z.dir(dir, name)
		z.file(d, "inside", []byte("x"), nil)
		z.dir(d, "sub")
		set(d, f)
	}
	// A hard link of an immutable file.
	z.file(dir, "linked-1", []byte("x"), func(fd int) {
		z.must("hard link", unix.Linkat(dir, "linked-1", dir, "linked-2", 0))
		set(fd, flagImmutable)
	})
}

// many is a directory of more entries than fit any one buffer.
func (z *zoo) many(dir int) {
	for i := range 3000 {
		z.file(dir, fmt.Sprintf("%04d", i), fmt.Appendf(nil, "%d", i*i), nil)
	}
}
