package sweep

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
	"keepward/internal/storage/vfs/memfs"
)

// spoil flips a bit in the middle of an object.
func (w *world) spoil(name string) {
	w.Helper()
	content, err := w.backend().Get(w.ctx, name, 1<<30)
	must(w, err)
	must(w, w.disk.Flip("/r/"+name, len(content)/2, 3))
}

func TestASweepThatCannotTellWhatIsNeededDeletesNothing(t *testing.T) {
	firstIn := func(dir, part string) func(*world) string {
		return func(w *world) string {
			all := w.objects(dir)
			i := slices.IndexFunc(all, func(name string) bool { return strings.Contains(name, part) })
			if i < 0 {
				w.Fatalf("nothing in %s", dir)
			}
			return all[i]
		}
	}
	victim := repotest.Attempt(2).String()
	for _, test := range []struct {
		name   string
		object func(*world) string
		code   string
	}{
		{"point", firstIn("points", victim), "sweep.point"},
		{"metadata", firstIn("packs", victim+"/m"), "sweep.metadata"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, purge := thin(t)
			before := len(w.packs())
			w.spoil(test.object(w))
			report, err := Run(w.ctx, w.open(), w.options(purge))
			if errs.CodeOf(err) != test.code || errs.HintOf(err) == "" || report.DeletedPacks != 0 || len(w.packs()) != before {
				t.Fatalf("%+v, %v", report, err)
			}
			if !strings.Contains(err.Error(), victim) {
				t.Fatalf("it does not name the point: %v", err)
			}
			// Without the point it can tell again.
			if report := w.ends(w.remove(2)); report.DeletedPacks == 0 {
				t.Fatalf("%+v", report)
			}
			w.intact()
		})
	}
}

func TestAPackThatIsMissingIsReportedAndEndsNoSweep(t *testing.T) {
	w, purge := thin(t)
	for name := range w.packs() {
		if strings.Contains(name, repotest.Attempt(2).String()+"/d") {
			must(t, w.disk.Remove("/r/"+name))
		}
	}
	if report := w.ends(purge); report.DeletedPacks == 0 {
		t.Fatalf("%+v", report)
	}
	w.want = map[point.Attempt]*repotest.Backup{repotest.Attempt(4): w.want[repotest.Attempt(4)]}
	files, failed, err := w.site.Restore(w.ctx, w.open(), "db1", repotest.Attempt(4))
	if err != nil || len(failed) > 0 || len(files) == 0 {
		t.Fatal(failed, err)
	}
}

func TestALostSegmentIsMadeAnewBeforeAnythingIsCondemned(t *testing.T) {
	w, purge := thin(t)
	for _, name := range w.objects("index") {
		if strings.Contains(name, repotest.Attempt(2).String()) {
			must(t, w.open().RemoveSegment(w.ctx, name))
		}
	}
	if report := w.ends(purge); report.DeletedPacks == 0 {
		t.Fatalf("%+v", report)
	}
	w.intact()
}

// What no segment tells of may be a node: what is below it must not go, since the node may come
// back.
func TestASweepDeletesNothingWhileAChunkIsNowhere(t *testing.T) {
	w, purge := thin(t)
	w.ends(purge)
	w.backup("db1", 8, other)
	victim := repotest.Attempt(8).String()
	var lost []string
	for name := range w.packs() {
		if strings.Contains(name, victim+"/m") {
			content, err := w.backend().Get(w.ctx, name, 1<<30)
			must(t, err)
			lost = append(lost, name, string(content))
			must(t, w.disk.Remove("/r/"+name))
		}
	}
	for _, name := range w.objects("index") {
		if strings.Contains(name, victim) {
			must(t, w.open().RemoveSegment(w.ctx, name))
		}
	}
	before := len(w.packs())
	purge = w.remove(4)
	report, err := Run(w.ctx, w.open(), w.options(purge))
	if errs.CodeOf(err) != "sweep.missing" || errs.HintOf(err) == "" || !strings.Contains(err.Error(), victim) || len(w.packs()) != before {
		t.Fatalf("%+v, %v", report, err)
	}
	// Put back, and with them their rows.
	for i := 0; i < len(lost); i += 2 {
		must(t, w.backend().Put(w.ctx, lost[i], []byte(lost[i+1])))
	}
	if report := w.ends(purge); report.DeletedPacks == 0 {
		t.Fatalf("%+v", report)
	}
	w.intact()
}

// Also where the point of the attempt is gone: others may need what is in its packs.
func TestAPackThatNobodyNamesIsLookedInto(t *testing.T) {
	w := newWorld(t)
	w.backup("web1", 1, old)
	w.backup("web1", 2, old) // all its data is in the packs of the first
	w.ends(w.remove(1))
	for _, name := range w.objects("index") {
		if strings.Contains(name, repotest.Attempt(1).String()) {
			must(t, w.open().RemoveSegment(w.ctx, name))
		}
	}
	w.ends(nil)
	w.intact()
}

