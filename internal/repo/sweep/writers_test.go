package sweep

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
)

var (
	old   = repotest.Files(12, 3000, 1)
	other = repotest.Files(12, 3000, 2)
)

// waits runs a sweep that has to wait for the movers.
func (w *world) waits(purge []point.Attempt, movers ...*mover) Report {
	w.Helper()
	report := w.sweep(purge)
	var want []point.Attempt
	for _, m := range movers {
		want = append(want, m.Attempt)
	}
	if diff := cmp.Diff(want, report.Unsettled); diff != "" || report.Done || report.DeletedPacks != 0 {
		w.Fatalf("%+v, unsettled %s", report, diff)
	}
	return report
}

// ends runs a sweep that has nothing to wait for.
func (w *world) ends(purge []point.Attempt) Report {
	w.Helper()
	report := w.sweep(purge)
	if !report.Done || len(report.Unsettled) > 0 {
		w.Fatalf("%+v", report)
	}
	return report
}

func duplicatesGo(t *testing.T) {
	w := newWorld(t)
	a, b := w.begin("web1", 1, old), w.begin("web1", 2, old)
	da, db := a.store(), b.store()
	must(t, a.commit(da))
	must(t, b.commit(db))
	before := len(w.packs())
	if report := w.ends(nil); report.DeletedPacks == 0 || len(w.packs()) > before*2/3 {
		t.Fatalf("%+v, %d packs of %d left", report, len(w.packs()), before)
	}
	w.intact()
}

func openPacksStay(t *testing.T) {
	w := newWorld(t)
	m := w.begin("web1", 1, old)
	d := m.store()
	must(t, m.writer.Flush(w.ctx))
	before := len(w.packs())
	if report := w.ends(nil); report.DeletedPacks != 0 || len(w.packs()) != before {
		t.Fatalf("%+v", report)
	}
	must(t, m.commit(d))
	w.intact()
	// Cut off, they are garbage.
	m = w.begin("web1", 2, other)
	m.store()
	must(t, m.writer.Flush(w.ctx))
	_, err := w.open().Fence(w.ctx, m.Attempt, "test")
	must(t, err)
	if report := w.ends(nil); report.DeletedPacks == 0 || len(w.packs()) != before {
		t.Fatalf("%+v", report)
	}
	w.intact()
}

func earlierWriterIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.backup("web1", 1, old)
	m := w.begin("web1", 2, old)
	d := m.store() // relies on what only the first point needs
	purge := w.remove(1)
	w.waits(purge, m)
	w.waits(purge, m)
	must(t, m.commit(d))
	if report := w.ends(purge); report.SparedPacks == 0 || report.DeletedPacks == 0 {
		t.Fatalf("%+v", report)
	}
	w.intact()
	// What is not committed is not waited for either, once it is cut off.
	m = w.begin("web1", 3, old)
	m.store()
	purge = w.remove(2)
	w.waits(purge, m)
	_, err := w.open().Fence(w.ctx, m.Attempt, "test")
	must(t, err)
	if w.ends(purge); len(w.packs()) != 0 {
		t.Fatalf("left: %v", w.packs())
	}
}

// slowMarker is a backend on which an open marker waits before it is put.
type slowMarker struct {
	storage.Backend
	reached, goOn chan struct{}
}

func (b slowMarker) Put(ctx context.Context, name string, content []byte) error {
	if strings.HasPrefix(name, "attempts/") {
		close(b.reached)
		<-b.goOn
	}
	return b.Backend.Put(ctx, name, content)
}

func beginsWhileAListIsPublished(t *testing.T) {
	w := newWorld(t)
	w.backup("web1", 1, old)
	b := slowMarker{w.backend(), make(chan struct{}), make(chan struct{})}
	r, err := repo.Open(w.ctx, b)
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()) })
	m := &mover{w: w, r: r, Backup: &repotest.Backup{Site: w.site, Computer: "web1", Attempt: repotest.Attempt(2), Files: old}}
	var begun sync.WaitGroup
	begun.Go(func() {
		m.writer, err = r.NewWriter(w.ctx, repo.WriterOptions{Attempt: m.Attempt, Owner: w.site.Owner("web1"), PackSize: 6000})
	})
	<-b.reached // it has read that there is no list
	var d point.Draft
	o := w.options(w.remove(1))
	o.Progress = func(s Step, _, _ int64) {
		if s == Sparing { // the sweep has seen that nobody is to be waited for
			close(b.goOn)
			begun.Wait()
			must(t, err)
			t.Cleanup(m.writer.Abort)
			d = m.store()
		}
	}
	report, rerr := Run(w.ctx, w.open(), o)
	if rerr != nil || report.DeletedPacks == 0 {
		t.Fatalf("%+v, %v", report, rerr)
	}
	must(t, m.commit(d))
	w.intact()
}

