package repo

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// pointOf makes a restore point of a computer.
func pointOf(t *testing.T, s *site, r *Repository, n int) point.Attempt {
	t.Helper()
	b := &backup{s: s, computer: "web1", attempt: attemptNumber(n), files: someFiles(4, 2000, uint64(n))}
	_, err := b.run(context.Background(), r)
	must(t, err)
	return b.attempt
}

func TestMarkersHideHoldAndShowPoints(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	r := open(t, m)
	a, b := pointOf(t, s, r, 1), pointOf(t, s, r, 2)
	deleted, held := Note{Time: time.Unix(5, 6), Reason: "retention"}, Note{Time: time.Unix(7, 8), Reason: "court"}
	must(t, r.MarkDeleted(ctx, a, deleted))
	must(t, r.MarkDeleted(ctx, a, Note{Reason: "again"})) // the first stays
	must(t, r.Hold(ctx, b, held))
	got := map[point.Attempt][2]*Note{}
	for o, err := range open(t, m).Points(ctx) {
		must(t, err)
		got[o.Attempt] = [2]*Note{o.Deleted, o.Held}
	}
	want := map[point.Attempt][2]*Note{a: {&deleted, nil}, b: {nil, &held}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	wantKind(t, "delete what is held", r.MarkDeleted(ctx, b, deleted), errs.Denied, "point.held")
	must(t, r.Undelete(ctx, a))
	must(t, r.Undelete(ctx, a))
	must(t, r.Release(ctx, b))
	for mark := range r.Markers(ctx) {
		t.Errorf("left: %+v", mark)
	}
	must(t, r.MarkDeleted(ctx, b, deleted))
	must(t, r.Hold(ctx, b, held)) // a deleted point may be held: nothing purges it then
}

func TestOnlyPointsAreMarked(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	r := open(t, disk(t, s))
	_, err := r.Fence(ctx, attemptNumber(2), "test")
	must(t, err)
	for _, a := range []point.Attempt{attemptNumber(1), attemptNumber(2)} { // none, and a tombstone
		for what, err := range map[string]error{
			"delete": r.MarkDeleted(ctx, a, Note{}), "undelete": r.Undelete(ctx, a), "hold": r.Hold(ctx, a, Note{}), "release": r.Release(ctx, a),
		} {
			wantKind(t, what, err, errs.NotFound, "point.not-found")
		}
		if purged, err := r.Purge(ctx, a); purged || err != nil {
			t.Fatal(purged, err)
		}
	}
	if settled, err := r.Settled(ctx, attemptNumber(2)); err != nil || !settled {
		t.Fatal("the tombstone is gone", err)
	}
}

func TestAPurgeNeedsAMarkerAndNoHold(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	r := open(t, m)
	a := pointOf(t, s, r, 1)
	_, err := r.Purge(ctx, a)
	wantKind(t, "a point that is not deleted", err, errs.Denied, "point.not-deleted")
	must(t, r.MarkDeleted(ctx, a, Note{}))
	must(t, r.Hold(ctx, a, Note{}))
	_, err = r.Purge(ctx, a)
	wantKind(t, "a point that is held", err, errs.Denied, "point.held")
	must(t, m.Flip("/r/held/"+a.String(), 50, 1))
	_, err = r.Purge(ctx, a)
	wantKind(t, "a point whose hold cannot be read", err, errs.Denied, "point.held")
	must(t, r.Release(ctx, a))
	must(t, m.Flip("/r/deleted/"+a.String(), 50, 1))
	_, err = r.Purge(ctx, a)
	wantKind(t, "a point whose marker cannot be read", err, errs.Corrupt, "ledger.checksum")
	for o, err := range r.Points(ctx) { // hidden all the same
		if err != nil || o.Deleted == nil || o.Deleted.Reason == "" {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	must(t, r.Undelete(ctx, a))
	must(t, r.MarkDeleted(ctx, a, Note{}))
	for _, want := range []bool{true, false} {
		if purged, err := r.Purge(ctx, a); purged != want || err != nil {
			t.Fatal(purged, err)
		}
	}
	for _, dir := range []string{pointsDir, deletedDir, attemptsDir} {
		if infos, err := r.list(ctx, dir); err != nil || len(infos) != 0 {
			t.Fatalf("left in %s: %v, %v", dir, infos, err)
		}
	}
}

func TestAnAttemptIsOpenUntilItIsSettled(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	r := open(t, m)
	must(t, r.PutPackList(ctx, ledger.List{Kind: ledger.Condemned, Generation: 3}))
	openOnes := func() (out []OpenAttempt) {
		out, err := open(t, m).OpenAttempts(ctx)
		must(t, err)
		return out
	}
	b := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(4, 2000, 1)}
	w, err := r.NewWriter(ctx, WriterOptions{Attempt: b.attempt, Owner: s.owner("web1"), Term: 7})
	must(t, err)
	must(t, r.OpenMaintenance(ctx, attemptNumber(2), 8))
	want := []OpenAttempt{
		{Open: ledger.Open{Repository: s.id, Attempt: attemptNumber(1), Generation: 3, Term: 7}},
		{Open: ledger.Open{Repository: s.id, Attempt: attemptNumber(2), Maintenance: true, Term: 8}},
	}
	if diff := cmp.Diff(want, openOnes()); diff != "" {
		t.Fatal(diff)
	}
	// One that cannot be read is a writer that knows no list.
	must(t, m.Flip("/r/attempts/"+attemptNumber(1).String(), 45, 0))
	must(t, m.Flip("/r/attempts/"+attemptNumber(2).String(), 45, 0))
	want = []OpenAttempt{{Open: ledger.Open{Repository: s.id, Attempt: attemptNumber(1)}}, {Open: ledger.Open{Repository: s.id, Attempt: attemptNumber(2)}}}
	if diff := cmp.Diff(want, openOnes()); diff != "" {
		t.Fatal(diff)
	}
	must(t, r.CloseAttempt(ctx, attemptNumber(2)))
	w.Abort()
	if got := openOnes(); len(got) != 1 {
		t.Fatalf("an attempt that gave up may have made a point: it is open until it is fenced: %+v", got)
	}
	_, err = r.Fence(ctx, b.attempt, "test")
	must(t, err)
	pointOf(t, s, r, 3)
	if got := openOnes(); len(got) != 0 {
		t.Fatalf("open: %+v", got)
	}
}

func TestTheHighestListIsInForceUntilItIsSwept(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	r := open(t, m)
	a := pointOf(t, s, r, 1)
	packs, err := r.list(ctx, packsDir)
	must(t, err)
	k, err := ParsePackName(packs[0].Name)
	must(t, err)
	for _, step := range []struct {
		put  *ledger.List
		want Generation
	}{
		{nil, Generation{Done: true}},
		{&ledger.List{Kind: ledger.Condemned, Generation: 1}, Generation{Number: 1}},
		{&ledger.List{Kind: ledger.Swept, Generation: 1}, Generation{Number: 1, Done: true}},
		{&ledger.List{Kind: ledger.Condemned, Generation: 10}, Generation{Number: 10}},
		{&ledger.List{Kind: ledger.Condemned, Generation: 9}, Generation{Number: 10}},
	} {
		if step.put != nil {
			must(t, r.PutPackList(ctx, *step.put))
			if err := r.PutPackList(ctx, *step.put); errs.KindOf(err) != errs.Exists {
				t.Fatalf("twice: %v", err)
			}
		}
		got, err := r.Generation(ctx)
		if err != nil || got.Number != step.want.Number || got.Done != step.want.Done || got.Condemns(k) {
			t.Fatalf("%+v, %v, want %+v", got, err, step.want)
		}
	}
	l := ledger.List{Kind: ledger.Condemned, Generation: 11}
	for _, p := range packs {
		k, err := ParsePackName(p.Name)
		must(t, err)
		l.Packs = append(l.Packs, k)
	}
	must(t, r.PutPackList(ctx, l))
	if g, err := r.Generation(ctx); err != nil || !g.Condemns(k) {
		t.Fatalf("%+v, %v", g, err)
	}
	// What is condemned is absent for who writes, and there for who reads.
	_, _, err = restore(ctx, r, s, "web1", a)
	must(t, err)
	w, err := r.NewWriter(ctx, WriterOptions{Attempt: attemptNumber(5), Owner: s.owner("web1")})
	must(t, err)
	defer w.Abort()
	h := s.keys("web1").NewHasher().Hash(seal.KindData, []byte(chunks(someFiles(4, 2000, 1)["dir0/file0"])[0]))
	have, err := w.Have(ctx, []seal.H{h})
	if err != nil || have[0] {
		t.Fatal(have, err)
	}
	p, err := point.Parse(must2(r.Point(ctx, a)))
	must(t, err)
	d := point.Draft{Type: point.Complete, RootID: p.RootID}
	wantKind(t, "commit of what is not judged", w.Commit(ctx, d, nil), errs.Busy, "commit.condemned")
	must(t, r.PutPackList(ctx, ledger.List{Kind: ledger.Spared, Generation: 11}))
	wantKind(t, "commit of what is to be deleted", w.Commit(ctx, d, nil), errs.Corrupt, "commit.chunk-missing")
}

func must2(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