func TestAListThatCannotBeReadIsGivenUp(t *testing.T) {
	w := newWorld(t)
	w.backup("web1", 1, old)
	m := w.begin("web1", 2, map[string]string{})
	w.waits(w.remove(1), m)
	before := len(w.packs())
	w.spoil(w.objects("condemned")[0])
	// Nobody can tell what may be relied on.
	_, err := w.open().NewWriter(w.ctx, repo.WriterOptions{Attempt: repotest.Attempt(3)})
	if errs.KindOf(err) != errs.Corrupt || errs.HintOf(err) == "" {
		t.Fatal(err)
	}
	report := w.waits(nil, m)
	if report.Generation != 2 || len(w.packs()) != before {
		t.Fatalf("%+v", report)
	}
	must(t, m.commit(m.store()))
	w.backup("web1", 4, old)
	w.ends(nil)
	w.intact()
}

func TestADryRunChangesNothing(t *testing.T) {
	w, purge := thin(t)
	r := w.open()
	everything := func() []string {
		var all []string
		for _, dir := range []string{"packs", "index", "points", "attempts", "condemned", "deleted"} {
			all = append(all, w.objects(dir)...)
		}
		return all
	}
	before := everything()
	o := w.full(r, purge)
	o.DryRun = true
	report, err := Run(w.ctx, r, o)
	if err != nil || report.LiveBytes == 0 || len(report.Purged) != 0 || !slices.Equal(before, everything()) {
		t.Fatalf("%+v, %v", report, err)
	}
	// Points that were ordered to be purged count as if they were gone.
	if report.CondemnedPacks == 0 || report.CondemnedBytes == 0 || report.DeadBytes == 0 {
		t.Fatalf("%+v", report)
	}
	done := w.ends(purge)
	if done.CondemnedPacks != report.CondemnedPacks || done.DeadBytes != report.DeadBytes {
		t.Fatalf("announced %+v, done %+v", report, done)
	}
}

func TestASweepIsSlowedDownAndStoppedBetweenTwoPacks(t *testing.T) {
	w, purge := thin(t)
	before := len(w.packs())
	stop := errors.New("enough")
	calls, deletes := 0, 0
	o := w.options(purge)
	o.Wait = func(_ context.Context, n int64) error {
		if calls++; n > 0 {
			return nil
		}
		if deletes++; deletes == 3 {
			return stop
		}
		return nil
	}
	report, err := Run(w.ctx, w.open(), o)
	if !errors.Is(err, stop) || report.DeletedPacks != 2 || len(w.packs()) != before-2 || calls == deletes {
		t.Fatalf("%+v, %v, %d calls", report, err, calls)
	}
	w.intact()
	if report = w.ends(nil); report.DeletedPacks == 0 || report.Generation != 1 {
		t.Fatalf("%+v", report)
	}
	w.emptied()
}

func TestADiskThatDeletesNothingIsNoRefusal(t *testing.T) {
	w, purge := thin(t)
	w.disk.SetHook(func(op memfs.Op, _ string) error {
		if op == memfs.Remove {
			return syscall.EROFS
		}
		return nil
	})
	report, err := Run(w.ctx, w.open(), w.options(purge))
	w.disk.SetHook(nil)
	if errs.KindOf(err) != errs.Denied || len(report.Refused) != 0 || len(report.Purged) != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	w.ends(purge)
	w.intact()
}

func TestOldListsGo(t *testing.T) {
	w := newWorld(t)
	for n := range keptGenerations + 4 {
		w.backup("web1", n, map[string]string{"f": strings.Repeat("x", n)})
		w.ends(w.remove(n))
	}
	for _, dir := range []string{"condemned", "spared", "swept"} {
		if got := w.objects(dir); len(got) != keptGenerations {
			t.Fatalf("%s: %v", dir, got)
		}
	}
	g, err := w.open().Generation(w.ctx)
	if err != nil || !g.Done || g.Number != keptGenerations+4 {
		t.Fatalf("%+v, %v", g, err)
	}
	if _, err := w.open().PackList(w.ctx, ledger.Swept, g.Number); err != nil {
		t.Fatal(err)
	}
}

func TestWhatEndedAttemptsLeftIsRemoved(t *testing.T) {
	w := newWorld(t)
	w.backup("web1", 1, old)
	// A mover that died between its point and the end of its marker.
	must(t, w.backend().Put(w.ctx, "attempts/"+repotest.Attempt(1).String(), ledger.Open{Repository: w.site.ID, Attempt: repotest.Attempt(1)}.Encode()))
	// One that was cut off, and begins a pack when it comes back.
	zombie := repotest.Attempt(2)
	_, err := w.open().Fence(w.ctx, zombie, "lost")
	must(t, err)
	_, err = w.backend().Create(w.ctx, repo.PackName(zombie, pack.Data, 1))
	must(t, err)
	// A purge that died before its marker was gone, and a marker of a point that never was.
	must(t, w.backend().Put(w.ctx, "deleted/"+repotest.Attempt(7).String(), ledger.Mark{Kind: ledger.Deleted, Repository: w.site.ID, Attempt: repotest.Attempt(7)}.Encode()))
	w.ends(nil)
	w.intact()
	for _, dir := range []string{"attempts", "deleted"} {
		if left := w.objects(dir); len(left) != 0 {
			t.Fatalf("left: %v", left)
		}
	}
	entries, err := w.disk.ReadDir("/r/packs/02/" + zombie.String())
	if err == nil && len(entries) > 0 {
		t.Fatalf("left: %v", entries)
	}
}
