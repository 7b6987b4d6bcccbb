package compact

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// thinned has a point of each of two computers whose packs are half dead, since another point
// of theirs is gone.
func thinned(t testing.TB) *lab {
	t.Helper()
	l := newLab(t)
	for i, computer := range []string{"web1", "db1"} {
		all := repotest.Files(24, 2500, uint64(i))
		l.backup(10*i+1, computer, all)
		l.backup(10*i+2, computer, some(all, false))
		l.forget(10*i + 1)
	}
	return l
}

func TestThinPacksAreWrittenAnewAndMayGo(t *testing.T) {
	l := thinned(t)
	before := l.size()
	result, err := l.compact(nil)
	must(t, err)
	if len(result.Condemn) < 6 || result.WrittenBytes == 0 || result.WrittenBytes != result.ReadBytes || result.FreedBytes < before/3 || len(result.Damaged)+len(result.Kept)+result.Postponed > 0 {
		t.Fatalf("%+v", result)
	}
	l.intact() // before anything is deleted
	l.remove(result.Condemn)
	l.intact()
	if after := l.size(); after > before*7/10 {
		t.Fatalf("%d bytes, were %d", after, before)
	}
	again, err := l.compact(nil)
	if err != nil || len(again.Condemn) > 0 || again.WrittenBytes > 0 {
		t.Fatalf("again: %+v, %v", again, err)
	}
}

// Records are copied byte for byte, those of a computer in packs of its own and in the order
// in which they lay.
func TestWhatIsCopiedStaysAsItWas(t *testing.T) {
	ctx := context.Background()
	l := thinned(t)
	r := l.open()
	was := map[seal.ID]repo.Location{}
	for id := range live(t, r) {
		was[id], _ = r.Lookup(ctx, id)
	}
	result, err := l.compact(nil)
	must(t, err)
	fresh := l.open()
	var last repo.Location
	copied := 0
	var moved []repo.Location
	for id, old := range was {
		for _, now := range fresh.Locations(ctx, id) {
			if now.Attempt != repotest.Attempt(700) {
				continue
			}
			copied++
			moved = append(moved, now)
			if record(t, r, old) != record(t, fresh, now) || old.Owner != now.Owner || old.Proved() != now.Proved() {
				t.Fatalf("%+v became %+v", old, now)
			}
		}
	}
	slices.SortFunc(moved, repo.Location.ComparePlace)
	for _, now := range moved {
		old := was[now.ID]
		if last.PackKey() == now.PackKey() && was[last.ID].ComparePlace(old) >= 0 {
			t.Fatalf("%+v lay behind %+v", was[last.ID], old)
		}
		if last.PackKey() == now.PackKey() && last.Owner != now.Owner {
			t.Fatalf("pack %+v holds chunks of two computers", now.PackKey())
		}
		last = now
	}
	if copied < 10 || result.Segments != 1 {
		t.Fatalf("%d copied, %+v", copied, result)
	}
	for name := range l.objects("packs/" + repotest.Attempt(700).String()[:2]) {
		k, err := repo.ParsePackName(name)
		must(t, err)
		h, err := header(ctx, fresh, k)
		if err != nil || h.Owner != l.s.Owner("web1") && h.Owner != l.s.Owner("db1") {
			t.Fatalf("%s: %+v, %v", name, h, err)
		}
	}
}

func TestSmallPacksAreJoined(t *testing.T) {
	l := newLab(t)
	for i := range 6 {
		l.backup(i+1, "web1", under("day"+string(rune('a'+i)), repotest.Files(1, 900, uint64(i))))
	}
	l.backup(20, "db1", repotest.Files(1, 900, 20))
	l.backup(21, "db1", repotest.Files(1, 900, 21))
	result, err := l.compact(func(o *Options) { o.JoinBelow = packSize / 2 })
	must(t, err)
	if len(result.Condemn) != 12 || result.Written > 3 { // six of data and six of metadata
		t.Fatalf("%+v", result)
	}
	if slices.ContainsFunc(result.Condemn, func(k pack.Key) bool { return k.Attempt == repotest.Attempt(20) }) {
		t.Fatal("two packs are too few to be joined")
	}
	l.remove(result.Condemn)
	l.intact()
}

