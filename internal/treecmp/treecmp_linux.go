// Package treecmp compares two trees of files, everything a backup has to bring back: types,
// content, holes, mode, owner, mtime, symlink targets, hard links, devices, extended
// attributes (with ACLs and capabilities) and file flags.
//
// It is test support: a judge that shares no code with what it judges. It opens everything
// relative to open directories, so it reaches paths beyond PATH_MAX. It runs on Linux only.
// A comparison belongs to one goroutine.
package treecmp

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Options say what does not count.
type Options struct {
	// Ignore are globs (path.Match) on base names, left out on both sides.
	Ignore []string
	// IgnoreXattr are globs on names of extended attributes.
	IgnoreXattr []string
	// IgnoreFlags leaves file flags out: not every file system has them.
	IgnoreFlags bool
	// IgnoreHoles leaves out where a file is allocated.
	IgnoreHoles bool
	// IgnoreOwner leaves out owner and group: who is not root cannot restore them.
	IgnoreOwner bool
	// IgnoreTimes leaves out mtimes.
	IgnoreTimes bool
	// IgnoreRoot leaves out the metadata of the two roots themselves.
	IgnoreRoot bool
}

// Result counts what was compared and found.
type Result struct {
	Entries     int64
	Bytes       int64
	Differences int64
}

// maxLines bounds what Compare answers; nobody reads more.
const maxLines = 1000

// Compare answers the differences between trees a and b, one line each; none means that
// they are the same.
func Compare(a, b string, o Options) ([]string, error) {
	var lines []string
	res, err := Each(a, b, o, func(line string) {
		if len(lines) < maxLines {
			lines = append(lines, line)
		}
	})
	if more := res.Differences - int64(len(lines)); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return lines, err
}

// Each compares trees a and b and calls report with one line for every difference.
func Each(a, b string, o Options, report func(line string)) (Result, error) {
	c := &comparer{o: o, report: report, fromA: map[inode]link{}, fromB: map[inode]link{}, bufA: make([]byte, bufSize), bufB: make([]byte, bufSize)}
	fa, err := unix.Open(a, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return c.res, fmt.Errorf("open %s: %w", a, err)
	}
	defer unix.Close(fa)
	fb, err := unix.Open(b, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return c.res, fmt.Errorf("open %s: %w", b, err)
	}
	defer unix.Close(fb)
	var sa, sb unix.Stat_t
	if err := errors.Join(unix.Fstat(fa, &sa), unix.Fstat(fb, &sb)); err != nil {
		return c.res, err
	}
	c.res.Entries++
	if !o.IgnoreRoot {
		c.metadata(&sa, &sb)
		c.attributes(fa, fb, &sa)
	}
	return c.res, c.dirs(fa, fb)
}

type comparer struct {
	o      Options
	report func(string)
	res    Result
	at     []string // components of the path in hand
	// Which inode of b each inode of a with several names is, and the other way round.
	fromA, fromB map[inode]link
	bufA, bufB   []byte
}

type inode struct{ dev, ino uint64 }

type link struct {
	other inode
	path  string
}

// Path is the path in hand, quoted so that a line stays a line.
func (c *comparer) path() string {
	s := strconv.Quote("/" + strings.Join(c.at, "/"))
	return s[1 : len(s)-1]
}

func (c *comparer) differ(format string, args ...any) {
	c.res.Differences++
	c.report(c.path() + ": " + fmt.Sprintf(format, args...))
}

// dirs compares what is in two directories.
func (c *comparer) dirs(a, b int) error {
	na, err := c.names(a)
	if err != nil {
		return fmt.Errorf("list %s on the left: %w", c.path(), err)
	}
	nb, err := c.names(b)
	if err != nil {
		return fmt.Errorf("list %s on the right: %w", c.path(), err)
	}
	for len(na) > 0 || len(nb) > 0 {
		var name string
		order := 0
		switch {
		case len(nb) == 0:
			order = -1
		case len(na) == 0:
			order = 1
		default:
			order = strings.Compare(na[0], nb[0])
		}
		if order <= 0 {
			name, na = na[0], na[1:]
		}
		if order >= 0 {
			name, nb = nb[0], nb[1:]
		}
		c.at = append(c.at, name)
		switch {
		case order < 0:
			c.differ("only on the left")
		case order > 0:
			c.differ("only on the right")
		default:
			err = c.entry(a, b, name)
		}
		c.at = c.at[:len(c.at)-1]
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *comparer) names(fd int) ([]string, error) {
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		return nil, err
	}
	var names []string
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			break
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return match(c.o.Ignore, n) })
	slices.Sort(names)
	return names, nil
}

