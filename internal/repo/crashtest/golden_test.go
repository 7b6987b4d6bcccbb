package crashtest

import (
	"bytes"
	"context"
	"flag"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"

	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

var update = flag.Bool("update", false, "make the golden repository anew; only for a new format version")

const golden = "testdata/golden-v1-maintained"

// maintained is a repository with everything in it that maintenance makes: proofs, markers,
// merged segments, compacted packs, lists of generations, and a sweep that waits for an
// attempt.
var maintained = []step{
	create,
	backup(1, "web1", thin), backup(2, "db1", db), backup(3, "web1", thinned), repair,
	remove(1), remove(2), upkeep{compact: true, merge: true, moves: true}.sweeps(1), backup(4, "db1", other), hold(3), remove(4),
	begin(5, "web1", tree{base: 1, extra: 7}), checkpoint(5, 4), fence(6), purge(2), upkeep{}.waits(5),
}

// A repository that an earlier version left in the middle of its maintenance is read, and its
// maintenance ended, by every later one.
func TestTheMaintainedGoldenRepositoryIsReadAndSweptOn(t *testing.T) {
	ctx := context.Background()
	w := newWorld(memfs.New())
	n := 500
	w.number = func() int { n++; return n }
	if err := w.run(ctx, maintained); err != nil {
		t.Fatal(err)
	}
	w.end()
	if *update {
		store(t, w)
	}
	disk := load(t)
	hasAll(t, disk)
	if err := newRecovery(disk, w.found()).run(ctx); err != nil {
		t.Fatal(err)
	}
}

// hasAll tells that the golden repository holds what it is there for.
func hasAll(t *testing.T, disk *memfs.FS) {
	t.Helper()
	r, err := repo.Open(context.Background(), storage.NewDir(disk, root))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // the test is over
	merged := slices.ContainsFunc(r.Segments(), func(s repo.IndexSegment) bool { return s.Owner == [16]byte{} })
	if !merged {
		t.Error("no segment is a merged one")
	}
	for _, dir := range []string{"attempts", "checkpoints", "condemned", "deleted", "held", "index", "keys", "owner", "packs", "points", "proofs", "swept"} {
		some := false
		err := r.Backend().List(context.Background(), dir, func(storage.Info) error {
			some = true
			return nil
		})
		if err != nil || !some {
			t.Errorf("nothing is in %s: %v", dir, err)
		}
	}
	compacted := false
	err = r.Backend().List(context.Background(), "packs", func(i storage.Info) error {
		k, err := repo.ParsePackName(i.Name)
		compacted = compacted || k.Attempt[0] > 6 || k.Attempt[1] > 0
		return err
	})
	if err != nil || !compacted {
		t.Errorf("no pack was written by a compaction: %v", err)
	}
	g, err := r.Generation(context.Background())
	if err != nil || g.Done || len(g.Packs) == 0 {
		t.Errorf("no list is open: %+v, %v", g, err)
	}
	if _, err := r.LatestCheckpoint(context.Background(), point.Attempt{5, 0, 0x5a}); err != nil {
		t.Error(err)
	}
}

// store writes the repository of a world to the golden folder.
func store(t *testing.T, w *world) {
	t.Helper()
	if err := os.RemoveAll(golden); err != nil {
		t.Fatal(err)
	}
	b := w.backend()
	err := b.List(context.Background(), "", func(i storage.Info) error {
		content, err := b.Get(context.Background(), i.Name, i.Size)
		if err != nil {
			return err
		}
		name := filepath.Join(golden, filepath.FromSlash(i.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		return os.WriteFile(name, content, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// load is a disk with the golden repository.
func load(t *testing.T) *memfs.FS {
	t.Helper()
	disk := memfs.New()
	err := fs.WalkDir(os.DirFS(golden), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		at := path.Join(root, name)
		if e.IsDir() {
			return disk.Mkdir(at)
		}
		content, err := os.ReadFile(filepath.Join(golden, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		f, err := disk.Create(at)
		if err == nil {
			_, err = io.Copy(f, bytes.NewReader(content))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return disk
}