func laterWriterStoresAnew(t *testing.T) {
	w := newWorld(t)
	w.backup("web1", 1, old)
	early := w.begin("db1", 2, nil) // keeps the list open
	purge := w.remove(1)
	w.waits(purge, early)
	m := w.begin("web1", 3, old)
	d := m.store()
	if m.writer.Stats().Chunks < int64(len(old)) {
		t.Fatalf("it relied on condemned packs: %+v", m.writer.Stats())
	}
	_, err := w.open().Fence(w.ctx, early.Attempt, "test")
	must(t, err)
	if report := w.ends(purge); report.DeletedPacks == 0 || report.SparedPacks != 0 {
		t.Fatalf("%+v", report)
	}
	must(t, m.commit(d))
	w.ends(nil)
	w.intact()
}

func parentStays(t *testing.T) {
	w := newWorld(t)
	parent := w.backup("web1", 1, old)
	m := w.begin("web1", 2, nil)
	d, err := m.takeOver(parent.Backup)
	must(t, err)
	purge := w.remove(1)
	w.waits(purge, m)
	must(t, m.commit(d))
	w.ends(purge)
	w.intact()
}

func parentStaysWhileAListIsOpen(t *testing.T) {
	w := newWorld(t)
	w.backup("web1", 1, old)
	early := w.begin("web1", 2, old)
	de := early.store()
	w.waits(w.remove(1), early)
	must(t, early.commit(de)) // needs what is condemned, and is not spared yet
	late := w.begin("web1", 3, nil)
	dl, err := late.takeOver(early.Backup)
	must(t, err)
	// The list is carried out; only then the point goes, and another list waits for who read it.
	purge := w.remove(2)
	report := w.sweep(purge)
	if report.SparedPacks == 0 || !slices.Equal(report.Unsettled, []point.Attempt{late.Attempt}) {
		t.Fatalf("%+v", report)
	}
	must(t, late.commit(dl))
	w.ends(nil)
	w.intact()
}

func takesOverWhatIsSpared(t *testing.T) {
	w := newWorld(t)
	first := w.backup("web1", 1, old)
	early := w.begin("web1", 2, nil)
	de, err := early.takeOver(first.Backup)
	must(t, err)
	w.waits(w.remove(1), early)
	must(t, early.commit(de)) // the same tree, by now condemned
	late := w.begin("web1", 3, nil)
	dl, err := late.takeOver(early.Backup)
	must(t, err)
	if err := late.commit(dl); errs.CodeOf(err) != "commit.condemned" || errs.KindOf(err) != errs.Busy {
		t.Fatalf("commit before the judgement: %v", err)
	}
	if report := w.ends(nil); report.SparedPacks == 0 {
		t.Fatalf("%+v", report)
	}
	must(t, late.commit(dl))
	w.ends(nil)
	w.intact()
}

func compactionUnderABackup(t *testing.T) {
	w := newWorld(t)
	w.backup("web1", 1, join(old, other))
	w.backup("web1", 2, old)
	before, r := w.begin("web1", 3, old), w.open()
	d := before.store() // relies on thin packs
	purge := w.remove(1)
	report, err := Run(w.ctx, r, w.full(r, purge))
	must(t, err)
	if len(report.Rewritten.Packs) == 0 || len(report.Unsettled) != 1 {
		t.Fatalf("%+v", report)
	}
	after := w.begin("web1", 4, nil)
	da, err := after.takeOver(w.want[repotest.Attempt(2)])
	must(t, err)
	must(t, before.commit(d))
	if report := w.ends(nil); report.DeletedPacks == 0 || report.SparedPacks != 0 {
		t.Fatalf("%+v", report)
	}
	must(t, after.commit(da))
	w.intact()
}

func mergeUnderABackup(t *testing.T) {
	w := newWorld(t)
	for n := 1; n <= 4; n++ {
		w.backup("web1", n, map[string]string{"a": old["dir0/file0"], "b": other["dir0/file0"], "n": string(rune('0' + n))})
	}
	m, r := w.begin("web1", 9, old), w.open()
	report, err := Run(w.ctx, r, w.full(r, nil))
	must(t, err)
	if report.Merged.Removed == 0 {
		t.Fatalf("%+v", report)
	}
	d := m.store()
	must(t, m.commit(d))
	w.intact()
}

