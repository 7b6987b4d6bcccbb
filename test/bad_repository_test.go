package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepward/internal/repo/point"
	"keepward/internal/repo/repoconf"
	"keepward/internal/repo/segment"
	"keepward/test/site"
)

// badBytes is what a source holds here: the kind of what is wrong matters, not its size.
const badBytes = 3 << 20

// newSource is a fleet with a job "docs" and one point of its source.
func newSource(t *testing.T) (*fleet, string) {
	t.Helper()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 20, badBytes, 1))
	f.createJob("docs", "web1", []string{src}, "--restart-interval", "1s")
	f.run("docs")
	return f, src
}

// mended proves that with the cause gone all is as it was: a backup and a restore work, and a
// check of all data has nothing to say.
func (f *fleet) mended(src string) {
	f.t.Helper()
	f.must(os.WriteFile(filepath.Join(src, "new"), []byte(f.t.Name()), 0o600))
	f.run("docs")
	same(f.t, src, below(f.restore("web1", "latest"), src))
	f.check()
}

// said is all that the newest session told.
func (f *fleet) said() string {
	f.t.Helper()
	list, err := f.Sessions()
	f.must(err)
	events, err := f.Events(list[0].Id)
	f.must(err)
	var b strings.Builder
	for _, e := range events {
		b.WriteString(e.Level + " " + e.Code + " " + e.Text + " " + string(e.Path) + "\n")
	}
	return b.String()
}

// objects are the names of a repository's objects that match a pattern.
func objects(t *testing.T, repo, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(repo, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no object of %s matches %s: %v", repo, pattern, err)
	}
	return paths
}

// replace puts other bytes under the name of an object, and answers how to undo that.
func replace(t *testing.T, path string, content []byte) (undo func()) {
	t.Helper()
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	write(content)
	return func() { write(old) }
}

// A repository of a newer Keepward: one with unknown incompatible features is not touched at
// all, one with unknown read-only compatible ones is only read.
func TestRepositoryOfANewerFormat(t *testing.T) {
	t.Parallel()
	f, src := newSource(t)
	points, err := f.Points("web1")
	f.must(err)
	conf := filepath.Join(f.repo, "keepward.conf")
	b, err := os.ReadFile(conf)
	f.must(err)
	good, _, err := repoconf.ParseConfig(b)
	f.must(err)

	for _, c := range []struct {
		name     string
		change   func(*repoconf.Config)
		readable bool
	}{
		{"incompatible", func(c *repoconf.Config) { c.Incompatible = 1 << 40 }, false},
		{"read-only compatible", func(c *repoconf.Config) { c.ReadCompatible = 1 << 40 }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := *f
			f.t = t
			newer := good
			c.change(&newer)
			undo := replace(t, conf, newer.Encode())
			before := listing(t, f.repo)
			say := []string{"newer than this Keepward knows", "update Keepward"}
			f.fails(exitFailed, say, "job", "run", "docs", "--wait")
			f.last("docs", "Failed")
			f.fails(exitFailed, say, "repository", "sweep", "main")
			f.fails(exitFailed, say, "repository", "rebuild-index", "main")
			r, err := f.CLI("point", "delete", points[0].Id, "--yes")
			f.must(err)
			if r.Code == 0 || !strings.Contains(r.Stderr, say[0]) {
				t.Errorf("deleted: %s", r)
			}
			if c.readable {
				f.check()
				same(t, src, below(f.restore("web1", "latest"), src))
				same(t, src, below(f.extract("latest"), src))
			} else {
				f.fails(exitFailed, say, "repository", "check", "main")
				f.fails(exitFailed, say, "restore", "files", "--computer", "web1", "--point", "latest", "--to", t.TempDir(), "--wait")
				r, err := f.CLI("extract", "--repository", f.repo, "--recovery-key", f.key, "--point", "latest", "--to", t.TempDir())
				f.must(err)
				if r.Code == 0 || !strings.Contains(r.Stderr, say[0]) {
					t.Errorf("extracted: %s", r)
				}
			}
			if after := listing(t, f.repo); after != before {
				t.Errorf("something was written:\nbefore\n%s\nafter\n%s", before, after)
			}
			undo()
			f.mended(src)
		})
	}
}

