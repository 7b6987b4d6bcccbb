package changes

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/xattr"
	"golang.org/x/sys/unix"

	"keepward/internal/repo/fileindex"
)

// file is all that a full read finds at a path.
type file struct {
	st      unix.Stat_t
	xattrs  string
	content []byte // of a regular file
	target  string
	names   string // of a directory
}

// state is a full read of a tree, by path.
type state map[string]*file

// readState reads everything below root. It shares nothing with the trackers.
func readState(t testing.TB, root string) state {
	t.Helper()
	s := state{}
	var walk func(rel string)
	walk = func(rel string) {
		path := filepath.Join(root, rel)
		f := &file{}
		if err := unix.Lstat(path, &f.st); err != nil {
			t.Fatal(err)
		}
		names, err := xattr.LList(path)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		for _, n := range names {
			v, err := xattr.LGet(path, n)
			if err != nil {
				t.Fatal(err)
			}
			f.xattrs += fmt.Sprintf("%s=%q ", n, v)
		}
		s[rel] = f
		switch f.st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			if f.content, err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		case unix.S_IFLNK:
			if f.target, err = os.Readlink(path); err != nil {
				t.Fatal(err)
			}
		case unix.S_IFDIR:
			list, err := os.ReadDir(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				f.names += e.Name() + "/"
				walk(filepath.Join(rel, e.Name()))
			}
		}
	}
	walk("")
	return s
}

// judgement is what a comparison of a Set with two full reads gave.
type judgement struct {
	missed         []string
	named, changed int // paths in the set, and those of them that differ
	bytes, differ  int64
}

// judge checks that a Set names every difference between two states, as a backup would look
// for it: top down, taking over what is not named.
func judge(t testing.TB, set *Set, before, after state) judgement {
	t.Helper()
	var j judgement
	if set.Reason != "" {
		t.Fatalf("everything is in doubt: %s: %v", set.Reason, set.Err)
	}
	miss := func(format string, args ...any) { j.missed = append(j.missed, fmt.Sprintf(format, args...)) }
	paths := make([]string, 0, len(after))
	for p := range after {
		paths = append(paths, p)
	}
	slices.SortFunc(paths, func(a, b string) int { return fileindex.ComparePaths([]byte(a), []byte(b)) })
	hidden := "\x00" // a directory with nothing at or below it, which a backup takes over whole
	cur := set.Cursor()
	for _, p := range paths {
		was, is := before[p], after[p]
		c, below, err := cur.Look([]byte(p))
		if err != nil {
			t.Fatal(err)
		}
		passed := hidden != "\x00" && (hidden == "" || strings.HasPrefix(p, hidden+"/"))
		if passed && (c.What != 0 || below) {
			t.Fatalf("Look said that there is nothing below %q, but %q has %s", hidden, p, c.What)
		}
		if !passed && c.What == 0 && !below {
			hidden = p
		}
		if c.What != 0 {
			j.named++
		}
		if !differs(was, is) {
			continue
		}
		if c.What != 0 {
			j.changed++
		}
		j.check(p, was, is, &c, miss)
	}
	// A name that is gone must show in its directory, or in one above.
	for p := range before {
		if after[p] != nil || p == "" {
			continue
		}
		dir := filepath.Dir(p)
		if dir == "." {
			dir = ""
		}
		if after[dir] == nil {
			continue
		}
		c, _, err := set.Cursor().Look([]byte(dir))
		if err != nil {
			t.Fatal(err)
		}
		if c.What&(Listing|Replaced|Subtree) == 0 {
			miss("%q is gone, and the listing of %q is not named", p, dir)
		}
	}
	return j
}

func differs(was, is *file) bool {
	if was == nil {
		return true
	}
	a, b := was.st, is.st
	return a.Ino != b.Ino || a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Nlink != b.Nlink || a.Rdev != b.Rdev ||
		a.Mtim != b.Mtim || a.Ctim != b.Ctim || was.xattrs != is.xattrs || was.target != is.target ||
		!bytes.Equal(was.content, is.content) || was.names != is.names
}

func (j *judgement) check(p string, was, is *file, c *Change, miss func(string, ...any)) {
	switch {
	case c.What&Subtree != 0:
		return
	case was == nil || was.st.Ino != is.st.Ino || was.st.Mode&unix.S_IFMT != is.st.Mode&unix.S_IFMT:
		if c.What&Replaced == 0 {
			miss("%q is another file than before: %s", p, c.What)
		}
		return
	case c.What&Replaced != 0:
		return
	case c.What&Metadata == 0:
		miss("%q differs in its metadata: %s", p, c.What)
		return
	case was.names != is.names && c.What&Listing == 0:
		miss("the listing of %q differs: %s", p, c.What)
		return
	}
	if bytes.Equal(was.content, is.content) {
		return
	}
	if c.What&Content == 0 {
		miss("%q differs in its content: %s", p, c.What)
		return
	}
	if !c.Known {
		return
	}
	for _, e := range c.Extents {
		j.bytes += e.Length
	}
	at := 0
	for i := range min(len(was.content), len(is.content)) {
		if was.content[i] == is.content[i] {
			continue
		}
		j.differ++
		for at < len(c.Extents) && c.Extents[at].end() <= int64(i) {
			at++
		}
		if at == len(c.Extents) || c.Extents[at].Offset > int64(i) {
			miss("%q differs at byte %d, which is in none of %v", p, i, c.Extents)
			return
		}
	}
}