func fenceUnderABackup(t *testing.T) {
	w := newWorld(t)
	m := w.begin("web1", 1, old)
	d := m.store()
	committed, err := w.open().Fence(w.ctx, m.Attempt, "test")
	if err != nil || committed {
		t.Fatal(committed, err)
	}
	if m.commit(d) == nil {
		t.Fatal("an attempt that was cut off has committed")
	}
	if left := w.objects("attempts"); len(left) != 0 {
		t.Fatalf("left: %v", left)
	}
	done := w.backup("web1", 2, old)
	if committed, err := w.open().Fence(w.ctx, done.Attempt, "late"); err != nil || !committed {
		t.Fatal(committed, err)
	}
	w.intact()
}

func zombieHarmsNobody(t *testing.T) {
	w := newWorld(t)
	parent := w.backup("db1", 1, old)
	w.backup("web1", 2, old)
	zombie := w.begin("db1", 3, nil)
	d, err := zombie.takeOver(parent.Backup)
	must(t, err)
	other := w.begin("web2", 4, nil)
	for _, content := range old { // opens and proves what others stored
		for _, part := range repotest.Cut(content, 1000) {
			have, err := other.writer.Have(w.ctx, []seal.H{w.site.Keys("web2").NewHasher().Hash(seal.KindData, []byte(part))})
			if err != nil || !have[0] {
				t.Fatal(have, err)
			}
		}
	}
	for _, m := range []*mover{zombie, other} {
		_, err = w.open().Fence(w.ctx, m.Attempt, "lost")
		must(t, err)
	}
	w.ends(w.remove(1, 2))
	if len(w.packs()) != 0 {
		t.Fatalf("left: %v", w.packs())
	}
	// Days later they come back: one tries to commit, the other publishes what it knows.
	if err := zombie.commit(d); errs.CodeOf(err) != "commit.chunk-missing" && errs.CodeOf(err) != "attempt.fenced" {
		t.Fatalf("commit of an attempt that was cut off: %v", err)
	}
	must(t, other.writer.Flush(w.ctx))
	if len(w.objects("index")) == 0 {
		t.Fatal("it has published nothing")
	}
	w.intact()
	m := w.backup("web2", 5, old) // the rows tell of packs that are gone
	if m.writer.Stats().Chunks < int64(len(old)) {
		t.Fatalf("%+v", m.writer.Stats())
	}
	w.intact()
	w.ends(nil)
	w.intact()
}

func lateCheckpointDoesNotCount(t *testing.T) {
	w := newWorld(t)
	m := w.begin("web1", 1, old)
	d := m.store()
	must(t, m.writer.Checkpoint(w.ctx, d, nil))
	r := w.open()
	first, err := r.LatestCheckpoint(w.ctx, m.Attempt)
	must(t, err)
	_, err = r.Fence(w.ctx, m.Attempt, "lost")
	must(t, err)
	// The mover had looked for a tombstone before there was one.
	must(t, w.backend().Put(w.ctx, "checkpoints/"+m.Attempt.String()+"-00000002", point.Encode(w.site.ID, m.Attempt, point.Draft{Type: point.Checkpoint}, nil)))
	got, err := r.LatestCheckpoint(w.ctx, m.Attempt)
	if diff := cmp.Diff(first, got); err != nil || diff != "" {
		t.Fatalf("%v, %s", err, diff)
	}
	o := w.options(nil)
	o.KeepCheckpoints = map[point.Attempt]bool{m.Attempt: true}
	_, err = Run(w.ctx, w.open(), o)
	must(t, err)
	if left := w.objects("checkpoints"); len(left) != 1 {
		t.Fatalf("left: %v", left)
	}
}

func checkpointsAreLive(t *testing.T) {
	w := newWorld(t)
	w.backup("db1", 1, other)
	m := w.begin("web1", 2, old)
	d := m.store()
	must(t, m.writer.Checkpoint(w.ctx, d, nil))
	_, err := w.open().Fence(w.ctx, m.Attempt, "lost")
	must(t, err)
	o := w.options(nil)
	o.KeepCheckpoints = map[point.Attempt]bool{m.Attempt: true}
	report, err := Run(w.ctx, w.open(), o)
	if err != nil || report.DeletedPacks != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	// The next attempt goes on from it.
	next := w.begin("web1", 3, old)
	content, err := next.r.LatestCheckpoint(w.ctx, m.Attempt)
	must(t, err)
	p, err := point.Parse(content)
	must(t, err)
	if next.store().RootID != p.RootID || next.writer.Stats().Chunks > 10 {
		t.Fatalf("it stored anew: %+v", next.writer.Stats())
	}
	next.writer.Abort()
	_, err = w.open().Fence(w.ctx, next.Attempt, "lost")
	must(t, err)
	report = w.ends(nil)
	if report.DeletedPacks == 0 || len(w.objects("checkpoints")) != 0 {
		t.Fatalf("%+v, left: %v", report, w.objects("checkpoints"))
	}
	w.intact()
}
