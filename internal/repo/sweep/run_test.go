package sweep

import (
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo/repotest"
)

func TestASweepGivesBackWhatNoPointNeeds(t *testing.T) {
	w := newWorld(t)
	shared, own := repotest.Files(10, 3000, 1), repotest.Files(10, 3000, 2)
	w.backup("web1", 1, join(shared, own))
	w.backup("web1", 2, join(shared, repotest.Files(5, 3000, 3)))
	before := len(w.packs())
	report := w.sweep(nil)
	if !report.Done || report.Generation != 0 || report.DeletedPacks != 0 || report.DeadBytes != 0 || len(w.packs()) != before {
		t.Fatalf("with nothing to do: %+v", report)
	}
	report = w.sweep(w.remove(1))
	if !report.Done || report.DeletedPacks == 0 || len(report.Purged) != 1 || len(w.packs()) != before-int(report.DeletedPacks) {
		t.Fatalf("%+v, %d packs of %d left", report, len(w.packs()), before)
	}
	w.intact()
	if _, err := w.open().Point(w.ctx, repotest.Attempt(1)); errs.KindOf(err) != errs.NotFound {
		t.Fatalf("the purged point: %v", err)
	}
	// The rest goes with the last point.
	report = w.sweep(w.remove(2))
	if len(w.packs()) != 0 || report.LiveBytes != 0 {
		t.Fatalf("%+v, packs %v", report, w.packs())
	}
	if dirs, err := w.disk.ReadDir("/r/packs/01"); err != nil || len(dirs) != 0 {
		t.Fatalf("folders of attempts: %v, %v", dirs, err)
	}
	w.backup("web1", 3, join(shared, own))
	w.intact()
	if got := append(w.objects("attempts"), w.objects("deleted")...); len(got) != 0 {
		t.Fatalf("left over: %v", got)
	}
}
