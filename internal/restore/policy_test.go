//go:build linux

package restore

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"keepward/internal/errs"
)

// large is content that lies in several chunks.
func large(seed string) string {
	r := rand.New(rand.NewPCG(uint64(crc32.ChecksumIEEE([]byte(seed))), 1))
	var b strings.Builder
	for b.Len() < 3<<20 {
		fmt.Fprintf(&b, "%s %d\n", seed, r.Uint32())
	}
	return b.String()
}

func TestPoliciesOnFiles(t *testing.T) {
	long := large("x")
	src := tree(t, map[string]string{"changed": "new", "same": "same", "missing": "m", "touched": "touched", "large": long})
	at := time.Unix(1_700_000_000, 5)
	for _, n := range []string{"changed", "same", "missing", "touched", "large"} {
		must(t, os.Chtimes(filepath.Join(src, n), at, at))
	}
	s := newStore()
	name := s.backup(t, src)
	type result struct {
		Changed, Large string
		Missing        bool
		Fetched        bool // the large file's chunks, though they are there
	}
	for _, c := range []struct {
		policy  Overwrite
		targets time.Time // mtime of what is there and differs
		want    result
	}{
		{Always, at.Add(time.Hour), result{"new", long, true, false}},
		{Different, at.Add(time.Hour), result{"new", long, true, false}},
		{Newer, at.Add(time.Hour), result{"OLD!", long, true, false}},
		{Newer, at.Add(-time.Hour), result{"new", long, true, false}},
		{Never, at.Add(-time.Hour), result{"OLD!", long, true, false}},
	} {
		to := tree(t, map[string]string{"changed": "OLD!", "same": "same", "touched": "touched", "large": long})
		must(t, os.Chtimes(filepath.Join(to, "same"), at, at))
		for _, n := range []string{"changed", "touched", "large"} {
			must(t, os.Chtimes(filepath.Join(to, n), c.targets, c.targets))
		}
		var l log
		o := s.options(name, src, to, &l)
		o.Overwrite = c.policy
		clear(s.gets)
		n := restoreOK(t, o)
		got := result{Changed: read(t, to, "changed"), Large: read(t, to, "large"), Missing: read(t, to, "missing") == "m", Fetched: n.FetchedBytes > 1<<10}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s, target %v: %.500s", c.policy, c.targets, d)
		}
		if n.Errors+n.Warnings != 0 {
			t.Errorf("%s: %v", c.policy, l.events)
		}
		if c.policy == Always || c.policy == Different {
			same(t, src, to)
		}
	}
}

func TestExtraFilesAreDeletedOnlyWhenAsked(t *testing.T) {
	src := tree(t, map[string]string{"keep": "1", "dir/keep": "2", "cache/CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55", "cache/left out": "3"})
	s := newStore()
	name := s.backup(t, src)
	extra := map[string]string{"extra": "1", "dir/extra": "2", "gone/deep/er": "3", "cache/other": "4"}
	exists := func(dir, name string) bool {
		_, err := os.Lstat(filepath.Join(dir, name))
		return err == nil
	}
	for _, c := range []struct {
		name            string
		delete, dry     bool
		deleted         int64
		remain, removed []string
	}{
		{"not asked", false, false, 0, []string{"extra", "dir/extra", "gone/deep/er", "cache/other"}, nil},
		{"asked", true, false, 5, []string{"keep", "dir/keep", "cache/other"}, []string{"extra", "dir/extra", "gone"}},
		{"dry run", true, true, 3, []string{"extra", "dir/extra", "gone/deep/er"}, nil},
	} {
		to := tree(t, extra)
		var l log
		o := s.options(name, src, to, &l)
		o.DeleteExtra, o.DryRun = c.delete, c.dry
		n := restoreOK(t, o)
		if n.DeletedFiles != c.deleted || n.Errors != 0 {
			t.Errorf("%s: deleted %d, want %d; %v", c.name, n.DeletedFiles, c.deleted, l.events)
		}
		for _, f := range c.remain {
			if !exists(to, f) {
				t.Errorf("%s: %s is gone", c.name, f)
			}
		}
		for _, f := range c.removed {
			if exists(to, f) {
				t.Errorf("%s: %s is still there", c.name, f)
			}
		}
	}
}

