//go:build linux

package restore

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/errs"
)

// filesOf are the files below a directory.
func filesOf(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, strings.TrimPrefix(path, dir))
		}
		return err
	}))
	return list
}

func TestPartsAreLaidElsewhere(t *testing.T) {
	src := tree(t, map[string]string{"www/index": "index", "www/img/logo": large("logo"), "www/img/icon": "icon", "docs/plan": "plan", "docs/old/plan": "old", "z": "z"})
	must(t, os.Link(filepath.Join(src, "www/index"), filepath.Join(src, "docs/link")))
	at := time.Unix(1_700_000_000, 7)
	for _, dir := range []string{"www/img", "www", "docs/old", "docs", "."} {
		must(t, os.Chtimes(filepath.Join(src, dir), at, at))
	}
	s := newStore()
	name := s.backup(t, src)
	to, l := tempDir(t), &log{}
	o := s.options(name, src, to, l)
	o.Strip, o.Verify, o.Paths = false, true, [][]byte{[]byte(src)}
	o.Renames = []PathMap{
		{src + "/www", src + "/new/site/"}, {src + "/www/img", "/pictures"}, {src + "/docs/plan", src + "/docs/a-plan"},
	}
	// What is there is deleted where the point has it not, but not what was just laid there.
	must(t, os.MkdirAll(filepath.Join(to, src, "docs"), 0o755))
	must(t, os.WriteFile(filepath.Join(to, src, "docs", "extra"), nil, 0o600))
	o.DeleteExtra = true
	n := restoreOK(t, o)
	want := []string{
		"/pictures/icon", "/pictures/logo", src + "/docs/a-plan", src + "/docs/link", src + "/docs/old/plan", src + "/new/site/index", src + "/z",
	}
	if got := filesOf(t, to); !slices.Equal(got, want) {
		t.Errorf("there are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if read(t, to, src, "docs/a-plan") != "plan" || read(t, to, "pictures/logo") != large("logo") {
		t.Error("a file that was moved has another content")
	}
	var one, two unix.Stat_t
	must(t, unix.Stat(filepath.Join(to, src, "docs/link"), &one))
	must(t, unix.Stat(filepath.Join(to, src, "new/site/index"), &two))
	if one.Ino != two.Ino {
		t.Error("two names of a file are two files now")
	}
	for _, dir := range []string{"/pictures", src + "/new/site", src + "/docs", src} {
		st, err := os.Stat(filepath.Join(to, dir))
		if err != nil || !st.ModTime().Equal(at) {
			t.Errorf("%s has the time %v (%v)", dir, st.ModTime(), err)
		}
	}
	if n.Mismatched > 0 || n.VerifiedFiles == 0 || n.DoneFiles != n.TotalFiles {
		t.Errorf("%d files differ, %d are right; %d of %d are done", n.Mismatched, n.VerifiedFiles, n.DoneFiles, n.TotalFiles)
	}
	// All is right already.
	if again := restoreOK(t, o); again.ChangedFiles+again.NewFiles > 0 {
		t.Errorf("the second time %d are changed and %d new", again.ChangedFiles, again.NewFiles)
	}
}

// A path below one that is moved goes along.
func TestAChosenPathGoesAlongWithWhatItIsIn(t *testing.T) {
	src := tree(t, map[string]string{"www/img/logo": "logo", "www/index": "index"})
	s := newStore()
	name := s.backup(t, src)
	to, l := tempDir(t), &log{}
	o := s.options(name, src, to, l)
	o.Strip, o.Paths, o.Renames = false, [][]byte{[]byte(src + "/www/img")}, []PathMap{{src + "/www", "/new"}}
	restoreOK(t, o)
	if got := filesOf(t, to); !slices.Equal(got, []string{"/new/img/logo"}) {
		t.Errorf("there are %v", got)
	}
}

func TestRenamesThatAreNone(t *testing.T) {
	src := tree(t, map[string]string{"a": "a"})
	s := newStore()
	name := s.backup(t, src)
	for _, c := range []struct {
		rules []PathMap
		code  string
	}{
		{[]PathMap{{"a", "/b"}}, "restore.rename"},
		{[]PathMap{{"/a", "b"}}, "restore.rename"},
		{[]PathMap{{"/", "/b"}}, "restore.rename"},
		{[]PathMap{{"/a", "/.."}}, "restore.rename"},
		{[]PathMap{{"/a", "/b"}, {"/a/", "/c"}}, "restore.rename"},
		{[]PathMap{{"/a", "/c"}, {"/b", "/c"}}, "restore.rename"},
	} {
		o := s.options(name, src, tempDir(t), &log{})
		o.Strip, o.Renames = false, c.rules
		if _, err := Run(t.Context(), o); errs.CodeOf(err) != c.code {
			t.Errorf("%v: %v", c.rules, err)
		}
	}
	o := s.options(name, src, tempDir(t), &log{})
	o.Strip, o.Renames = true, []PathMap{{"/a", "/b"}}
	if _, err := Run(t.Context(), o); errs.CodeOf(err) != "restore.strip" {
		t.Errorf("with strip: %v", err)
	}
}

func TestOwnersAreMapped(t *testing.T) {
	needRoot(t)
	src := tree(t, map[string]string{"mine": "", "theirs": "", "other": ""})
	must(t, os.Chown(filepath.Join(src, "mine"), 4321, 8765))
	must(t, os.Chown(filepath.Join(src, "theirs"), 0, 8765))
	must(t, os.Chown(filepath.Join(src, "other"), 1111, 2222))
	s := newStore()
	name := s.backup(t, src)
	for _, byName := range []bool{false, true} {
		to := tempDir(t)
		o := s.options(name, src, to, &log{})
		o.OwnersByName = byName
		o.Owners = []OwnerMap{{From: "4321", To: "daemon"}, {From: "root", To: "777"}, {From: "0", To: "778"}, {Group: true, From: "8765", To: "999"}, {From: "2222", To: "1"}}
		restoreOK(t, o)
		var got [3][2]uint32
		for i, f := range []string{"mine", "theirs", "other"} {
			var st unix.Stat_t
			must(t, unix.Stat(filepath.Join(to, f), &st))
			got[i] = [2]uint32{st.Uid, st.Gid}
		}
		if want := [3][2]uint32{{1, 999}, {777, 999}, {1111, 2222}}; got != want {
			t.Errorf("by name %t: owners are %v, want %v", byName, got, want)
		}
	}
	o := s.options(name, src, tempDir(t), &log{})
	o.Owners = []OwnerMap{{From: "root", To: "no such user"}}
	if _, err := Run(t.Context(), o); errs.CodeOf(err) != "restore.owner" {
		t.Errorf("to nobody: %v", err)
	}
}
