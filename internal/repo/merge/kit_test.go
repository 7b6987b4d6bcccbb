package merge

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newRepository(t testing.TB, s *repotest.Site) *memfs.FS {
	t.Helper()
	m := memfs.New()
	key, err := s.KeyObject()
	must(t, err)
	must(t, repo.Create(context.Background(), storage.NewDir(m, "/r"), s.Config(), []repo.KeyObject{key}, repo.Owner{Term: 1}))
	return m
}

func openOn(t testing.TB, b storage.Backend) *repo.Repository {
	t.Helper()
	r, err := repo.Open(context.Background(), b)
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()) })
	return r
}

func open(t testing.TB, m *memfs.FS) *repo.Repository { return openOn(t, storage.NewDir(m, "/r")) }

// backup makes a point of a computer.
func backup(t testing.TB, s *repotest.Site, r *repo.Repository, computer string, n int, files map[string]string) {
	t.Helper()
	b := &repotest.Backup{Site: s, Computer: computer, Attempt: repotest.Attempt(n), Files: files}
	w := writer(t, s, r, computer, n)
	defer w.Abort()
	must(t, b.Run(context.Background(), w))
}

func writer(t testing.TB, s *repotest.Site, r *repo.Repository, computer string, n int) *repo.Writer {
	t.Helper()
	w, err := newWriter(s, r, computer, n)
	must(t, err)
	return w
}

// remover is what the sweep would give.
func remover(b storage.Backend) func(context.Context, string) error {
	return func(ctx context.Context, name string) error { return b.(storage.Deleter).Delete(ctx, name) }
}

func options(r *repo.Repository) Options {
	return Options{Attempt: repotest.Attempt(900), Remove: remover(r.Backend())}
}

// history has n backups of two computers that share half of their files; what they share, the
// second has proved.
func history(t testing.TB, s *repotest.Site, m *memfs.FS, n int) {
	t.Helper()
	shared := repotest.Files(6, 2500, 99)
	for i := range n {
		files := repotest.Files(3, 2500, uint64(i))
		for path, content := range shared {
			files["shared/"+path] = content
		}
		r, err := repo.Open(context.Background(), storage.NewDir(m, "/r"))
		must(t, err)
		backup(t, s, r, []string{"web1", "db1"}[i%2], i+1, files)
		must(t, r.Close())
	}
}

// marked is a history in which the place of one chunk is marked as damaged.
func marked(t testing.TB, s *repotest.Site, m *memfs.FS, n int) {
	t.Helper()
	history(t, s, m, n)
	r, err := repo.Open(context.Background(), storage.NewDir(m, "/r"))
	must(t, err)
	defer r.Close() //nolint:errcheck // only read
	mark(t, r, 800, places(r)[3])
}

// mark publishes a mark of damage as a check does.
func mark(t testing.TB, r *repo.Repository, attempt int, l repo.Location) {
	t.Helper()
	_, err := r.PublishSegment(context.Background(), segment.Header{Attempt: repotest.Attempt(attempt), Number: 1},
		[]segment.Pack{{Attempt: l.Attempt, Class: classOf(l.Kind), Number: l.Number}},
		[]segment.Row{{ID: l.ID, Offset: l.Offset, Length: l.Length, Kind: l.Kind, Flags: segment.Damaged}})
	must(t, err)
}

// places are all rows of the index as lookups find them, in a fixed order.
func places(r *repo.Repository) []repo.Location {
	ids := map[seal.ID]bool{}
	for _, s := range r.Segments() {
		_ = s.All(func(row segment.Row) error { ids[row.ID] = true; return nil })
	}
	var out []repo.Location
	for id := range ids {
		out = append(out, r.Places(context.Background(), id)...)
	}
	slices.SortFunc(out, func(a, b repo.Location) int {
		return cmp.Or(slices.Compare(a.ID[:], b.ID[:]), slices.Compare(a.Attempt[:], b.Attempt[:]), cmp.Compare(a.Number, b.Number),
			cmp.Compare(a.Offset, b.Offset), slices.Compare(a.Owner[:], b.Owner[:]))
	})
	return out
}

// reliance is what a computer may rely on: per chunk, its places that are not damaged, with
// whose they are unless they are proved.
func reliance(r *repo.Repository) map[seal.ID][]repo.Location {
	ids := map[seal.ID]bool{}
	for _, l := range places(r) {
		ids[l.ID] = true
	}
	return relianceOn(r, maps.Keys(ids))
}

func relianceOn(r *repo.Repository, ids iter.Seq[seal.ID]) map[seal.ID][]repo.Location {
	out := map[seal.ID][]repo.Location{}
	for id := range ids {
		all := r.Locations(context.Background(), id)
		for i := range all {
			if all[i].Proved() {
				all[i].Owner = [16]byte{}
			}
		}
		slices.SortFunc(all, func(a, b repo.Location) int {
			return cmp.Or(slices.Compare(a.Attempt[:], b.Attempt[:]), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Offset, b.Offset), slices.Compare(a.Owner[:], b.Owner[:]), cmp.Compare(a.Flags, b.Flags))
		})
		// Where a place is proved, rows that do not say so add nothing.
		all = slices.CompactFunc(all, func(a, b repo.Location) bool { return a.SamePlace(b) && a.Owner == b.Owner })
		proved := map[[2]any]bool{}
		for _, l := range all {
			if l.Proved() {
				proved[[2]any{l.PackName(), l.Offset}] = true
			}
		}
		all = slices.DeleteFunc(all, func(l repo.Location) bool { return !l.Proved() && proved[[2]any{l.PackName(), l.Offset}] })
		if out[id] = all; len(all) == 0 {
			out[id] = nil
		}
	}
	return out
}

func restores(t testing.TB, s *repotest.Site, r *repo.Repository, computer string, a point.Attempt, want map[string]string) {
	t.Helper()
	files, failed, err := s.Restore(context.Background(), r, computer, a)
	if err != nil || len(failed) > 0 || len(files) != len(want) {
		t.Fatalf("restore %s: %d files, failed %v, %v", a, len(files), failed, err)
	}
	for path, content := range want {
		if files[path] != content {
			t.Fatalf("restore %s: %s differs", a, path)
		}
	}
}