// web1 stored it and nobody proved it; db1 did the same. Each must keep what it may rely on.
func TestEachComputerKeepsACopyItMayRelyOn(t *testing.T) {
	l := newLab(t)
	shared := under("shared", repotest.Files(8, 2500, 5))
	for i, computer := range []string{"web1", "db1"} {
		all := mix(shared, under(computer, repotest.Files(8, 2500, uint64(i))))
		l.backupWith(10*i+1, computer, all, nil, packSize) // without keys: no proof
		l.backupWith(10*i+2, computer, shared, nil, packSize)
		l.forget(10*i + 1)
	}
	r := l.open()
	needed := live(t, r)
	var packs []Pack
	for _, p := range uses(t, r, needed) { // whatever a sweep counts where: all are offered
		packs = append(packs, Pack{Key: p.Key, Size: p.Size, Live: 1, Dead: p.Live + p.Dead})
	}
	o := l.options(t, r)
	result, err := Run(context.Background(), r, packs, o)
	must(t, err)
	if len(result.Condemn) != len(packs) {
		t.Fatalf("%d of %d packs may go: %+v", len(result.Condemn), len(packs), result)
	}
	l.remove(result.Condemn)
	l.intact()
	for id := range needed {
		for _, at := range l.open().Locations(context.Background(), id) {
			if at.Proved() {
				t.Fatalf("%+v: nobody proved it", at)
			}
		}
	}
}

// db1 relies on what web1 stored, since its mover has proved it. The copy is as good.
func TestAProofIsKept(t *testing.T) {
	l := newLab(t)
	all := repotest.Files(24, 2500, 1)
	l.backup(1, "web1", all)
	l.backup(2, "db1", some(all, true))
	l.forget(1)
	result, err := l.compact(nil)
	must(t, err)
	if len(result.Condemn) < 3 {
		t.Fatalf("%+v", result)
	}
	l.remove(result.Condemn)
	l.intact() // reads as db1 what lies in packs of web1
}

// A check that opens every record of a pack proves it as a whole, without a word in the index.
// If a copy did not say so, the sweep would spare the old pack, and every sweep would copy it
// again.
func TestWhatACheckHasProvedStaysProved(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	all := repotest.Files(24, 2500, 1)
	l.backup(1, "web1", all)
	l.backup(2, "web1", some(all, true))
	issue, computers := l.s.Master.IssueKey(), l.s.Master.ComputersKey()
	_, err := l.open().Check(ctx, repo.CheckOptions{
		ReadData: true, Repair: true, Attempt: repotest.Attempt(60), Time: time.Unix(1_700_001_000, 0),
		Keys: l.s.Keys("check"), IssueKey: &issue, ComputersKey: &computers,
	})
	must(t, err)
	l.forget(1)
	result, err := l.compact(nil)
	must(t, err)
	l.remove(result.Condemn)
	r := l.open()
	copies := 0
	for id := range live(t, r) {
		for _, at := range r.Locations(ctx, id) {
			if at.Attempt != repotest.Attempt(700) {
				continue
			}
			if copies++; !at.Proved() {
				t.Errorf("%+v was proved and is not", at)
			}
		}
	}
	if copies == 0 {
		t.Error("nothing was copied")
	}
}

// A chunk that lies elsewhere just as well is not copied, unless that copy is not good.
func TestWhatLiesElsewhereIsNotCopied(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		l := newLab(t)
		shared := under("shared", repotest.Files(8, 2500, 5))
		l.backupWith(1, "web1", mix(shared, repotest.Files(24, 2500, 1)), nil, packSize)
		r := l.open()
		needed := live(t, r)
		// The same computer stores it again: two movers at once.
		w, err := r.NewWriter(context.Background(), repo.WriterOptions{Attempt: repotest.Attempt(2), Owner: l.s.Owner("web1"), PackSize: 1 << 20})
		must(t, err)
		for id := range needed {
			rec, err := r.Read(context.Background(), id, nil)
			must(t, err)
			_, err = w.Put(rec.Bytes())
			must(t, err)
		}
		must(t, w.Flush(context.Background()))
		w.Abort()
		if damaged {
			must(t, l.m.Flip("/r/"+repo.PackName(repotest.Attempt(2), pack.Data, 1), 500, 1))
		}
		var packs []Pack
		for _, p := range uses(t, r, needed) {
			if p.Attempt == repotest.Attempt(1) {
				packs = append(packs, Pack{Key: p.Key, Size: p.Size, Live: 1, Dead: p.Live + p.Dead})
			}
		}
		fresh := l.open()
		result, err := Run(context.Background(), fresh, packs, l.options(t, fresh))
		must(t, err)
		if copied := result.WrittenBytes > 0; copied != damaged || len(result.Damaged) > 0 != damaged || len(result.Condemn) != len(packs) {
			t.Fatalf("damaged %v: %+v", damaged, result)
		}
		l.remove(result.Condemn)
		files, failed, err := l.s.Restore(context.Background(), l.open(), "web1", repotest.Attempt(1))
		if err != nil || len(failed) > 0 || len(files) != len(l.made[1].Files) {
			t.Fatal(failed, err)
		}
	}
}

