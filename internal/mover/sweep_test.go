package mover

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/repotest"
	"keepward/internal/storage"
)

// sweepTask is a mover that is to sweep a repository of two points, of which the first is
// marked as deleted.
func sweepTask(t *testing.T, o *keepwardv1.SweepOrder) *task {
	t.Helper()
	return sweepTaskOf(t, o, func(n int) map[string]string { return repotest.Files(5, 2000, uint64(n)) })
}

func sweepTaskOf(t *testing.T, o *keepwardv1.SweepOrder, files func(n int) map[string]string) *task {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	site, dir := repotest.NewSite(), t.TempDir()
	b, err := storage.OpenDir(dir)
	must(err)
	key, err := site.KeyObject()
	must(err)
	must(repo.Create(ctx, b, site.Config(), []repo.KeyObject{key}, repo.Owner{Term: 3}))
	r, err := repo.Open(ctx, b)
	must(err)
	t.Cleanup(func() { must(r.Close()) })
	for n := range 2 {
		backup := &repotest.Backup{Site: site, Computer: "web1", Attempt: repotest.Attempt(n), Files: files(n)}
		w, err := r.NewWriter(ctx, repo.WriterOptions{Attempt: backup.Attempt, Owner: site.Owner("web1")})
		must(err)
		must(backup.Run(ctx, w))
	}
	must(r.MarkDeleted(ctx, repotest.Attempt(0), repo.Note{Reason: "test"}))
	ev, err := openEvents(t.TempDir())
	must(err)
	t.Cleanup(ev.close)
	attempt := repotest.Attempt(9)
	order, err := checkOrder(&keepwardv1.MoverOrder{Start: &keepwardv1.StartMoverRequest{
		Mode: ModeSweep, Order: &keepwardv1.Order{Attempt: attempt.String(), Term: 3}, Sweep: o,
	}})
	if order == nil || order.attempt != attempt || errs.CodeOf(err) != "order.certificate" { // it needs none to be tried
		t.Fatal(order, err)
	}
	issue, computers := site.Master.IssueKey(), site.Master.ComputersKey()
	order.GetStart().Keys = &keepwardv1.RepositoryKeys{IssueKey: issue[:], ComputersKey: computers[:]}
	return &task{order: order, keys: site.Keys("web1"), repo: r, events: ev, counters: &keepwardv1.Counters{}}
}

// prose is a file that was compressed fast and can be compressed harder.
func prose(n int) map[string]string {
	rng := rand.New(rand.NewPCG(uint64(n), 9))
	var b strings.Builder
	for b.Len() < 50_000 {
		fmt.Fprintf(&b, "%c%c%c ", 'a'+rng.IntN(8), 'a'+rng.IntN(4), 'a'+rng.IntN(8))
	}
	return map[string]string{"text": b.String()}
}

// codes are what a task has told.
func (t *task) codes() map[string]bool {
	codes := map[string]bool{}
	list, _ := t.events.after(0)
	for _, e := range list {
		codes[e.GetCode()] = true
	}
	return codes
}

func TestIdleTimeCompressesHarderWhatWasCompressedFast(t *testing.T) {
	idle := &keepwardv1.SweepOrder{Idle: true, Recompress: "high", CompactMost: 1 << 30}
	task := sweepTaskOf(t, idle, prose)
	for n, want := range []bool{true, false} { // the second time nothing is left
		end := &keepwardv1.AttemptEnd{}
		if err := task.sweep(t.Context(), end); err != nil {
			t.Fatal(err)
		}
		r := end.GetSweep()
		if !r.GetDone() || r.GetRecompressedBytes() > 0 != want || r.GetDeletedPacks() > 0 != want || r.GetPurgedPoints() != 0 {
			t.Errorf("run %d: %v", n+1, r)
		}
		if task.codes()["sweep.nothing"] == want {
			t.Errorf("run %d told %v", n+1, task.codes())
		}
		next := *task.order
		next.attempt = repotest.Attempt(10 + n)
		task.order = &next
	}
}

