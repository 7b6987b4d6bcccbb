package repo

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/storage/vfs/memfs"
)

// runProved makes the backup with a proof of what came before the commit.
func (b *backup) runProved(ctx context.Context, r *Repository) (Report, error) {
	w, err := b.writer(r)
	if err != nil {
		return Report{}, err
	}
	defer w.Abort()
	d, err := b.store(ctx, w)
	if err != nil {
		return Report{}, err
	}
	body, err := point.OpenBody(b.s.keys(b.computer).ComputerKey, &point.Point{RepositoryID: b.s.id, Attempt: b.attempt, Body: d.Body})
	if err != nil {
		return Report{}, err
	}
	report, err := w.Prove(ctx, body.Root, ProveOptions{Time: morning(1)})
	if err != nil {
		return report, err
	}
	issue, err := b.issue()
	if err != nil {
		return report, err
	}
	return report, w.Commit(ctx, d, issue)
}

func arrivals(s *site, m *memfs.FS, t *testing.T) (*memfs.FS, *backup, *backup) {
	t.Helper()
	first := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(30, 4000, 1), packSize: 4000}
	second := &backup{s: s, computer: "db1", attempt: attemptNumber(2), files: first.files, packSize: 4000}
	return m, first, second
}

// Who relies on what was proved at arrival need not open it again; without it, he must.
func TestWhatWasProvedAtArrivalServesOthers(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, first, second := arrivals(s, disk(t, s), t)
	report, err := first.runProved(ctx, open(t, m))
	if err != nil || report.ProvedPacks == 0 || report.ProvedChunks == 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	if days := provedOn(t, m); days[1] != len(packsOf(t, m)) {
		t.Fatalf("%v", days)
	}
	stats, err := second.run(ctx, open(t, m))
	if err != nil || stats.Proved != 0 || stats.Chunks > 3 {
		t.Fatalf("%+v, %v", stats, err)
	}
	restores(t, m, first)
	restores(t, m, second)
	// Of the next backup only what is new is opened.
	first.attempt, first.files["0/new"] = attemptNumber(3), "new"
	again, err := first.runProved(ctx, open(t, m))
	if err != nil || again.ProvedChunks == 0 || again.ProvedChunks > report.ProvedChunks/2 {
		t.Fatalf("%d of %d chunks were opened: %v", again.ProvedChunks, report.ProvedChunks, err)
	}
}

// A computer that sends garbage under the id of what it says it has makes no point, whatever
// kind of chunk it is, and what it sent is absent for itself and for others.
func TestWhatIsNotWhatItSaysIsStoppedAtArrival(t *testing.T) {
	ctx := context.Background()
	for _, kind := range []seal.Kind{seal.KindData, seal.KindNode, seal.KindRoot} {
		t.Run(kind.String(), func(t *testing.T) {
			s := newSite()
			m, bad, other := arrivals(s, disk(t, s), t)
			var id *seal.ID
			bad.spoil, id = spoilFirst(kind, nil)
			report, err := bad.runProved(ctx, open(t, m))
			wantKind(t, "prove", err, errs.Corrupt, "arrival.mismatch")
			if len(report.Findings) == 0 || report.Findings[0].Chunk != id.String() {
				t.Fatalf("%+v", report.Findings)
			}
			if got := committed(t, open(t, m)); len(got) != 0 {
				t.Fatalf("it made a point: %v", got)
			}
			if all := open(t, m).Locations(ctx, *id); len(all) != 0 {
				t.Fatalf("it can be relied on at %v", all)
			}
			bad.spoil, bad.attempt = nil, attemptNumber(3)
			for _, b := range []*backup{other, bad} {
				_, err := b.runProved(ctx, open(t, m))
				must(t, err)
				restores(t, m, b)
			}
		})
	}
}

// What a hostile computer stores beside its tree cannot be opened at arrival: its pack does not
// count as whole, and whoever wants that content opens it first.
func TestGarbageBesideTheTreeIsNotProvedAtArrival(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, _, other := arrivals(s, disk(t, s), t)
	e := newEvil(t, s, m, 1)
	popular := other.contents(t, seal.KindData)[0]
	e.put(seal.KindData, popular.H, nil, []byte("garbage"))
	root := e.root()
	_, err := e.w.Prove(ctx, root, ProveOptions{Time: morning(1)})
	must(t, err)
	e.commit(root)
	_, err = other.run(ctx, open(t, m))
	must(t, err)
	files, failed, err := restore(ctx, open(t, m), s, "db1", other.attempt)
	if diff := cmp.Diff(other.files, files); err != nil || diff != "" || len(failed) > 0 {
		t.Fatalf("%v, failed %v, diff %s", err, failed, diff)
	}
}