// The log of a restore is the list of what it has done: who reads it sees each file that is another one now,
// and none that is as it was.
func TestARestoreListsWhatItHasDone(t *testing.T) {
	src := tree(t, map[string]string{"new": "1", "changed": "22", "same": "3", "dir/new": "4"})
	s := newStore()
	name := s.backup(t, src)
	to := tree(t, map[string]string{"changed": "0", "extra": "5"})
	must(t, os.Chtimes(filepath.Join(to, "changed"), time.Time{}, time.Unix(1000, 0)))
	var first, second log
	o := s.options(name, src, to, &first)
	o.DeleteExtra = true
	restoreOK(t, o)
	var did []string
	for _, e := range first.events {
		rest, _ := filepath.Rel(src, string(e.Path))
		did = append(did, e.Text+" "+rest)
	}
	slices.Sort(did)
	want := []string{"changed .", "changed changed", "created dir", "created dir/new", "created new", "created same", "deleted extra"}
	if d := cmp.Diff(want, did); d != "" {
		t.Error(d)
	}
	o.Event = second.add
	if restoreOK(t, o); len(second.events) != 0 {
		t.Errorf("a restore that had nothing to do did %v", second.events)
	}
}

func TestTheListOfWhatWasDoneIsBounded(t *testing.T) {
	var l log
	r := &reporter{c: &Counters{}, event: l.add}
	for range maxListed + 50 {
		r.does("created", func() []byte { return []byte("/x") })
	}
	if n := len(l.events); n != maxListed+1 || !strings.Contains(l.events[n-1].Text, "more follows") {
		t.Errorf("%d events, the last is %q", n, l.events[n-1].Text)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	src := tree(t, map[string]string{"a/new": "1", "a/changed": "22", "b/c/d": "3", "large": large("y")})
	to := tree(t, map[string]string{"a/changed": "0"})
	before := tempDir(t)
	fill(t, before, map[string]string{"a/changed": "0"})
	for _, dir := range []string{to, before} {
		for _, n := range []string{"a/changed", "a", ""} {
			must(t, os.Chtimes(filepath.Join(dir, n), time.Time{}, time.Unix(1000, 0)))
		}
	}
	s := newStore()
	name := s.backup(t, src)
	var l log
	o := s.options(name, src, to, &l)
	o.DryRun = true
	n := restoreOK(t, o)
	same(t, before, to)
	// a/new, b, b/c, b/c/d and large are new, a/changed changes, a and the target itself are there.
	if n.NewFiles != 5 || n.ChangedFiles != 1 || n.DoneFiles != n.TotalFiles || n.FetchedBytes != 0 {
		t.Errorf("%+v", n)
	}
	if n.DoneDirs != 4 || n.SkippedDirs != 2 {
		t.Errorf("%d directories, %d of them left; want a, b, b/c and the target, of these a and the target", n.DoneDirs, n.SkippedDirs)
	}
	if got := l.codes()["info restore.would"]; got != 6 {
		t.Errorf("%d events, want 6: %v", got, l.events)
	}
	o.To = filepath.Join(to, "not", "there")
	restoreOK(t, o)
	if _, err := os.Lstat(o.To); err == nil {
		t.Error("the dry run made its target")
	}
}

func TestOtherTypesInTheWayAreReplaced(t *testing.T) {
	src := tree(t, map[string]string{"file": "f", "dir/in": "d", "full": "x"})
	must(t, os.Symlink("target", filepath.Join(src, "symlink")))
	s := newStore()
	name := s.backup(t, src)
	to := tempDir(t)
	must(t, os.Mkdir(filepath.Join(to, "file"), 0o755))
	must(t, os.WriteFile(filepath.Join(to, "dir"), []byte("a file"), 0o644))
	must(t, os.WriteFile(filepath.Join(to, "symlink"), nil, 0o644))
	fill(t, to, map[string]string{"full/of": "things"})
	var l log
	n := restoreOK(t, s.options(name, src, to, &l))
	if d := cmp.Diff([]string{src + "/full"}, l.paths("restore.not-empty")); d != "" || n.Errors != 1 {
		t.Errorf("%d errors, %s", n.Errors, d)
	}
	if read(t, to, "full", "of") != "things" {
		t.Error("a directory in the way was emptied")
	}
	o := s.options(name, src, to, &l)
	o.DeleteExtra = true
	restoreOK(t, o)
	same(t, src, to)
}

func TestDirectoryThatThePolicyMayNotMakeIsPassedOver(t *testing.T) {
	src := tree(t, map[string]string{"dir/in": "d", "other": "o"})
	s := newStore()
	name := s.backup(t, src)
	to := tree(t, map[string]string{"dir": "a file of the user's"})
	var l log
	o := s.options(name, src, to, &l)
	o.Overwrite = Never
	n := restoreOK(t, o)
	if read(t, to, "dir") != "a file of the user's" || read(t, to, "other") != "o" || n.Errors != 0 || l.codes()["warning restore.in-the-way"] != 1 {
		t.Errorf("%+v %v", n, l.events)
	}
}

func TestSelectionsLieByFullName(t *testing.T) {
	src := tree(t, map[string]string{"a/x/1": "1", "a/x/2": "2", "a/y/3": "3", "a.b/4": "4", "b": "5"})
	must(t, os.Chmod(filepath.Join(src, "a"), 0o750))
	s := newStore()
	name := s.backup(t, src)
	to := tempDir(t)
	var l log
	o := s.options(name, src, to, &l)
	o.Strip = false
	o.Paths = [][]byte{[]byte(src + "/a/x/2"), []byte(src + "/a/y/"), []byte(src + "/a/y/3"), []byte(src + "/nowhere")}
	n := restoreOK(t, o)
	root := filepath.Join(to, src)
	if read(t, root, "a/x/2") != "2" || read(t, root, "a/y/3") != "3" {
		t.Error("a chosen file has another content")
	}
	for _, f := range []string{"a/x/1", "a.b", "b"} {
		if _, err := os.Lstat(filepath.Join(root, f)); err == nil {
			t.Errorf("%s was not chosen and is there", f)
		}
	}
	st, err := os.Stat(filepath.Join(root, "a"))
	if err != nil || st.Mode().Perm() != 0o750 {
		t.Errorf("the directory above has mode %v, %v", st.Mode(), err)
	}
	if d := cmp.Diff([]string{src + "/nowhere"}, l.paths("restore.path-missing")); d != "" || n.Errors != 1 {
		t.Errorf("%d errors, %s", n.Errors, d)
	}

	o.Paths = [][]byte{[]byte("/nowhere/at/all")}
	if _, err := Run(t.Context(), o); errs.KindOf(err) != errs.NotFound {
		t.Errorf("nothing chosen is there: %v", err)
	}
	one := tempDir(t)
	o.Paths, o.To, o.Strip = [][]byte{[]byte(src + "/a/x/2")}, one, true
	restoreOK(t, o)
	if read(t, one, "2") != "2" {
		t.Error("a single file with strip has another content")
	}
	o.Paths = append(o.Paths, []byte(src+"/b"))
	if _, err := Run(t.Context(), o); errs.CodeOf(err) != "restore.strip" {
		t.Errorf("strip with two paths: %v", err)
	}
}

func TestOriginalPlace(t *testing.T) {
	src := tree(t, map[string]string{"a/1": "1", "2": large("z")})
	s := newStore()
	name := s.backup(t, src)
	kept := tempDir(t)
	must(t, os.Rename(src, filepath.Join(kept, "moved")))
	must(t, os.Mkdir(src, 0o700))
	var l log
	o := s.options(name, src, "", &l)
	o.Strip = false
	if n := restoreOK(t, o); n.Errors != 0 {
		t.Errorf("%v", l.events)
	}
	same(t, filepath.Join(kept, "moved"), src)
}

func TestUnprivilegedRestoreGoesAsFarAsItMay(t *testing.T) {
	needRoot(t)
	src := tree(t, map[string]string{"suid": "x", "dir/plain": "y"})
	must(t, os.Chown(filepath.Join(src, "suid"), 1234, 1234))
	must(t, unix.Chmod(filepath.Join(src, "suid"), 0o4755))
	must(t, unix.Mknod(filepath.Join(src, "device"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	s := newStore()
	name := s.backup(t, src)
	to := tempDir(t)
	must(t, os.Chown(to, 4321, 4321))
	must(t, os.Chmod(filepath.Dir(to), 0o1777))
	var l log
	o := s.options(name, src, to, &l)
	var n Snapshot
	asUser(t, 4321, func() { n = restoreOK(t, o) })
	if n.Errors != 0 {
		t.Errorf("errors: %v", l.events)
	}
	c := l.codes()
	if c["warning restore.owner"] != 1 || c["warning restore.device"] != 1 {
		t.Errorf("%v", l.events)
	}
	if read(t, to, "dir/plain") != "y" {
		t.Error("a plain file has another content")
	}
	st, err := os.Stat(filepath.Join(to, "suid"))
	if err != nil || st.Mode()&os.ModeSetuid != 0 {
		t.Errorf("a set-uid file that belongs to somebody else has mode %v, %v", st.Mode(), err)
	}
}
