package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// One flipped byte in a file of each kind: the check names the file and what is lost
// with it, and everything that does not need it restores.
func TestFlippedByte(t *testing.T) {
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 60, 24<<20, 1))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	first := copyTree(t, src)
	f.must(os.RemoveAll(filepath.Join(src, "d000")))
	f.must(site.RandomTree(src, 60, 24<<20, 2))
	f.run("docs")
	points, err := f.Points("web1")
	f.must(err)
	good := copyTree(t, f.repo)

	for _, c := range []struct {
		name, pattern string
		// then is asked with the repository damaged and the events of the check.
		then func(t *testing.T, f *fleet, name string, said []*keepwardv1.Event)
	}{
		{"data pack", "packs/*/*/d*", func(t *testing.T, f *fleet, name string, said []*keepwardv1.Event) {
			lostFiles(t, f, said, src, first, points)
		}},
		{"metadata pack", "packs/*/*/m*", func(t *testing.T, f *fleet, name string, said []*keepwardv1.Event) {
			// Where the root of a tree or its inodes are hit, it is the point that is named.
			whole := slices.ContainsFunc(said, func(e *keepwardv1.Event) bool { return strings.Contains(e.Text, "as a whole needs") })
			if lost := lostPaths(said, src); len(lost) == 0 && !whole {
				t.Errorf("the check names neither file nor point that needs %s", name)
			}
			names(t, said, "restore point")
		}},
		{"index segment", "index/*/*", func(t *testing.T, f *fleet, name string, said []*keepwardv1.Event) {
			names(t, said, "rebuilt")
			f.check() // it was rebuilt: nothing is left to say
			same(t, src, below(f.restore("web1", "latest"), src))
		}},
		{"restore point", "points/" + points[1].Id, func(t *testing.T, f *fleet, name string, said []*keepwardv1.Event) {
			f.fails(exitFailed, []string{points[1].Id[:4]}, "restore", "files", "--computer", "web1", "--point", points[1].Id, "--to", t.TempDir(), "--wait")
			same(t, src, below(f.restore("web1", "latest"), src))
		}},
		{"configuration", "keepward.conf", func(t *testing.T, f *fleet, name string, said []*keepwardv1.Event) {
			names(t, said, "nothing is lost")
			restoresWarned(t, f, src)
		}},
		{"key", "keys/*", func(t *testing.T, f *fleet, name string, said []*keepwardv1.Event) {
			same(t, src, below(f.restore("web1", "latest"), src))
		}},
		{"owner", "owner/*", func(t *testing.T, f *fleet, name string, said []*keepwardv1.Event) {
			restoresWarned(t, f, src)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := *f
			f.t = t
			t.Cleanup(func() {
				command(t, "rsync", "-a", "--delete", "--checksum", good+"/", f.repo+"/")
			})
			name := flip(t, f.repo, c.pattern)
			r, err := f.CLI("repository", "check", "main", "--read-data")
			f.must(err)
			if r.Code == 0 {
				t.Errorf("the check finds nothing in %s: %s", name, r)
			}
			sessions, err := f.Sessions()
			f.must(err)
			said, err := f.Events(sessions[0].Id)
			f.must(err)
			names(t, said, name)
			if !strings.Contains(r.Stdout+r.Stderr, filepath.Base(name)) {
				t.Errorf("the command does not name %s: %s", name, r)
			}
			c.then(t, &f, name, said)
		})
	}
	f.check()
}

// restoresWarned restores the latest point in spite of damage that is at most a warning.
func restoresWarned(t *testing.T, f *fleet, src string) {
	t.Helper()
	to := t.TempDir()
	r, err := f.CLI("restore", "files", "--computer", "web1", "--point", "latest", "--to", to, "--wait")
	f.must(err)
	if r.Code != 0 && r.Code != exitLeftOut {
		t.Errorf("it is more than a warning: %s", r)
	}
	same(t, src, below(to, src))
}

// flip changes one byte in the middle of the largest file that matches, and returns
// its name within the repository.
func flip(t *testing.T, repo, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repo, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no file of the repository matches %s: %v", pattern, err)
	}
	var path string
	var size int64
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > size {
			path, size = name, info.Size()
		}
	}
	// Objects are read-only by mode; root and the owner may change that.
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0x10
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	name, err := filepath.Rel(repo, path)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// names fails unless some event says each of these.
func names(t *testing.T, said []*keepwardv1.Event, want ...string) {
	t.Helper()
	var all strings.Builder
	for _, e := range said {
		all.WriteString(e.Code + " " + e.Text + " " + string(e.Path) + "\n")
	}
	for _, w := range want {
		if !strings.Contains(all.String(), w) {
			t.Errorf("the check does not say %q:\n%s", w, all.String())
		}
	}
}

// lostFiles: the check named files of a damaged data pack; a restore fails for those and
// names them, and brings back everything else.
func lostFiles(t *testing.T, f *fleet, said []*keepwardv1.Event, src, first string, points []*keepwardv1.Point) {
	t.Helper()
	lost := lostPaths(said, src)
	if len(lost) == 0 {
		t.Fatal("the check names no file that needs the damaged pack")
	}
	failed := 0
	for i, want := range []string{src, first} {
		to := t.TempDir()
		r, err := f.CLI("restore", "files", "--computer", "web1", "--point", points[i].Id, "--to", to, "--wait")
		f.must(err)
		if r.Code == 0 {
			same(t, want, below(to, src))
			continue
		}
		failed++
		sessions, err := f.Sessions()
		f.must(err)
		log, err := f.Events(sessions[0].Id)
		f.must(err)
		left := restoreFailures(log)
		if len(left) == 0 {
			t.Errorf("the restore failed and names no file: %s", r)
		}
		got := below(to, src)
		for path := range left {
			rel, _ := filepath.Rel(src, below("/", strings.TrimPrefix(path, to)))
			if !lost[filepath.Join(src, rel)] {
				t.Errorf("the restore left out %s, which the check does not name", path)
			}
			f.must(removeIfThere(filepath.Join(got, rel)))
		}
		diff, err := site.RsyncDiff(want, got)
		f.must(err)
		for line := range strings.Lines(diff) {
			name := strings.TrimSpace(line[strings.IndexByte(line, ' ')+1:])
			if !lost[filepath.Join(src, name)] && !strings.HasSuffix(name, "/") {
				t.Errorf("%s was not damaged, and differs: %s", name, line)
			}
		}
	}
	if failed == 0 {
		t.Error("both points restore in spite of the damage")
	}
}

// lostPaths are the files below src that events name.
func lostPaths(said []*keepwardv1.Event, src string) map[string]bool {
	lost := map[string]bool{}
	for _, e := range said {
		if p := string(e.Path); strings.HasPrefix(p, src+"/") {
			lost[p] = true
		}
	}
	return lost
}

// restoreFailures are the files that a restore's log names as failed.
func restoreFailures(events []*keepwardv1.Event) map[string]bool {
	files := map[string]bool{}
	for _, e := range events {
		if e.Level == "error" && len(e.Path) > 0 {
			files[string(e.Path)] = true
		}
	}
	return files
}
