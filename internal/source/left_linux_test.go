package source

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"keepward/internal/errs"
)

// measured is what a walk leaves out, rule by rule, each as "kind rule: names, files, dirs, bytes,
// unseen"; and what it takes below dir.
func measured(t *testing.T, dir string, sel Selection) (left []string, names []string) {
	t.Helper()
	if sel.Include == nil {
		sel.Include = []string{dir}
	}
	w, err := NewWalker(sel, func(p Problem) { t.Errorf("problem %s of %s: %v", p.Code, p.Path, p.Err) })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Measure(t.Context())
	for {
		it, err := w.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if name, ok := strings.CutPrefix("/"+string(it.Path), dir+"/"); ok {
			names = append(names, name)
		}
	}
	for _, l := range w.Left() {
		left = append(left, fmt.Sprintf("%s %s: %d, %d, %d, %d, %d", l.Rule.Kind, strings.ReplaceAll(l.Rule.Text, dir, ""), l.Names, l.Files, l.Dirs, l.Bytes, l.Unseen))
	}
	return left, names
}

func write(t *testing.T, size int, names ...string) {
	t.Helper()
	for _, n := range names {
		if err := os.MkdirAll(filepath.Dir(n), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(n, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatEachRuleLeavesOutIsMeasured(t *testing.T) {
	dir := tree(t, "keep/", "skip/deep/er/", "cache/sub/")
	write(t, 10, dir+"/keep/a.doc", dir+"/skip/a", dir+"/skip/deep/b", dir+"/cache/x", dir+"/cache/sub/y", dir+"/own/key", dir+"/keep/in/c.txt", dir+"/skip/deep/back/d.doc")
	write(t, 1000, dir+"/keep/b.tmp", dir+"/keep/c.tmp")
	if err := os.Link(dir+"/keep/b.tmp", dir+"/skip/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cache", cacheTag), []byte(cacheSignature), 0o644); err != nil {
		t.Fatal(err)
	}
	sel := Selection{
		Include: []string{dir, dir + "/skip/deep/back"}, Exclude: []string{"*.tmp", dir + "/skip"}, Only: []string{"*.doc", cacheTag},
		Own: []string{dir + "/own"},
	}
	for _, alone := range []bool{false, true} {
		sel.Alone = alone
		left, names := measured(t, dir, sel)
		if d := cmp.Diff([]string{
			"cache-tag : 2, 2, 1, 20, 0",
			"only *.doc CACHEDIR.TAG: 1, 1, 0, 10, 0",
			"automatic /own/: 1, 1, 0, 10, 0",
			"exclude *.tmp: 2, 2, 0, 1500, 0",
			// The directory itself leads to an include path, and is there.
			"exclude /skip: 0, 3, 1, 520, 0",
		}, left); d != "" {
			t.Errorf("alone %v: left out (-want +got):\n%s", alone, d)
		}
		if d := cmp.Diff([]string{
			"cache", "cache/CACHEDIR.TAG", "keep", "keep/a.doc", "keep/in", "own", "skip", "skip/deep", "skip/deep/back", "skip/deep/back/d.doc",
		}, names); d != "" {
			t.Errorf("alone %v: taken (-want +got):\n%s", alone, d)
		}
	}
}

func TestWhatIsLeftOutIsMeasuredToItsEnd(t *testing.T) {
	dir := tree(t, "keep")
	const deep, wide = 300, measureNames*2 + 10
	path := dir + "/out"
	for range deep {
		path += "/d"
	}
	write(t, 1, path+"/file")
	for i := range wide {
		write(t, 1, fmt.Sprintf("%s/out/wide/%d", dir, i))
	}
	left, _ := measured(t, dir, Selection{Exclude: []string{"out/"}})
	if d := cmp.Diff([]string{fmt.Sprintf("exclude out/: 1, %d, %d, %d, 0", wide+1, deep+2, wide+1)}, left); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestMeasuringEntersNoOtherFileSystem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := tree(t, "out/mnt/", "mnt/", "a")
	for _, mnt := range []string{dir + "/out/mnt", dir + "/mnt"} {
		if err := unix.Mount("tmpfs", mnt, "tmpfs", 0, "size=1m"); err != nil {
			t.Skip(err)
		}
		defer func() { _ = unix.Unmount(mnt, unix.MNT_DETACH) }()
		write(t, 5, mnt+"/file")
	}
	left, _ := measured(t, dir, Selection{OneFileSystem: true, Exclude: []string{"out"}})
	if d := cmp.Diff([]string{"file-system : 1, 0, 0, 0, 1", "exclude out: 1, 0, 2, 0, 1"}, left); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestPathsOfOtherSystemsAreLeftOut(t *testing.T) {
	dir := tree(t, "a")
	names, problems, _ := found(t, dir, Selection{Include: []string{`C:\data`, dir}})
	if d := cmp.Diff([]string{"a"}, names); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{`info include.platform /C:\data`}, problems); d != "" {
		t.Errorf("problems (-want +got):\n%s", d)
	}
	_, err := NewWalker(Selection{Include: []string{`C:\data`, "/nowhere/at/all"}}, func(Problem) {})
	if errs.CodeOf(err) != "include.none" || !strings.Contains(err.Error(), `C:\data, /nowhere/at/all`) {
		t.Errorf("error %v", err)
	}
}
