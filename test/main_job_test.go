package test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"keepward/internal/treegen"
	"keepward/test/site"
)

// realBytes is how much of each real directory the main job takes: enough for tens
// of thousands of files, little enough for a test. The demo takes more.
const realBytes = 100 << 20

// The main job: full, changes, incremental; both points restore bit for bit and
// metadata for metadata, through the server and, with all processes stopped, from
// the bare repository.
func TestMainJob(t *testing.T) {
	needRoot(t)
	needPrograms(t, "rsync", "cp", "setfacl", "setfattr", "setcap")
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.CopyReal(src, realBytes, "/usr/share", "/usr/lib"))
	zoo := filepath.Join(src, "zoo")
	f.must(os.Mkdir(zoo, 0o755))
	missing, err := treegen.Zoo(zoo)
	f.must(err)
	if len(missing) > 0 {
		t.Logf("this file system has no %s", strings.Join(missing, ", "))
	}

	f.createJob("docs", "web1", []string{filepath.Join(src, "usr/share"), filepath.Join(src, "usr/lib"), zoo}, "--exclude", "*.pyc")
	full := f.run("docs")
	before := copyTree(t, filepath.Join(src, "usr"))

	changes, err := treegen.Mutate(filepath.Join(src, "usr"), 0.01, 1)
	f.must(err)
	incremental := f.run("docs")

	t.Run("incremental stores what changed", func(t *testing.T) {
		a, b := full.GetProgress().GetCounters(), incremental.GetProgress().GetCounters()
		t.Logf("full: %d files, %d bytes read, %d stored; incremental: %d files, %d bytes read, %d stored; changed %d bytes",
			a.ReadFiles, a.ReadBytes, a.StoredBytes, b.ReadFiles, b.ReadBytes, b.StoredBytes, changes.Bytes)
		// What changed, sealed, and the nodes of the index above it.
		if limit := changes.Bytes + 16<<20; b.StoredBytes > limit {
			t.Errorf("the incremental stored %d bytes for %d changed", b.StoredBytes, changes.Bytes)
		}
		// A new name or mode may be read again: as many as changed.
		if most := int64(len(changes.Changed) + len(changes.Added) + len(changes.Renamed) + len(changes.Chmodded)); b.ReadFiles > most {
			t.Errorf("the incremental read %d files, %d changed in any way", b.ReadFiles, most)
		}
		if b.ReadBytes*10 > a.ReadBytes {
			t.Errorf("the incremental read %d bytes of files, the full %d", b.ReadBytes, a.ReadBytes)
		}
		if b.StoredBytes*4 > a.StoredBytes {
			t.Errorf("the incremental stored %d bytes, the full %d", b.StoredBytes, a.StoredBytes)
		}
	})

	points, err := f.Points("web1")
	f.must(err)
	if len(points) != 2 {
		t.Fatalf("%d points after two backups", len(points))
	}
	first, second := points[1].Id, points[0].Id
	if points[0].Parent != first {
		t.Errorf("the parent of the second point is %q, want %s", points[0].Parent, first)
	}
	t.Run("restore latest", func(t *testing.T) { restoredSame(t, filepath.Join(src, "usr"), f.restore("web1", "latest"), src) })
	t.Run("restore the first", func(t *testing.T) { restoredSame(t, before, f.restore("web1", first), src) })

	f.must(f.Close())
	t.Run("extract with all stopped", func(t *testing.T) {
		restoredSame(t, filepath.Join(src, "usr"), f.extract(second), src)
		restoredSame(t, before, f.extract(first), src)
	})
}

// restoredSame compares what the job of TestMainJob takes with a restore in dir; usr is the
// state of the real files. The zoo never changes.
func restoredSame(t *testing.T, usr, dir, src string) {
	t.Helper()
	got := below(dir, src)
	for _, sub := range []string{"share", "lib"} {
		same(t, filepath.Join(usr, sub), filepath.Join(got, "usr", sub), "*.pyc")
	}
	treeSame(t, filepath.Join(src, "zoo"), filepath.Join(got, "zoo"))
	// rsync has a limit where paths have none.
	diff, err := site.RsyncDiff(filepath.Join(src, "zoo"), filepath.Join(got, "zoo"), "/deep")
	if err != nil || diff != "" {
		t.Errorf("rsync finds differences in the zoo: %v\n%s", err, firstLines(diff))
	}
	err = filepath.WalkDir(filepath.Join(got, "usr"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".pyc") && !d.IsDir() {
			t.Errorf("%s is excluded, and was restored", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// copyTree keeps the state of a tree.
func copyTree(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(tempDir(t), "copy")
	if out, err := exec.Command("cp", "-a", dir, to).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v: %s", dir, err, out)
	}
	return to
}
