package sweep

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
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

// world is a repository and what was put into it.
type world struct {
	testing.TB
	ctx  context.Context
	site *repotest.Site
	disk *memfs.FS
	want map[point.Attempt]*repotest.Backup // points that must restore
	next int                                // number of the next sweep
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, ctx: context.Background(), site: repotest.NewSite(), disk: memfs.New(), want: map[point.Attempt]*repotest.Backup{}, next: 9000}
	key, err := w.site.KeyObject()
	must(t, err)
	must(t, repo.Create(w.ctx, w.backend(), w.site.Config(), []repo.KeyObject{key}, repo.Owner{Term: 1}))
	return w
}

func (w *world) backend() storage.Backend { return storage.NewDir(w.disk, "/r") }

// open is another process's view of the repository.
func (w *world) open() *repo.Repository {
	w.Helper()
	r, err := repo.Open(w.ctx, w.backend())
	must(w, err)
	w.Cleanup(func() { must(w, r.Close()) })
	return r
}

// mover is a backup under way.
type mover struct {
	w *world
	*repotest.Backup
	r      *repo.Repository
	writer *repo.Writer
}

// begin starts a backup: its writer is open, nothing is stored.
func (w *world) begin(computer string, n int, files map[string]string) *mover {
	w.Helper()
	m := &mover{w: w, Backup: &repotest.Backup{Site: w.site, Computer: computer, Attempt: repotest.Attempt(n), Files: files}, r: w.open()}
	var err error
	m.writer, err = m.r.NewWriter(w.ctx, repo.WriterOptions{
		Attempt: m.Attempt, Owner: w.site.Owner(computer), Keys: w.site.Keys(computer), PackSize: 6000,
	})
	must(w, err)
	w.Cleanup(m.writer.Abort)
	return m
}

// store puts everything and answers the draft of the point.
func (m *mover) store() point.Draft {
	m.w.Helper()
	d, err := m.Store(m.w.ctx, m.writer, m.Files)
	must(m.w, err)
	return d
}

func (m *mover) commit(d point.Draft) error {
	issue, err := m.Issue()
	if err == nil {
		err = m.writer.Commit(m.w.ctx, d, issue)
	}
	if err == nil {
		m.w.want[m.Attempt] = m.Backup
	}
	return err
}

// backup makes a point.
func (w *world) backup(computer string, n int, files map[string]string) *mover {
	w.Helper()
	m := w.begin(computer, n, files)
	must(w, m.commit(m.store()))
	return m
}

// remove marks points as deleted and answers them, to be purged.
func (w *world) remove(ns ...int) []point.Attempt {
	w.Helper()
	r := w.open()
	var out []point.Attempt
	for _, n := range ns {
		a := repotest.Attempt(n)
		must(w, r.MarkDeleted(w.ctx, a, repo.Note{Reason: "test"}))
		delete(w.want, a)
		out = append(out, a)
	}
	return out
}

func (w *world) options(purge []point.Attempt) Options {
	w.next++
	return Options{Attempt: repotest.Attempt(w.next), Term: 1, Purge: purge, Event: func(code, text string) { w.Logf("%s: %s", code, text) }}
}

// sweep runs a whole sweep.
func (w *world) sweep(purge []point.Attempt) Report {
	w.Helper()
	report, err := Run(w.ctx, w.open(), w.options(purge))
	must(w, err)
	return report
}

// intact checks that every point restores bit for bit, and that a check of everything finds
// nothing.
func (w *world) intact() {
	w.Helper()
	r := w.open()
	for a, b := range w.want {
		files, failed, err := w.site.Restore(w.ctx, r, b.Computer, a)
		if diff := cmp.Diff(b.Files, files); err != nil || diff != "" || len(failed) > 0 {
			w.Fatalf("point %s: %v, failed %v, diff %s", a, err, failed, diff)
		}
	}
	report, err := w.open().Check(w.ctx, repo.CheckOptions{ReadData: true, Scratch: w.TempDir(), Keys: w.site.Keys("check")})
	if err != nil || len(report.Findings) > 0 {
		w.Fatalf("check: %+v, %v", report.Findings, err)
	}
}

// packs are the packs that are there.
func (w *world) packs() map[string]int64 {
	w.Helper()
	out := map[string]int64{}
	must(w, w.backend().List(w.ctx, repo.PacksDir, func(i storage.Info) error {
		out[i.Name] = i.Size
		return nil
	}))
	return out
}

// objects are the names in a folder.
func (w *world) objects(dir string) []string {
	w.Helper()
	var out []string
	must(w, w.backend().List(w.ctx, dir, func(i storage.Info) error {
		out = append(out, i.Name)
		return nil
	}))
	return out
}

// join is several sets of files in one, so that packs hold some of each.
func join(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for i, files := range all {
		for k, v := range files {
			out[k+string(rune('a'+i))] = v
		}
	}
	return out
}
