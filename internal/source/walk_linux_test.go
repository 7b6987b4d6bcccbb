package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tree makes files below a new directory; a name that ends with a slash is a directory.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		p := filepath.Join(dir, n)
		at := filepath.Dir(p)
		if strings.HasSuffix(n, "/") {
			at = p
		}
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if at != p {
			if err := os.WriteFile(p, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// found is what a walk below dir yields: names, with the state in brackets.
func found(t *testing.T, dir string, sel Selection) (names []string, problems []string, excluded int64) {
	t.Helper()
	if sel.Include == nil {
		sel.Include = []string{dir}
	}
	w, err := NewWalker(sel, func(p Problem) {
		problems = append(problems, string(p.Level)+" "+p.Code+" "+strings.TrimPrefix("/"+string(p.Path), dir+"/"))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var last []byte
	for first := true; ; first = false {
		it, err := w.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return names, problems, w.Excluded()
		}
		if err != nil {
			t.Fatal(err)
		}
		if !first && fileindex.ComparePaths(last, it.Path) >= 0 {
			t.Errorf("%q comes behind %q", it.Path, last)
		}
		last = bytes.Clone(it.Path)
		name, ok := strings.CutPrefix("/"+string(it.Path), dir+"/")
		if !ok {
			continue
		}
		for s, word := range map[fileindex.State]string{fileindex.Ancestor: "ancestor", fileindex.CacheTagged: "tagged", fileindex.Mountpoint: "mountpoint"} {
			if it.State&s != 0 {
				name += " [" + word + "]"
			}
		}
		names = append(names, name)
	}
}

func TestWalkYieldsIndexOrder(t *testing.T) {
	dir := tree(t, "b", "a/x", "a.b", "a-b", "a/y/z", "a/y.z", "A", "\xff", "a\nb", "empty/")
	names, problems, _ := found(t, dir, Selection{})
	want := []string{"A", "a", "a/x", "a/y", "a/y/z", "a/y.z", "a\nb", "a-b", "a.b", "b", "empty", "\xff"}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
	if len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
}

func TestLargeDirectoriesAndManyOfThem(t *testing.T) {
	dir := tree(t)
	want := 0
	for d := range 40 {
		p := filepath.Join(dir, fmt.Sprintf("d%02d", d), "sub")
		if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
		want += 2
		files := 10
		if d == 7 {
			files = 3 * lookAhead / 2
		}
		for f := range files {
			if f%500 == 250 {
				if err := os.Mkdir(filepath.Join(p, fmt.Sprintf("%05d", f)), 0o755); err != nil {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(filepath.Join(p, fmt.Sprintf("%05d", f)), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			want++
		}
	}
	names, problems, _ := found(t, dir, Selection{})
	if len(names) != want || len(problems) > 0 {
		t.Errorf("%d files of %d, problems %v", len(names), want, problems)
	}
}

func TestIncludesAreMergedAndAncestorsKept(t *testing.T) {
	dir := tree(t, "srv/docs/a", "srv/docs/deep/b", "srv/other", "home/u/x", "home/v/y", "file", "unseen")
	sel := Selection{
		Include: []string{dir + "/srv/docs", dir + "/srv/docs/deep", dir + "/home/u/", dir + "/file", dir + "/nowhere/x"},
		Exclude: []string{"docs", "deep", "home"},
	}
	names, problems, _ := found(t, dir, sel)
	want := []string{
		"file", "home [ancestor]", "home/u", "home/u/x",
		"srv [ancestor]", "srv/docs", "srv/docs/a", "srv/docs/deep", "srv/docs/deep/b",
	}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"warning include.missing nowhere/x"}, problems); d != "" {
		t.Errorf("problems (-want +got):\n%s", d)
	}
}

func TestExcludesAndCacheTags(t *testing.T) {
	dir := tree(t, "a.pyc", "keep/a.py", "keep/b.pyc", "skip/x", "deep/er/tmp/x", "deep/er/x", "cache/data", "cache/sub/x", "fake/data")
	tag := []byte(cacheSignature + "\n# comment")
	if err := os.WriteFile(filepath.Join(dir, "cache", cacheTag), tag, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "fake", cacheTag), []byte("Signature: no"), 0o644); err != nil {
		t.Fatal(err)
	}
	sel := Selection{Exclude: []string{"*.pyc", "skip/", dir + "/deep/**/tmp"}}
	names, _, excluded := found(t, dir, sel)
	want := []string{"cache [tagged]", "cache/CACHEDIR.TAG", "deep", "deep/er", "deep/er/x", "fake", "fake/CACHEDIR.TAG", "fake/data", "keep", "keep/a.py"}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	if excluded != 6 {
		t.Errorf("%d excluded", excluded)
	}
	sel.IncludeCaches = true
	if names, _, _ = found(t, dir, sel); !slices.Contains(names, "cache/sub/x") {
		t.Errorf("with caches: %v", names)
	}
	sel.IncludeCaches, sel.Include = false, []string{dir + "/cache"}
	if names, _, _ = found(t, dir, sel); !slices.Contains(names, "cache/data") {
		t.Errorf("an include path that is tagged: %v", names)
	}
}

func TestOneFileSystem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := tree(t, "a", "mnt/", "z")
	mnt := filepath.Join(dir, "mnt")
	if err := unix.Mount("tmpfs", mnt, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip(err)
	}
	defer func() { _ = unix.Unmount(mnt, unix.MNT_DETACH) }()
	if err := os.MkdirAll(filepath.Join(mnt, "in/side"), 0o755); err != nil {
		t.Fatal(err)
	}
	names, _, _ := found(t, dir, Selection{OneFileSystem: true})
	if d := cmp.Diff([]string{"a", "mnt [mountpoint]", "z"}, names); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	names, _, _ = found(t, dir, Selection{OneFileSystem: true, Include: []string{dir, mnt + "/in"}})
	if d := cmp.Diff([]string{"a", "mnt [mountpoint]", "mnt/in", "mnt/in/side", "z"}, names); d != "" {
		t.Errorf("names with the mount included (-want +got):\n%s", d)
	}
	if names, _, _ = found(t, dir, Selection{}); !slices.Contains(names, "mnt/in/side") {
		t.Errorf("without the switch: %v", names)
	}
}

func TestWhatOnlyShowsTheSystemIsLeftOut(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := tree(t, "a", "proc/", "z")
	if err := unix.Mount("proc", dir+"/proc", "proc", 0, ""); err != nil {
		t.Skip(err)
	}
	defer func() { _ = unix.Unmount(dir+"/proc", unix.MNT_DETACH) }()
	names, problems, excluded := found(t, dir, Selection{})
	if d := cmp.Diff([]string{"a", "proc [mountpoint]", "z"}, names); d != "" || excluded != 1 || len(problems) > 0 {
		t.Errorf("%d excluded, problems %v, names (-want +got):\n%s", excluded, problems, d)
	}
	if names, _, _ = found(t, dir, Selection{Include: []string{dir + "/proc/sys/kernel/ostype"}}); !slices.Contains(names, "proc/sys/kernel/ostype") {
		t.Errorf("an include path in it: %v", names)
	}
}

func TestSymlinksAreNotFollowed(t *testing.T) {
	dir := tree(t, "real/x", "real/sub/y")
	for link, target := range map[string]string{"link": "real", "real/up": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	names, _, _ := found(t, dir, Selection{Include: []string{dir + "/link"}})
	if d := cmp.Diff([]string{"link"}, names); d != "" {
		t.Errorf("a symlink as include path (-want +got):\n%s", d)
	}
	names, problems, _ := found(t, dir, Selection{Include: []string{dir + "/link/sub"}})
	if d := cmp.Diff([]string{"real [ancestor]", "real/sub", "real/sub/y"}, names); d != "" {
		t.Errorf("a symlink above an include path (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"info include.resolved link/sub"}, problems); d != "" {
		t.Errorf("problems (-want +got):\n%s", d)
	}
}

func TestWalkRefusesWhatItCannotMean(t *testing.T) {
	for want, sel := range map[string]Selection{
		"include.relative": {Include: []string{"relative/path"}},
		"include.none":     {Include: []string{"/nowhere/at/all"}},
		"exclude.pattern":  {Include: []string{"/"}, Exclude: []string{"[a"}},
	} {
		if _, err := NewWalker(sel, func(Problem) {}); errs.CodeOf(err) != want {
			t.Errorf("error %v, want code %s", err, want)
		}
	}
}

func TestDirsAreOpenedAgain(t *testing.T) {
	dir := tree(t, "a/b/c/file", "x")
	c := newDirCache()
	c.limit = 1
	defer c.closeAll()
	d := c.root()
	for _, name := range strings.Split(dir[1:]+"/a/b/c", "/") {
		d = d.child([]byte(name))
	}
	var st Stat
	for range 3 {
		if err := d.Stat([]byte("file"), &st); err != nil {
			t.Fatal(err)
		}
		if err := d.parent.parent.parent.Stat([]byte("x"), &st); err != nil {
			t.Fatal(err)
		}
		if c.open > 2 {
			t.Errorf("%d directories are open", c.open)
		}
	}
	// Another directory in its place is not taken for the same.
	if err := os.Rename(dir+"/a/b", dir+"/a/old"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir+"/a/b/c", 0o755); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.limit = 0
	c.evict()
	c.mu.Unlock()
	if err := d.Stat([]byte("file"), &st); errs.CodeOf(err) != "file.vanished" {
		t.Errorf("error: %v", err)
	}
}
