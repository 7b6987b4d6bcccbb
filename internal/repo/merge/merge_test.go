package merge

import (
	"context"
	"errors"
	"maps"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

func newWriter(s *repotest.Site, r *repo.Repository, computer string, n int) (*repo.Writer, error) {
	return r.NewWriter(context.Background(), repo.WriterOptions{Attempt: repotest.Attempt(n), Owner: s.Owner(computer), Keys: s.Keys(computer), PackSize: 4000})
}

func classOf(k seal.Kind) pack.Class { return pack.ClassOf(k) }

func TestAMergeChangesNoAnswer(t *testing.T) {
	ctx := context.Background()
	s := repotest.NewSite()
	m := newRepository(t, s)
	marked(t, s, m, 9)
	r := open(t, m)
	want := reliance(r)
	before := len(r.Segments())
	result, err := Run(ctx, r, options(r))
	must(t, err)
	if before < 9 || result.Before != before || result.Merged != before || result.After != 1 || result.Written != 1 || result.RowsWritten >= result.RowsRead {
		t.Fatalf("%d segments: %+v", before, result)
	}
	fresh := open(t, m)
	for name, r := range map[string]*repo.Repository{"the one that merged": r, "a fresh one": fresh} {
		if diff := cmp.Diff(want, reliance(r)); diff != "" {
			t.Fatalf("%s: %s", name, diff)
		}
		if n := len(r.Segments()); n != 1 || !r.Segments()[0].Marks {
			t.Fatalf("%s: %d segments", name, n)
		}
	}
	if again, err := Run(ctx, fresh, options(fresh)); err != nil || again.Merged != 0 {
		t.Fatalf("again: %+v, %v", again, err)
	}
	owners := map[[16]byte]bool{}
	for _, p := range fresh.Segments()[0].Packs {
		owners[p.Owner] = true
	}
	if len(owners) != 2 {
		t.Fatalf("%d owners: the test is too small", len(owners))
	}
}

// What was stored by one computer and never proved must not look like another's.
func TestAnUnprovedChunkStaysItsOwners(t *testing.T) {
	ctx := context.Background()
	s := repotest.NewSite()
	m := newRepository(t, s)
	files := repotest.Files(4, 2500, 1)
	for i, c := range []string{"web1", "web1", "db1", "db1"} {
		r := open(t, m)
		w, err := r.NewWriter(context.Background(), repo.WriterOptions{Attempt: repotest.Attempt(i + 1), Owner: s.Owner(c)}) // no keys: it proves nothing
		must(t, err)
		b := &repotest.Backup{Site: s, Computer: c, Attempt: repotest.Attempt(i + 1), Files: files}
		must(t, b.Run(ctx, w))
	}
	r := open(t, m)
	want := reliance(r)
	_, err := Run(ctx, r, options(r))
	must(t, err)
	if diff := cmp.Diff(want, reliance(r)); diff != "" || len(r.Segments()) != 1 {
		t.Fatal(len(r.Segments()), diff)
	}
	for id, all := range want {
		if id == (seal.ID{}) || len(all) == 0 || all[0].Proved() {
			t.Fatalf("%s: %+v", id, all)
		}
	}
}

func TestRowsOfPacksThatAreGoneAreLeftOut(t *testing.T) {
	ctx := context.Background()
	s := repotest.NewSite()
	m := newRepository(t, s)
	history(t, s, m, 6)
	b := storage.NewDir(m, "/r")
	must(t, b.Delete(ctx, repo.PackName(repotest.Attempt(3), pack.Data, 1)))
	r := open(t, m)
	_, err := Run(ctx, r, options(r))
	must(t, err)
	for _, p := range r.Segments()[0].Packs {
		if p.Attempt == repotest.Attempt(3) && p.Class == pack.Data && p.Number == 1 {
			t.Fatalf("%+v is in the table", p)
		}
	}
	for _, l := range places(r) {
		if l.Attempt == repotest.Attempt(3) && l.Number == 1 && !l.Kind.Meta() {
			t.Fatalf("%+v", l)
		}
	}
	infos := list(t, b, repo.PacksDir)
	for _, i := range infos {
		must(t, b.Delete(ctx, i.Name))
	}
	r = open(t, m)
	result, err := Run(ctx, r, options(r))
	if err != nil || result.After != 0 || len(list(t, b, indexDir)) != 0 {
		t.Fatalf("all packs are gone: %+v, %v", result, err)
	}
}

func list(t testing.TB, b storage.Backend, dir string) []storage.Info {
	t.Helper()
	var out []storage.Info
	must(t, b.List(context.Background(), dir, func(i storage.Info) error { out = append(out, i); return nil }))
	return out
}

// The power goes at each call: no chunk is lost from the index, and the next run ends it.
func TestACrashAtAnyCallLosesNoRow(t *testing.T) {
	ctx := context.Background()
	s := repotest.NewSite()
	run := func(m *memfs.FS) error {
		r, err := repo.Open(ctx, storage.NewDir(m, "/r"))
		if err != nil {
			return err
		}
		defer r.Close() //nolint:errcheck // only read
		_, err = Run(ctx, r, options(r))
		return err
	}
	build := func() *memfs.FS {
		m := newRepository(t, s)
		marked(t, s, m, 5)
		return m
	}
	whole := build()
	want := reliance(open(t, whole))
	last := -whole.Calls()
	must(t, run(whole))
	last += whole.Calls()
	for n := 1; n <= last; n++ {
		for seed := range uint64(3) {
			m := build()
			m.DieAt(m.Calls() + n)
			if run(m) == nil {
				t.Fatalf("call %d of %d was not reached", n, last)
			}
			after := m.Restart(seed)
			if seed == 0 {
				after = m.Reopen()
			}
			r := open(t, after)
			if diff := cmp.Diff(want, reliance(r)); diff != "" {
				t.Fatalf("crash at call %d, seed %d: %s", n, seed, diff)
			}
			o := options(r)
			if seed == 1 { // another run, not the same again
				o.Attempt = repotest.Attempt(901)
			}
			if _, err := Run(ctx, r, o); err != nil {
				t.Fatalf("again after a crash at call %d, seed %d: %v", n, seed, err)
			}
			if diff := cmp.Diff(want, reliance(open(t, after))); diff != "" {
				t.Fatalf("again after a crash at call %d, seed %d: %s", n, seed, diff)
			}
		}
	}
	t.Logf("%d crash points", last*3)
}

func TestAFullDiskLeavesAllAsItWas(t *testing.T) {
	ctx := context.Background()
	s := repotest.NewSite()
	m := newRepository(t, s)
	history(t, s, m, 5)
	r := open(t, m)
	want := list(t, r.Backend(), indexDir)
	for _, failing := range []memfs.Op{memfs.Create, memfs.Write, memfs.Sync, memfs.Link} {
		m.SetHook(func(op memfs.Op, name string) error {
			if op == failing && strings.Contains(name, "/index/") {
				return syscall.ENOSPC
			}
			return nil
		})
		_, err := Run(ctx, r, options(r))
		m.SetHook(nil)
		if errs.KindOf(err) != errs.NoSpace {
			t.Fatalf("%s: %v", failing, err)
		}
		if diff := cmp.Diff(want, list(t, r.Backend(), indexDir)); diff != "" {
			t.Fatalf("%s: %s", failing, diff)
		}
	}
	if result, err := Run(ctx, r, options(r)); err != nil || result.After != 1 {
		t.Fatalf("with room again: %+v, %v", result, err)
	}
}

// A part that cannot be read stays, and the others are joined.
func TestADamagedPartIsLeftToTheCheck(t *testing.T) {
	ctx := context.Background()
	s := repotest.NewSite()
	m := newRepository(t, s)
	history(t, s, m, 6)
	infos := list(t, storage.NewDir(m, "/r"), indexDir)
	head, page := infos[1].Name, infos[3].Name
	must(t, m.Flip("/r/"+head, 130, 1))
	must(t, m.Flip("/r/"+page, int(infos[3].Size)-segment.PageSize+40, 1))
	r := open(t, m)
	result, err := Run(ctx, r, options(r))
	must(t, err)
	if diff := cmp.Diff([]string{head, page}, result.Damaged); diff != "" {
		t.Fatal(diff)
	}
	left := list(t, r.Backend(), indexDir)
	if len(left) != 3 || result.Merged != len(infos)-2 {
		t.Fatalf("%v, %+v", left, result)
	}
	for i := range 6 {
		files := repotest.Files(3, 2500, uint64(i))
		for path, content := range repotest.Files(6, 2500, 99) {
			files["shared/"+path] = content
		}
		restores(t, s, r, []string{"web1", "db1"}[i%2], repotest.Attempt(i+1), files)
	}
}

// A merged segment tells of packs of many attempts: if it is damaged, all of these are read.
func TestADamagedMergedSegmentIsRebuiltWithTheRightOwners(t *testing.T) {
	ctx := context.Background()
	s := repotest.NewSite()
	m := newRepository(t, s)
	for i := range 4 {
		backup(t, s, open(t, m), []string{"web1", "db1"}[i%2], i+1, repotest.Files(3, 2500, uint64(i)))
	}
	r := open(t, m)
	_, err := Run(ctx, r, options(r))
	must(t, err)
	backup(t, s, r, "web1", 5, repotest.Files(3, 2500, 5))
	want := reliance(r)
	name := repo.SegmentName(repotest.Attempt(900), 1)
	for _, at := range []int{0, 5, 60, 130, 8000} {
		must(t, m.Flip("/r/"+name, at, 1))
		r := open(t, m)
		if diff := cmp.Diff(want, relianceOn(r, maps.Keys(want))); diff != "" || len(r.Conditions()) != 1 {
			t.Fatalf("byte %d: %v, %s", at, r.Conditions(), diff)
		}
		must(t, m.Flip("/r/"+name, at, 1))
	}
}

func TestACheckRepairsADamagedMergedSegment(t *testing.T) {
	ctx := context.Background()
	s := repotest.NewSite()
	for _, at := range []int{5, 130, -segment.PageSize + 40} {
		m := newRepository(t, s)
		for i := range 4 {
			backup(t, s, open(t, m), []string{"web1", "db1"}[i%2], i+1, repotest.Files(3, 2500, uint64(i)))
		}
		r := open(t, m)
		_, err := Run(ctx, r, options(r))
		must(t, err)
		want := reliance(r)
		damaged := list(t, r.Backend(), indexDir)[0]
		if at < 0 {
			at += int(damaged.Size)
		}
		must(t, m.Flip("/r/"+damaged.Name, at, 1))
		r = open(t, m)
		report, err := r.Check(ctx, repo.CheckOptions{ReadData: true, Repair: true, Attempt: repotest.Attempt(600)})
		if err != nil || len(report.Findings) != 1 || report.Findings[0].Code != "segment.damaged" {
			t.Fatalf("byte %d: %+v, %v", at, report.Findings, err)
		}
		for name, r := range map[string]*repo.Repository{"the one that checked": r, "a fresh one": open(t, m)} {
			if diff := cmp.Diff(want, reliance(r)); diff != "" {
				t.Fatalf("byte %d, %s: %s", at, name, diff)
			}
		}
		if fresh := open(t, m); len(fresh.Conditions()) > 0 || len(fresh.Segments()) != 1 {
			t.Fatalf("byte %d: %v, %d segments", at, fresh.Conditions(), len(fresh.Segments()))
		}
	}
}

func TestAMergeThatMayNotRemoveKeepsTheParts(t *testing.T) {
	s := repotest.NewSite()
	m := newRepository(t, s)
	history(t, s, m, 5)
	r := open(t, m)
	want := reliance(r)
	parts := len(list(t, r.Backend(), indexDir))
	refused := errors.New("another server is the owner")
	o := options(r)
	o.Remove = func(context.Context, string) error { return refused }
	if _, err := Run(context.Background(), r, o); !errors.Is(err, refused) {
		t.Fatal(err)
	}
	if n := len(list(t, r.Backend(), indexDir)); n != parts+1 {
		t.Fatalf("%d objects, were %d", n, parts)
	}
	r = open(t, m)
	if result, err := Run(context.Background(), r, options(r)); err != nil || result.After != 1 {
		t.Fatalf("%+v, %v", result, err)
	}
	if diff := cmp.Diff(want, reliance(open(t, m))); diff != "" {
		t.Fatal(diff)
	}
}

func TestACancelledMergeChangesNothing(t *testing.T) {
	s := repotest.NewSite()
	m := newRepository(t, s)
	history(t, s, m, 5)
	r := open(t, m)
	want := list(t, r.Backend(), indexDir)
	ctx, cancel := context.WithCancel(context.Background())
	o := options(r)
	o.Progress = func(_, _ int64) { cancel() }
	if _, err := Run(ctx, r, o); errs.KindOf(err) != errs.Cancelled {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, list(t, r.Backend(), indexDir)); diff != "" {
		t.Fatal(diff)
	}
}
