package test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"keepward/internal/repo"
	"keepward/internal/repo/compact"
	"keepward/internal/repo/merge"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
	"keepward/test/formatreader"
)

// What compaction and merging make of a repository is what the pages say: packs of one
// attempt with several owners, and a segment with rows of all.
func TestThePagesOfTheFormatTellARepositoryAfterMaintenance(t *testing.T) {
	ctx := context.Background()
	s := repotest.NewSite()
	d, err := storage.OpenDir(t.TempDir())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	key, err := s.KeyObject()
	must(err)
	must(repo.Create(ctx, d, s.Config(), []repo.KeyObject{key}, repo.Owner{Term: 1}))
	r, err := repo.Open(ctx, d)
	must(err)
	defer func() { must(r.Close()) }()
	want := map[string]map[string]string{}
	for i, computer := range []string{"web1", "db1", "web1", "db1"} {
		b := &repotest.Backup{Site: s, Computer: computer, Attempt: repotest.Attempt(i + 1), Files: repotest.Files(30, 4000, uint64(i/3))}
		w, err := r.NewWriter(ctx, repo.WriterOptions{Attempt: b.Attempt, Owner: s.Owner(computer), Keys: s.Keys(computer), PackSize: 20_000})
		must(err)
		must(b.Run(ctx, w))
		w.Abort()
		want[b.Attempt.String()] = b.Files
	}
	moved, err := compact.Run(ctx, r, everyPack(t, r), compact.Options{Attempt: repotest.Attempt(50), Live: func(seal.ID) bool { return true }, PackSize: 30_000})
	must(err)
	for _, k := range moved.Condemn {
		must(r.DeletePack(ctx, k))
	}
	joined, err := merge.Run(ctx, r, merge.Options{Attempt: repotest.Attempt(50), FanIn: 2, Remove: r.RemoveSegment})
	must(err)
	if len(moved.Condemn) < 8 || joined.After != 1 {
		t.Fatalf("%+v, %+v: the test is too small", moved, joined)
	}

	reader, err := formatreader.Open(d.Path(), s.Recovery.Text())
	must(err)
	points, err := reader.Points()
	must(err)
	if len(points) != len(want) {
		t.Fatalf("%d points", len(points))
	}
	for _, how := range []string{"by the index", "without the index"} {
		if how != "by the index" {
			must(reader.WithoutIndex())
		}
		for _, p := range points {
			to := t.TempDir()
			must(reader.Restore(p, to))
			for path, content := range want[p.Attempt] {
				got, err := os.ReadFile(filepath.Join(to, path))
				if err != nil || string(got) != content {
					t.Fatalf("%s, point %s: %s has %d bytes, %v", how, p.Attempt, path, len(got), err)
				}
			}
		}
	}
}

// everyPack offers all packs as thin ones.
func everyPack(t *testing.T, r *repo.Repository) []compact.Pack {
	t.Helper()
	var packs []compact.Pack
	err := r.Backend().List(context.Background(), repo.PacksDir, func(i storage.Info) error {
		k, err := repo.ParsePackName(i.Name)
		packs = append(packs, compact.Pack{Key: k, Size: i.Size, Live: i.Size / 2, Dead: i.Size / 2})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return packs
}
