package sweep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
)

// thin is a repository whose next sweep has packs to condemn, to move and to leave.
func thin(t *testing.T) (*world, []point.Attempt) {
	w := newWorld(t)
	w.backup("web1", 1, join(old, other))
	w.backup("web1", 2, old)
	w.backup("db1", 3, repotest.Files(8, 3000, 5))
	w.backup("db1", 4, repotest.Files(8, 3000, 6))
	return w, w.remove(1, 3)
}

// steps counts how often a whole sweep tells of its progress.
func steps(t *testing.T) int {
	w, purge := thin(t)
	r := w.open()
	o := w.full(r, purge)
	n := 0
	o.Progress = func(Step, int64, int64) { n++ }
	_, err := Run(w.ctx, r, o)
	must(t, err)
	return n
}

// pausedAt runs a sweep that does something else at its nth step.
func (w *world) pausedAt(ctx context.Context, purge []point.Attempt, n int, do func(Step)) (Report, error) {
	w.Helper()
	r := w.open()
	o := w.full(r, purge)
	o.Progress = func(s Step, _, _ int64) {
		if n--; n == 0 {
			do(s)
		}
	}
	return Run(ctx, r, o)
}

// emptied checks that only what points need is left.
func (w *world) emptied() {
	w.Helper()
	for range 3 {
		w.ends(nil)
	}
	o := w.options(nil)
	o.DryRun = true
	report, err := Run(w.ctx, w.open(), o)
	if err != nil || report.CondemnedPacks != 0 {
		w.Fatalf("%+v, %v", report, err)
	}
	w.intact()
}

func twoSweepsAtOnce(t *testing.T) {
	for n, total := 1, steps(t); n <= total; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w, purge := thin(t)
			var at Step
			_, err := w.pausedAt(w.ctx, purge, n, func(s Step) {
				at = s
				r := w.open()
				_, err := Run(w.ctx, r, w.full(r, purge))
				must(t, err)
				w.backup("web1", 10, join(old, other))
			})
			if err != nil && errs.CodeOf(err) != "sweep.overtaken" {
				t.Fatalf("at %s: %v", at, err)
			}
			w.intact()
			w.emptied()
		})
	}
}

// firstToJudgeDecides: another sweep has spared what this one would delete.
func firstToJudgeDecides(t *testing.T) {
	w, purge := thin(t)
	before := len(w.packs())
	r := w.open()
	o := w.options(purge)
	o.Progress = func(s Step, _, _ int64) {
		if s != Sparing {
			return
		}
		g, err := r.Generation(w.ctx)
		must(t, err)
		must(t, r.PutPackList(w.ctx, ledger.List{Kind: ledger.Spared, Generation: g.Number, Packs: g.Packs}))
	}
	report, err := Run(w.ctx, r, o)
	if err != nil || report.DeletedPacks != 0 || report.SparedPacks == 0 || len(w.packs()) != before {
		t.Fatalf("%+v, %v", report, err)
	}
	w.emptied()
}

func pausedSweep(t *testing.T) {
	for n, total := 1, steps(t); n <= total; n++ {
		w, purge := thin(t)
		var at Step
		_, err := w.pausedAt(w.ctx, purge, n, func(s Step) {
			at = s
			for i := range 3 { // days go by
				r := w.open()
				_, err := Run(w.ctx, r, w.full(r, purge))
				must(t, err)
				w.backup("web1", 10+2*i, join(old, other))
				w.backup("db1", 11+2*i, repotest.Files(8, 3000, 5))
				purge = append(purge, w.remove(10+2*i)...)
			}
		})
		if err != nil && errs.CodeOf(err) != "sweep.overtaken" {
			t.Fatalf("at %s: %v", at, err)
		}
		w.intact()
		w.emptied()
	}
}

func diedSweep(t *testing.T) {
	for n, total := 1, steps(t); n <= total; n++ {
		w, purge := thin(t)
		ctx, kill := context.WithCancel(w.ctx)
		var at Step
		_, err := w.pausedAt(ctx, purge, n, func(s Step) { at = s; kill() })
		kill()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("at %s: %v", at, err)
		}
		w.intact()
		w.backup("web1", 10, join(old, other))
		w.intact()
		r := w.open()
		_, err = Run(w.ctx, r, w.full(r, purge))
		must(t, err)
		w.emptied()
	}
}

func takeOver(t *testing.T) {
	refused := 0
	for n, total := 1, steps(t); n <= total; n++ {
		w, purge := thin(t)
		var left int
		_, err := w.pausedAt(w.ctx, purge, n, func(s Step) {
			_, err := w.open().Claim(w.ctx, repo.Owner{Term: 2, Server: []byte("server-2")})
			must(t, err)
			if s == Deleting {
				left = len(w.packs())
			}
		})
		switch {
		case errs.CodeOf(err) == "repository.owner":
			refused++
			if left > 0 && len(w.packs()) < left {
				t.Fatalf("%d packs of %d left", len(w.packs()), left)
			}
		case err != nil:
			t.Fatal(err)
		}
		w.intact()
		o := w.options(purge)
		o.Term = 2
		_, err = Run(w.ctx, w.open(), o)
		must(t, err)
		w.intact()
	}
	if refused == 0 {
		t.Fatal("the old server went on")
	}
}