// Where a proved and an unproved copy are both moved, one comes out: two of them would make the
// new pack as thin as the old one, and the next run would write it anew, and so on.
func TestOfTwoCopiesThatAreMovedTheProvedOneStays(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	all := repotest.Files(8, 2500, 5)
	l.backup(5, "web1", all)
	l.backup(6, "db1", all) // proves what web1 stored
	r := l.open()
	needed := live(t, r)
	// web1 stores it again, under an attempt that comes first.
	w, err := r.NewWriter(ctx, repo.WriterOptions{Attempt: repotest.Attempt(1), Owner: l.s.Owner("web1"), PackSize: packSize})
	must(t, err)
	var stored int64
	for _, at := range dataOf(r, needed) {
		rec, err := r.Read(ctx, at.ID, nil)
		must(t, err)
		_, err = w.Put(rec.Bytes())
		must(t, err)
		stored += int64(at.Length)
	}
	must(t, w.Flush(ctx))
	w.Abort()
	var packs []Pack
	for _, p := range uses(t, r, needed) {
		if p.Class == pack.Data {
			packs = append(packs, Pack{Key: p.Key, Size: p.Size, Live: 1, Dead: p.Live + p.Dead})
		}
	}
	fresh := l.open()
	result, err := Run(ctx, fresh, packs, l.options(t, fresh))
	must(t, err)
	if result.WrittenBytes != stored || len(result.Condemn) != len(packs) {
		t.Fatalf("%d bytes were written of chunks of %d: %+v", result.WrittenBytes, stored, result)
	}
	l.remove(result.Condemn)
	l.intact()
}

// dataOf are the best places of data chunks.
func dataOf(r *repo.Repository, ids map[seal.ID]bool) []repo.Location {
	var out []repo.Location
	for id := range ids {
		if at, ok := r.Lookup(context.Background(), id); ok && !at.Kind.Meta() {
			out = append(out, at)
		}
	}
	return out
}

// A run that was killed after it had published is not done again.
func TestAKilledRunIsGoneOnWith(t *testing.T) {
	l := thinned(t)
	whole, err := l.compact(nil)
	must(t, err)
	// Nothing was condemned: the mover died before it could. Another run, another attempt.
	again, err := l.compact(func(o *Options) { o.Attempt = repotest.Attempt(701) })
	must(t, err)
	if again.WrittenBytes > whole.WrittenBytes/5 {
		t.Fatalf("%d bytes were written, then %d again", whole.WrittenBytes, again.WrittenBytes)
	}
	r := l.open()
	var dead []pack.Key
	for _, p := range uses(t, r, live(t, r)) {
		if p.Live == 0 {
			dead = append(dead, p.Key)
		}
	}
	l.remove(append(dead, slices.DeleteFunc(again.Condemn, func(k pack.Key) bool { return slices.Contains(dead, k) })...))
	l.intact()
}

func TestACancelledRunKeepsWhatIsDone(t *testing.T) {
	l := thinned(t)
	r := l.open()
	ctx, cancel := context.WithCancel(context.Background())
	o := l.options(t, r)
	packs := 0
	o.Progress = func(_, _ int64) {
		if packs++; packs == 3 {
			cancel()
		}
	}
	result, err := Run(ctx, r, uses(t, r, live(t, r)), o)
	if errs.KindOf(err) != errs.Cancelled || len(result.Condemn) != 3 || result.Written == 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	l.remove(result.Condemn)
	l.intact()

	stop := errors.New("stop")
	asked := int64(0)
	result, err = l.compact(func(o *Options) {
		o.Attempt = repotest.Attempt(701)
		o.Wait = func(_ context.Context, n int64) error {
			if asked += n; asked > 12_000 {
				return stop
			}
			return nil
		}
	})
	if !errors.Is(err, stop) || asked > 30_000 {
		t.Fatalf("%d bytes, %+v, %v", asked, result, err)
	}
	l.remove(result.Condemn)
	l.intact()
}

// Where a segment was lost, the records themselves tell whose they are.
func TestRowsOfASharedSegmentAreRebuiltWithTheirOwners(t *testing.T) {
	l := thinned(t)
	result, err := l.compact(nil)
	must(t, err)
	l.remove(result.Condemn)
	for _, how := range []string{"damaged", "lost"} {
		for name := range l.objects("index/" + repotest.Attempt(700).String()[:2]) {
			if how == "damaged" {
				must(t, l.m.Flip("/r/"+name, 130, 1))
				continue
			}
			must(t, l.backend().Delete(context.Background(), name))
		}
		r := l.open()
		if how == "lost" {
			if _, err := r.RebuildIndex(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		for n, b := range l.made {
			files, failed, err := l.s.Restore(context.Background(), &asOwner{r, l.s.Owner(b.Computer)}, b.Computer, repotest.Attempt(n))
			if err != nil || len(failed) > 0 || len(files) != len(b.Files) {
				t.Fatalf("%s: %d of %d files, failed %v, %v", how, len(files), len(b.Files), failed, err)
			}
		}
	}
	for _, s := range l.open().Segments() {
		_ = s.All(func(row segment.Row) error {
			if p := s.Packs[row.Pack]; p.Owner == [16]byte{} {
				t.Fatalf("%+v is nobody's", p)
			}
			return nil
		})
	}
}
