package mover

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/repo"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
)

// under counts the objects below a folder of the task's repository.
func (t *task) under(tb testing.TB, dir string) (n int) {
	tb.Helper()
	err := t.repo.Backend().List(tb.Context(), dir, func(storage.Info) error { n++; return nil })
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func TestASweepMakesTheParityThatIsMissingAndTakesWhatIsOver(t *testing.T) {
	task := sweepTask(t, &keepwardv1.SweepOrder{PurgePoints: []string{repotest.Attempt(0).String()}})
	task.order.GetStart().Parity = 5
	if _, err := task.repo.KeepParity(t.Context(), repo.ParityOptions{Percent: 5}); err != nil {
		t.Fatal(err)
	}
	before := task.under(t, "parity")
	if err := task.repo.Backend().(storage.Deleter).Delete(t.Context(), "parity"+repo.PackName(repotest.Attempt(1), 1, 1)[len("packs"):]); err != nil {
		t.Fatal(err)
	}
	if err := task.sweep(t.Context(), &keepwardv1.AttemptEnd{}); err != nil {
		t.Fatal(err)
	}
	if packs, parity := task.under(t, repo.PacksDir), task.under(t, "parity"); packs != parity || parity >= before {
		t.Fatalf("%d packs, parity of %d, before of %d", packs, parity, before)
	}
}

// backupTask is a mover that is to store a backup in an empty repository.
func backupTask(t *testing.T, start *keepwardv1.StartMoverRequest) (*task, *repotest.Site) {
	t.Helper()
	site := repotest.NewSite()
	b, err := storage.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key, err := site.KeyObject()
	if err == nil {
		err = repo.Create(t.Context(), b, site.Config(), []repo.KeyObject{key}, repo.Owner{Term: 3})
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	ev, err := openEvents(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ev.close)
	attempt := repotest.Attempt(9)
	start.Computer, start.Order = "web1", &keepwardv1.Order{Attempt: attempt.String(), Term: 3}
	o := &order{MoverOrder: &keepwardv1.MoverOrder{Start: start, Directory: t.TempDir()}, attempt: attempt}
	return &task{order: o, keys: site.Keys("web1"), repo: r, events: ev, counters: &keepwardv1.Counters{}}, site
}

func TestABackupHasItsParityWhenItEnds(t *testing.T) {
	for _, told := range []bool{true, false} { // what a pack was not told of is found at the end
		task, site := backupTask(t, &keepwardv1.StartMoverRequest{Parity: 10})
		g := task.guarding(t.Context())
		o := repo.WriterOptions{Attempt: task.order.attempt, Owner: site.Owner("web1"), PackSize: 1000}
		if told {
			o.Durable = g.durable
		}
		w, err := task.repo.NewWriter(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Abort()
		b := &repotest.Backup{Site: site, Computer: "web1", Attempt: task.order.attempt, Files: repotest.Files(5, 2000, 7)}
		if err := b.Run(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		g.end(t.Context(), true)
		if packs, parity := task.under(t, repo.PacksDir), task.under(t, "parity"); packs < 3 || packs != parity {
			t.Fatalf("told %v: %d packs, parity of %d", told, packs, parity)
		}
	}
}

func TestWithoutASettingThereIsNoParity(t *testing.T) {
	task, site := backupTask(t, &keepwardv1.StartMoverRequest{})
	g := task.guarding(t.Context())
	w, err := task.repo.NewWriter(t.Context(), repo.WriterOptions{Attempt: task.order.attempt, Owner: site.Owner("web1"), Durable: g.durable})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	b := &repotest.Backup{Site: site, Computer: "web1", Attempt: task.order.attempt, Files: repotest.Files(5, 2000, 7)}
	if err := b.Run(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	g.end(t.Context(), true)
	if n := task.under(t, "parity"); n != 0 {
		t.Fatalf("parity of %d packs", n)
	}
}

// A backup that goes to a repository which wants proof at arrival says whose content is wrong.
func TestWhatIsNotWhatItSaysNamesItsComputer(t *testing.T) {
	for _, when := range []string{job.DefaultForeignProof, job.ForeignProofArrival} {
		task, site := backupTask(t, &keepwardv1.StartMoverRequest{ForeignProof: when, Time: timestamppb.Now()})
		w, err := task.repo.NewWriter(t.Context(), repo.WriterOptions{Attempt: task.order.attempt, Owner: site.Owner("web1"), Keys: task.keys})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Abort()
		b := &repotest.Backup{Site: site, Computer: "web1", Attempt: task.order.attempt, Files: repotest.Files(5, 2000, 7)}
		b.Spoil = func(c fileindex.Chunk) []byte {
			if c.Kind == seal.KindData {
				return []byte("something else")
			}
			return c.Content
		}
		d, err := b.Store(t.Context(), w, b.Files)
		if err != nil {
			t.Fatal(err)
		}
		h := &backupHandler{reader: reader{t: task}, w: w}
		err = h.Commit(t.Context(), d)
		committed, _ := h.committed()
		switch when {
		case job.ForeignProofArrival:
			if errs.CodeOf(err) != "arrival.mismatch" || !strings.Contains(err.Error(), "computer web1") || committed {
				t.Fatalf("%v, committed %v", err, committed)
			}
		default:
			if err != nil || !committed {
				t.Fatalf("nobody asked for proof: %v", err)
			}
		}
	}
}