// Packs that are not what or where they were: the check names them and what is lost with them;
// with the pack back in its place nothing is.
func TestPacksOutOfPlace(t *testing.T) {
	t.Parallel()
	f, src := newSource(t)
	// A repository with a name that main bore in another life, of the same computer.
	f.createRepository("other", filepath.Join(f.Dir, "other"))
	foreign := filepath.Join(tempDir(t), "foreign")
	f.must(site.RandomTree(foreign, 20, badBytes, 2))
	f.do("job", "create", "else", "--computer", "web1", "--repository", "other", "--include", foreign)
	f.run("else")
	first := f.last("docs", "Completed").Tasks[0].Point
	was := copyTree(t, src)
	mine, theirs := objects(t, f.repo, "packs/*/*/d*")[0], objects(t, filepath.Join(f.Dir, "other"), "packs/*/*/d*")[0]
	content, err := os.ReadFile(mine)
	f.must(err)
	other, err := os.ReadFile(theirs)
	f.must(err)
	aside := filepath.Join(filepath.Dir(mine), "d00000099")

	for _, c := range []struct {
		name   string
		damage func(t *testing.T) (undo func())
		lost   bool // files, as long as it is so
		say    []string
	}{
		{"truncated", func(t *testing.T) func() { return replace(t, mine, content[:len(content)/2]) }, true, []string{filepath.Base(mine)}},
		{"truncated to a part of its header", func(t *testing.T) func() { return replace(t, mine, content[:10]) }, true, []string{filepath.Base(mine)}},
		{"empty", func(t *testing.T) func() { return replace(t, mine, nil) }, true, []string{filepath.Base(mine)}},
		{"duplicated under another name", func(t *testing.T) func() {
			f.must(os.WriteFile(aside, content, 0o400))
			return func() { f.must(os.Remove(aside)) }
		}, false, []string{"d00000099"}},
		{"renamed", func(t *testing.T) func() {
			f.must(os.Rename(mine, aside))
			return func() { f.must(os.Rename(aside, mine)) }
		}, false, []string{"d00000099"}},
		{"swapped with another repository's", func(t *testing.T) func() {
			undo, back := replace(t, mine, other), replace(t, theirs, content)
			return func() { undo(); back() }
		}, true, []string{filepath.Base(mine), "another pack's"}},
		{"moved from another repository", func(t *testing.T) func() {
			dir := filepath.Join(f.repo, "packs", filepath.Base(filepath.Dir(filepath.Dir(theirs))), filepath.Base(filepath.Dir(theirs)))
			f.must(os.MkdirAll(dir, 0o755))
			to := filepath.Join(dir, filepath.Base(theirs))
			f.must(os.Rename(theirs, to))
			return func() { f.must(os.Rename(to, theirs)); f.must(os.Remove(dir)) }
		}, false, []string{filepath.Base(filepath.Dir(theirs))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := *f
			f.t = t
			undo := c.damage(t)
			r, err := f.CLI("repository", "check", "main")
			f.must(err)
			said := f.said()
			if (r.Code == exitFailed) != c.lost {
				t.Errorf("the check: %s\n%s", r, said)
			}
			for _, want := range c.say {
				if !strings.Contains(said, want) {
					t.Errorf("the check does not say %q:\n%s", want, said)
				}
			}
			to := t.TempDir()
			if r, err = f.CLI("restore", "files", "--computer", "web1", "--point", first, "--to", to, "--wait"); err != nil || (r.Code != 0) != c.lost {
				t.Errorf("the restore: %s, %v", r, err)
			}
			if !c.lost {
				same(t, was, below(to, src))
			}
			undo()
			// What the check noted in the index of the pack as it was goes with the index.
			f.must(os.RemoveAll(filepath.Join(f.repo, "index")))
			f.do("repository", "rebuild-index", "main")
			same(t, was, below(f.restore("web1", first), src))
			f.mended(src)
		})
	}
}

// An index that lies: whole by its checksums, and wrong in what it says. Packs are what counts.
func TestIndexThatLies(t *testing.T) {
	t.Parallel()
	f, src := newSource(t)
	path := objects(t, f.repo, "index/*/*")[0]
	content, err := os.ReadFile(path)
	f.must(err)
	truth, err := segment.Parse(content)
	f.must(err)
	var rows []segment.Row
	f.must(truth.All(func(r segment.Row) error { rows = append(rows, r); return nil }))

	for _, c := range []struct {
		name string
		lie  func(i int, r *segment.Row, packs []segment.Pack)
	}{
		{"offsets", func(_ int, r *segment.Row, _ []segment.Pack) { r.Offset += 8 }},
		{"lengths", func(_ int, r *segment.Row, _ []segment.Pack) { r.Length -= 4 }},
		{"ids", func(i int, r *segment.Row, _ []segment.Pack) { r.ID = rows[(i+1)%len(rows)].ID }},
		{"packs that never were", func(_ int, _ *segment.Row, packs []segment.Pack) {
			for i := range packs {
				packs[i].Number, packs[i].Attempt = 77, point.Attempt{1}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := *f
			f.t = t
			packs := append([]segment.Pack(nil), truth.Packs...)
			lies := append([]segment.Row(nil), rows...)
			for i := range lies {
				c.lie(i, &lies[i], packs)
			}
			replace(t, path, segment.Encode(truth.Header, packs, lies))
			// What it makes of restores is an error with a name, never wrong bytes.
			r, err := f.CLI("restore", "files", "--computer", "web1", "--point", "latest", "--to", t.TempDir(), "--wait")
			f.must(err)
			if r.Code != exitLeftOut && (r.Code != exitFailed || !strings.Contains(r.Stderr, "check")) {
				t.Errorf("restored by it: %s", r)
			}
			if r, err = f.CLI("repository", "check", "main"); err != nil || r.Code == exitFailed {
				t.Errorf("the packs have all: %s, %v\n%s", r, err, f.said())
			}
			if said := f.said(); !strings.Contains(said, "segment.") {
				t.Errorf("the check does not tell of it:\n%s", said)
			}
			same(t, src, below(f.restore("web1", "latest"), src))
			f.must(os.RemoveAll(filepath.Join(f.repo, "index")))
			f.do("repository", "rebuild-index", "main")
			f.mended(src)
			path = objects(t, f.repo, "index/*/"+filepath.Base(path))[0]
		})
	}
}
