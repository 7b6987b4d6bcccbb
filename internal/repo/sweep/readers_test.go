package sweep

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
)

func readerFollows(t *testing.T) {
	w := newWorld(t)
	w.backup("web1", 1, join(old, other))
	b := w.backup("web1", 2, other)
	reader, r := w.open(), w.open()
	report, err := Run(w.ctx, r, w.full(r, w.remove(1)))
	must(t, err)
	if report.DeletedPacks == 0 || len(report.Rewritten.Packs) == 0 {
		t.Fatalf("%+v", report)
	}
	files, failed, err := w.site.Restore(w.ctx, reader, "web1", b.Attempt)
	if diff := cmp.Diff(b.Files, files); err != nil || diff != "" || len(failed) > 0 {
		t.Fatalf("%v, %v, %s", err, failed, diff)
	}
}

func restoreOfAPurgedPoint(t *testing.T) {
	w := newWorld(t)
	w.backup("web1", 1, old)
	reader := w.open()
	w.ends(w.remove(1))
	_, _, err := w.site.Restore(w.ctx, reader, "web1", repotest.Attempt(1))
	if errs.KindOf(err) != errs.NotFound {
		t.Fatal(err)
	}
	if _, err := reader.PointNames(w.ctx); err != nil {
		t.Fatal(err)
	}
}

func marksAndPurge(t *testing.T) {
	w := newWorld(t)
	w.backup("web1", 1, old)
	w.backup("web1", 2, other)
	w.backup("web1", 3, join(old, other))
	keep := map[point.Attempt]*repotest.Backup{}
	for a, b := range w.want {
		keep[a] = b
	}
	purge := w.remove(1, 2, 3)
	r := w.open()
	must(t, r.Undelete(w.ctx, purge[0]))
	must(t, r.Hold(w.ctx, purge[1], repo.Note{Reason: "court"}))
	report := w.ends(purge)
	if len(report.Refused) != 2 || errs.CodeOf(report.Refused[purge[0]]) != "point.not-deleted" || errs.CodeOf(report.Refused[purge[1]]) != "point.held" {
		t.Fatalf("%+v", report)
	}
	delete(keep, purge[2])
	w.want = keep
	w.intact() // also the held one, which is deleted and live
	if err := r.Undelete(w.ctx, purge[2]); errs.CodeOf(err) != "point.not-found" {
		t.Fatalf("undelete of what is gone: %v", err)
	}
	must(t, r.Release(w.ctx, purge[1]))
	delete(w.want, purge[1])
	w.ends(purge)
	w.intact()
}
