package repo_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"keepward/internal/repo"
	"keepward/internal/repo/merge"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

// A merge joins a mark with the row that it is about, which then stands for all owners. Taking it
// back leaves that row.
func TestMarksThatWereMergedAreTakenBack(t *testing.T) {
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	site, m := repotest.NewSite(), memfs.New()
	d := storage.NewDir(m, "/r")
	key, err := site.KeyObject()
	must(err)
	must(repo.Create(ctx, d, site.Config(), []repo.KeyObject{key}, repo.Owner{Term: 1}))
	r, err := repo.Open(ctx, d)
	must(err)
	defer r.Close() //nolint:errcheck // the test is over
	b := &repotest.Backup{Site: site, Computer: "web1", Attempt: repotest.Attempt(1), Files: repotest.Files(10, 3000, 1)}
	w, err := r.NewWriter(ctx, repo.WriterOptions{Attempt: b.Attempt, Owner: site.Owner("web1")})
	must(err)
	must(b.Run(ctx, w))

	name := repo.PackName(b.Attempt, pack.Data, 1)
	good, err := d.Get(ctx, name, 1<<20)
	must(err)
	bad := bytes.Clone(good)
	bad[pack.HeaderSize+seal.HeaderSize+2] ^= 1
	put := func(content []byte) {
		t.Helper()
		must(m.Remove("/r/" + name))
		must(d.Put(ctx, name, content))
	}
	issue, computers := site.Master.IssueKey(), site.Master.ComputersKey()
	check := func(n int) repo.Report {
		t.Helper()
		fresh, err := repo.Open(ctx, d)
		must(err)
		defer fresh.Close() //nolint:errcheck // only read from
		report, err := fresh.Check(ctx, repo.CheckOptions{
			ReadData: true, Repair: true, Attempt: repotest.Attempt(n), Keys: site.Keys("check"),
			IssueKey: &issue, ComputersKey: &computers, Time: time.Date(2026, 11, n, 4, 0, 0, 0, time.UTC),
		})
		must(err)
		return report
	}
	put(bad)
	if check(10).Clean() {
		t.Fatal("the damage was not found")
	}
	put(good)
	merger, err := repo.Open(ctx, d)
	must(err)
	done, err := merge.Run(ctx, merger, merge.Options{Attempt: repotest.Attempt(20), FanIn: 2, Remove: merger.RemoveSegment})
	must(err)
	must(merger.Close())
	if done.After != 1 {
		t.Fatalf("%+v: the test proves nothing", done)
	}
	report := check(11)
	if !report.Clean() || len(report.Findings) != 1 || report.Findings[0].Code != "pack.good-again" {
		t.Fatalf("%+v", report.Findings)
	}
	last, err := repo.Open(ctx, d)
	must(err)
	defer last.Close() //nolint:errcheck // only read from
	rows := 0
	for _, s := range last.Segments() {
		must(s.All(func(row segment.Row) error {
			if rows++; row.Flags&segment.Damaged != 0 {
				t.Errorf("row %v is still marked", row)
			}
			return nil
		}))
	}
	files, failed, err := site.Restore(ctx, last, "web1", b.Attempt)
	if err != nil || len(failed) > 0 || len(files) != len(b.Files) || rows == 0 {
		t.Fatalf("%d files of %d, failed %v, %v", len(files), len(b.Files), failed, err)
	}
	if report := check(12); len(report.Findings) != 0 {
		t.Fatalf("%+v", report.Findings)
	}
}