func lowerTerm(t *testing.T) {
	w, purge := thin(t)
	_, err := w.open().Claim(w.ctx, repo.Owner{Term: 2, Server: []byte("server-2")})
	must(t, err)
	before := len(w.packs())
	report, err := Run(w.ctx, w.open(), w.options(purge))
	if errs.CodeOf(err) != "repository.owner" || len(report.Purged) != 0 || len(w.packs()) != before || len(w.objects("points")) != 4 {
		t.Fatalf("%+v, %v", report, err)
	}
	// One that was restored from a backup orders what it knew then: points that are wanted again.
	must(t, w.open().Undelete(w.ctx, purge[0]))
	o := w.options(purge)
	o.Term = 2
	report, err = Run(w.ctx, w.open(), o)
	if err != nil || len(report.Purged) != 1 || errs.CodeOf(report.Refused[purge[0]]) != "point.not-deleted" {
		t.Fatalf("%+v, %v", report, err)
	}
	w.intact()
}

func checkUnderASweep(t *testing.T) {
	for n, total := 1, steps(t); n <= total; n++ {
		w, purge := thin(t)
		_, err := w.pausedAt(w.ctx, purge, n, func(Step) {
			report, err := w.open().Check(w.ctx, repo.CheckOptions{
				ReadData: true, Repair: true, Attempt: repotest.Attempt(700 + n), Scratch: t.TempDir(), Keys: w.site.Keys("check"),
			})
			if err != nil || len(report.Findings) > 0 {
				t.Fatalf("%+v, %v", report.Findings, err)
			}
		})
		must(t, err)
		w.emptied()
	}
}

func rebuildUnderASweep(t *testing.T) {
	for n, total := 1, steps(t); n <= total; n++ {
		w, purge := thin(t)
		// Packs that nobody names: their mover died before it could.
		m := w.begin("web1", 20, repotest.Files(12, 3000, 8))
		m.store()
		must(t, m.writer.Flush(w.ctx))
		m.writer.Abort()
		for _, name := range w.objects("index") {
			if a := m.Attempt.String(); len(name) > 41 && name[9:41] == a {
				must(t, w.open().RemoveSegment(w.ctx, name))
			}
		}
		_, err := w.open().Fence(w.ctx, m.Attempt, "died")
		must(t, err)
		_, err = w.pausedAt(w.ctx, purge, n, func(Step) {
			_, err := w.open().RebuildIndex(w.ctx)
			must(t, err)
			w.backup("web1", 21, m.Files)
		})
		must(t, err)
		w.intact()
		r := w.open()
		report, err := Run(w.ctx, r, w.full(r, nil))
		if err != nil || !report.Done {
			t.Fatalf("%+v, %v", report, err)
		}
		w.emptied()
	}
}

// A computer may say anything in clear. What it stored under another's ids must neither hide
// what is below a node, nor stand in for what is not its own.
func liarHidesNothing(t *testing.T) {
	for name, kind := range map[string]seal.Kind{"as data": seal.KindData, "as a node without ids": seal.KindNode} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, first %v", name, first), func(t *testing.T) {
				w := newWorld(t)
				victim := w.begin("web1", 2, old)
				hidden := victim.store()
				lie := func() {
					evil := w.begin("evil", 1, nil)
					sealer, err := seal.NewSealer(w.site.Keys("evil"), seal.CompressNone)
					must(t, err)
					ids := []seal.H{victim.rootOf(hidden)}
					for _, c := range old {
						for _, part := range repotest.Cut(c, 1000) {
							ids = append(ids, w.site.Keys("web1").NewHasher().Hash(seal.KindData, []byte(part)))
						}
					}
					for _, h := range ids {
						// Large, so that its packs are fuller than the victim's.
						rec, err := sealer.Seal(nil, kind, h, nil, bytes.Repeat([]byte("something else "), 300))
						must(t, err)
						_, err = evil.writer.Put(rec)
						must(t, err)
					}
					must(t, evil.writer.Flush(w.ctx))
					evil.writer.Abort()
					_, err = w.open().Fence(w.ctx, evil.Attempt, "liar")
					must(t, err)
				}
				if first {
					lie()
				}
				must(t, victim.commit(hidden))
				if !first {
					lie()
				}
				for range 2 {
					r := w.open()
					_, err := Run(w.ctx, r, w.full(r, nil))
					must(t, err)
				}
				files, failed, err := w.site.Restore(w.ctx, owned{w.open(), w.site.Owner("web1")}, "web1", victim.Attempt)
				if err != nil || len(failed) > 0 || len(files) != len(old) {
					t.Fatalf("%d files, failed %v, %v", len(files), failed, err)
				}
			})
		}
	}
}

// owned reads as a mover does for one computer.
type owned struct {
	*repo.Repository
	owner [16]byte
}

func (o owned) Read(ctx context.Context, id seal.ID, buf []byte) (seal.Record, error) {
	return o.ReadFor(ctx, o.owner, id, buf)
}