func TestOneRunOfIdleTimeIsBounded(t *testing.T) {
	task := sweepTaskOf(t, &keepwardv1.SweepOrder{Idle: true, Recompress: "high", CompactMost: 1}, prose)
	end := &keepwardv1.AttemptEnd{}
	if err := task.sweep(t.Context(), end); err != nil || end.GetSweep().GetRewrittenPacks() != 0 {
		t.Fatal(err, end.GetSweep())
	}
}

func TestIdleTimeWithNothingToGainChangesNothing(t *testing.T) {
	task := sweepTask(t, &keepwardv1.SweepOrder{Idle: true, Recompress: "high"})
	end := &keepwardv1.AttemptEnd{}
	if err := task.sweep(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	if r := end.GetSweep(); !r.GetDone() || r.GetLiveBytes() != 0 || !task.codes()["sweep.nothing"] {
		t.Errorf("%v, told %v", r, task.codes())
	}
}

func TestSegmentsAreJoinedWithoutASweep(t *testing.T) {
	task := sweepTask(t, &keepwardv1.SweepOrder{Merge: true})
	for n := range 4 {
		if err := task.repo.Reindex(t.Context(), repotest.Attempt(n%2)); err != nil {
			t.Fatal(err)
		}
	}
	end := &keepwardv1.AttemptEnd{}
	if err := task.sweep(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	if r := end.GetSweep(); !r.GetDone() || r.GetMergedSegments() == 0 || r.GetSegments() == 0 || r.GetGeneration() != 0 || r.GetLiveBytes() != 0 {
		t.Errorf("%v", r)
	}
	open, err := task.repo.OpenAttempts(t.Context())
	if err != nil || len(open) > 0 {
		t.Errorf("open are %v, %v", open, err)
	}
}

func TestASweepDoesWhatItsOrderSaysAndReportsIt(t *testing.T) {
	task := sweepTask(t, &keepwardv1.SweepOrder{PurgePoints: []string{repotest.Attempt(0).String(), repotest.Attempt(1).String()}})
	end := &keepwardv1.AttemptEnd{}
	if err := task.sweep(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	r := end.GetSweep()
	if !r.GetDone() || r.GetGeneration() != 1 || r.GetPurgedPoints() != 1 || len(r.GetPurged()) != 1 || r.GetPurged()[0] != repotest.Attempt(0).String() || r.GetDeletedPacks() != 2 || r.GetDeletedBytes() == 0 || r.GetLiveBytes() == 0 {
		t.Fatalf("%+v", r)
	}
	if codes := task.codes(); !codes["point.not-deleted"] || !codes["sweep.done"] { // the second point is wanted
		t.Fatalf("events %v", codes)
	}
	names, err := task.repo.PointNames(t.Context())
	if err != nil || len(names) != 1 || names[0] != repotest.Attempt(1) {
		t.Fatal(names, err)
	}
}

func TestASweepOfAReplacedServerIsRefused(t *testing.T) {
	task := sweepTask(t, &keepwardv1.SweepOrder{})
	if _, err := task.repo.Claim(t.Context(), repo.Owner{Term: 4}); err != nil {
		t.Fatal(err)
	}
	end := &keepwardv1.AttemptEnd{}
	if err := task.sweep(t.Context(), end); errs.CodeOf(err) != "repository.owner" || end.GetSweep().GetDone() {
		t.Fatalf("%v, %+v", err, end.GetSweep())
	}
}

func TestAnOrderWithABadNameIsRefused(t *testing.T) {
	for _, o := range []*keepwardv1.SweepOrder{{PurgePoints: []string{"x"}}, {KeepCheckpoints: []string{"x"}}} {
		task := sweepTask(t, o)
		if err := task.sweep(t.Context(), &keepwardv1.AttemptEnd{}); errs.KindOf(err) != errs.Invalid {
			t.Fatalf("%v: %v", o, err)
		}
	}
}

func TestAPacerKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer{rate: 1000}
		began := time.Now()
		for range 10 {
			if err := p.wait(t.Context(), 500); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Fatalf("5000 bytes took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.wait(ctx, 1<<30); err == nil {
			t.Fatal("it does not end with its context")
		}
		if err := (&pacer{}).wait(t.Context(), 1<<60); err != nil {
			t.Fatal(err)
		}
	})
}