func match(globs []string, name string) bool {
	for _, g := range globs {
		if ok, err := path.Match(g, name); err == nil && ok {
			return true
		}
	}
	return false
}

// entry compares two entries of the same name.
func (c *comparer) entry(a, b int, name string) error {
	var sa, sb unix.Stat_t
	if err := unix.Fstatat(a, name, &sa, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat %s on the left: %w", c.path(), err)
	}
	if err := unix.Fstatat(b, name, &sb, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat %s on the right: %w", c.path(), err)
	}
	c.res.Entries++
	if ta, tb := sa.Mode&unix.S_IFMT, sb.Mode&unix.S_IFMT; ta != tb {
		c.differ("type %s / %s", typeName(ta), typeName(tb))
		return nil
	}
	c.metadata(&sa, &sb)
	c.links(&sa, &sb)
	switch sa.Mode & unix.S_IFMT {
	case unix.S_IFDIR, unix.S_IFREG:
		return c.opened(a, b, name, &sa, &sb)
	case unix.S_IFLNK:
		return c.symlinks(a, b, name)
	case unix.S_IFCHR, unix.S_IFBLK:
		if sa.Rdev != sb.Rdev {
			c.differ("device %d:%d / %d:%d", unix.Major(sa.Rdev), unix.Minor(sa.Rdev), unix.Major(sb.Rdev), unix.Minor(sb.Rdev))
		}
	}
	return c.xattrsAt(a, b, name)
}

func typeName(mode uint32) string {
	switch mode {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "dir"
	case unix.S_IFLNK:
		return "symlink"
	case unix.S_IFCHR:
		return "char"
	case unix.S_IFBLK:
		return "block"
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFSOCK:
		return "socket"
	}
	return "unknown"
}

func (c *comparer) metadata(a, b *unix.Stat_t) {
	if a.Mode&0o7777 != b.Mode&0o7777 {
		c.differ("mode %04o / %04o", a.Mode&0o7777, b.Mode&0o7777)
	}
	if !c.o.IgnoreOwner && (a.Uid != b.Uid || a.Gid != b.Gid) {
		c.differ("owner %d:%d / %d:%d", a.Uid, a.Gid, b.Uid, b.Gid)
	}
	if !c.o.IgnoreTimes && a.Mtim != b.Mtim {
		c.differ("mtime %d.%09d / %d.%09d", a.Mtim.Sec, a.Mtim.Nsec, b.Mtim.Sec, b.Mtim.Nsec)
	}
}

// links checks that files that are one on the left are one on the right, and no others.
func (c *comparer) links(a, b *unix.Stat_t) {
	if a.Mode&unix.S_IFMT == unix.S_IFDIR || a.Nlink < 2 && b.Nlink < 2 {
		return
	}
	ia, ib := inode{a.Dev, a.Ino}, inode{b.Dev, b.Ino}
	la, seenA := c.fromA[ia]
	lb, seenB := c.fromB[ib]
	switch {
	case seenA && la.other != ib:
		c.differ("hard link of %s on the left only", la.path)
	case seenB && lb.other != ia:
		c.differ("hard link of %s on the right only", lb.path)
	case !seenA && !seenB:
		p := c.path()
		c.fromA[ia], c.fromB[ib] = link{ib, p}, link{ia, p}
	}
}

func (c *comparer) opened(a, b int, name string, sa, sb *unix.Stat_t) error {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fa, err := unix.Openat(a, name, flags, 0)
	if err != nil {
		return fmt.Errorf("open %s on the left: %w", c.path(), err)
	}
	defer unix.Close(fa)
	fb, err := unix.Openat(b, name, flags, 0)
	if err != nil {
		return fmt.Errorf("open %s on the right: %w", c.path(), err)
	}
	defer unix.Close(fb)
	c.attributes(fa, fb, sa)
	if sa.Mode&unix.S_IFMT == unix.S_IFDIR {
		return c.dirs(fa, fb)
	}
	return c.contents(fa, fb, sa, sb)
}

func (c *comparer) symlinks(a, b int, name string) error {
	ta, err := unix.Readlinkat(a, name, c.bufA)
	if err != nil {
		return fmt.Errorf("read link %s on the left: %w", c.path(), err)
	}
	tb, err := unix.Readlinkat(b, name, c.bufB)
	if err != nil {
		return fmt.Errorf("read link %s on the right: %w", c.path(), err)
	}
	if string(c.bufA[:ta]) != string(c.bufB[:tb]) {
		c.differ("link to %q / %q", c.bufA[:ta], c.bufB[:tb])
	}
	return c.xattrsAt(a, b, name)
}
