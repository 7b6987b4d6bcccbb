package test

import (
	"os"
	"path/filepath"
	"testing"

	"keepward/test/site"
)

// Restores to where people want them: the original place, another computer, with and
// without what is there already.
func TestRestorePlacesAndPolicies(t *testing.T) {
	f := newFleet(t, "web1", "web2")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 100, 5<<20, 1))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	good := copyTree(t, src)
	damaged, kept, extra := filepath.Join(src, "d000", "f00001"), filepath.Join(src, "d000", "f00002"), filepath.Join(src, "extra")

	t.Run("a dry run writes nothing", func(t *testing.T) {
		f := *f
		f.t = t
		to := filepath.Join(f.Dir, "dry")
		f.do("restore", "files", "--computer", "web1", "--point", "latest", "--to", to, "--dry-run", "--wait")
		if _, err := os.Stat(to); err == nil {
			t.Error("the directory was made")
		}
	})
	t.Run("the original place, what differs", func(t *testing.T) {
		f := *f
		f.t = t
		f.must(os.WriteFile(damaged, []byte("damaged"), 0o600))
		f.must(os.Remove(kept))
		f.must(os.WriteFile(extra, []byte("mine"), 0o600))
		f.do("restore", "files", "--computer", "web1", "--point", "latest", "--original", "--wait")
		if _, err := os.Stat(extra); err != nil {
			t.Errorf("what the point does not have was touched: %v", err)
		}
		f.must(os.Remove(extra))
		same(t, filepath.Join(good, "d000"), filepath.Join(src, "d000"))
	})
	t.Run("never overwrites", func(t *testing.T) {
		f := *f
		f.t = t
		f.must(os.WriteFile(damaged, []byte("damaged"), 0o600))
		f.must(os.Remove(kept))
		f.do("restore", "files", "--computer", "web1", "--point", "latest", "--original", "--overwrite", "never", "--wait")
		if b, err := os.ReadFile(damaged); err != nil || string(b) != "damaged" {
			t.Errorf("an existing file was overwritten: %q, %v", b, err)
		}
		if _, err := os.Stat(kept); err != nil {
			t.Errorf("a missing file was not restored: %v", err)
		}
	})
	t.Run("deletes what the point has not", func(t *testing.T) {
		f := *f
		f.t = t
		f.must(os.WriteFile(extra, []byte("mine"), 0o600))
		f.do("restore", "files", "--computer", "web1", "--point", "latest", "--path", src, "--original", "--overwrite", "always", "--delete-extra", "--wait")
		same(t, good, src)
	})
	t.Run("one folder, laid at the directory itself, on another computer", func(t *testing.T) {
		f := *f
		f.t = t
		to := filepath.Join(f.Dir, "other")
		f.do("restore", "files", "--computer", "web1", "--point", "latest", "--path", filepath.Join(src, "d000"), "--strip", "--to", to, "--target", "web2", "--wait")
		same(t, filepath.Join(good, "d000"), to)
		sessions, err := f.Sessions()
		f.must(err)
		s, err := f.Session(sessions[0].Id)
		f.must(err)
		if len(s.Tasks) != 1 || s.Tasks[0].Computer != "web2" {
			t.Errorf("the restore ran on %v, want web2", s.Tasks)
		}
	})
	t.Run("a point by time", func(t *testing.T) {
		f := *f
		f.t = t
		same(t, good, below(f.restore("web1", "now"), src))
	})
}
