package compact

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

// A damaged record is reported and marked, its pack stays, and once a backup has healed the
// chunk the pack may go.
func TestADamagedRecordIsNotCopiedAndNotGivenUp(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	all := repotest.Files(24, 2500, 1)
	l.backup(1, "web1", all)
	half := some(all, false)
	l.backup(2, "web1", half)
	l.forget(1)
	r := l.open()
	o := l.options(t, r)
	o.Below = 0.7
	thin := map[pack.Key]bool{}
	for _, p := range uses(t, r, live(t, r)) {
		thin[p.Key] = o.thin(p, 0)
	}
	var victim repo.Location
	for _, at := range dataOf(r, live(t, r)) {
		if thin[at.PackKey()] {
			victim = at
			break
		}
	}
	must(t, l.m.Flip("/r/"+victim.PackName(), int(victim.Offset)+int(victim.Length)-20, 3))
	result, err := l.compact(nil)
	must(t, err)
	if len(result.Damaged) != 1 || result.Damaged[0].ID != victim.ID || errs.KindOf(result.Damaged[0].Err) != errs.Corrupt || len(result.Kept) != 1 || result.Kept[0].Key != victim.PackKey() {
		t.Fatalf("%+v", result)
	}
	if slices.Contains(result.Condemn, victim.PackKey()) || len(result.Condemn) == 0 {
		t.Fatalf("%+v", result.Condemn)
	}
	l.remove(result.Condemn)
	if at := l.open().Locations(ctx, victim.ID); len(at) != 0 {
		t.Fatalf("it is not marked: %+v", at)
	}
	before := l.objects("packs")
	again, err := l.compact(nil)
	if err != nil || len(again.Condemn) > 0 || again.WrittenBytes > 0 {
		t.Fatalf("a pack with a marked record is touched: %+v, %v", again, err)
	}
	if diff := cmp.Diff(before, l.objects("packs")); diff != "" {
		t.Fatal(diff)
	}
	l.backup(3, "web1", half) // heals it
	healed, err := l.compact(nil)
	must(t, err)
	fresh := l.open()
	gone := healed.Condemn
	for _, p := range uses(t, fresh, live(t, fresh)) {
		if p.Key == victim.PackKey() && p.Live == 0 && !slices.Contains(gone, p.Key) { // all else in it was copied the first time
			gone = append(gone, p.Key)
		}
	}
	if !slices.Contains(gone, victim.PackKey()) {
		t.Fatalf("the chunk lies elsewhere now: %+v", healed)
	}
	l.remove(gone)
	l.intact()
}

// What is wrong with a pack's own parts is left to the check.
func TestADamagedPackIsNotTouched(t *testing.T) {
	for name, at := range map[string]func(size int) int{
		"header":    func(int) int { return 41 },
		"directory": func(size int) int { return size - 60 },
		"footer":    func(size int) int { return size - 10 },
	} {
		l := thinned(t)
		k := pack.Key{Attempt: repotest.Attempt(1), Class: pack.Data, Number: 1}
		pn := repo.PackName(k.Attempt, k.Class, k.Number)
		must(t, l.m.Flip("/r/"+pn, at(int(l.objects("packs")[pn])), 1))
		r := l.open()
		packs := []Pack{{Key: k, Size: packSize, Live: 1000, Dead: 7000}}
		result, err := Run(context.Background(), r, packs, l.options(t, r))
		if err != nil || len(result.Condemn) > 0 || result.WrittenBytes > 0 || len(result.Kept) != 1 || errs.KindOf(result.Kept[0].Err) != errs.Corrupt {
			t.Fatalf("%s: %+v, %v", name, result, err)
		}
	}
}

func TestAFullDiskLeavesAllAsItWas(t *testing.T) {
	for _, failing := range []memfs.Op{memfs.Create, memfs.Write, memfs.Sync, memfs.Link, memfs.SyncDir} {
		for _, from := range []int{1, 2, 5} {
			l := thinned(t)
			packs, index := l.objects("packs"), l.objects("index")
			calls := 0
			l.m.SetHook(func(op memfs.Op, name string) error {
				if op == memfs.Remove || !strings.Contains(name, repotest.Attempt(700).String()) && !strings.Contains(name, "/tmp/") {
					return nil
				}
				if op == failing {
					calls++
				}
				if calls >= from { // and from then on
					return syscall.ENOSPC
				}
				return nil
			})
			result, err := l.compact(nil)
			l.m.SetHook(nil)
			if calls < from {
				continue
			}
			if errs.KindOf(err) != errs.NoSpace || len(result.Condemn) > 0 {
				t.Fatalf("%s %d: %+v, %v", failing, from, result, err)
			}
			if diff := cmp.Diff(packs, l.objects("packs")); diff != "" {
				t.Fatalf("%s %d: %s", failing, from, diff)
			}
			if diff := cmp.Diff(index, l.objects("index")); diff != "" {
				t.Fatalf("%s %d: %s", failing, from, diff)
			}
			result, err = l.compact(nil)
			must(t, err)
			l.remove(result.Condemn)
			l.intact()
		}
	}
}

// If only the packs find no room and a segment does, what is done counts.
func TestWhatWasWrittenBeforeTheDiskWasFullCounts(t *testing.T) {
	l := thinned(t)
	created := 0
	l.m.SetHook(func(op memfs.Op, name string) error {
		if op == memfs.Create && strings.Contains(name, "/packs/") {
			if created++; created > 2 {
				return syscall.ENOSPC
			}
		}
		return nil
	})
	result, err := l.compact(nil)
	l.m.SetHook(nil)
	if errs.KindOf(err) != errs.NoSpace || len(result.Condemn) == 0 || result.Written != 2 {
		t.Fatalf("%+v, %v", result, err)
	}
	l.remove(result.Condemn)
	l.intact()
}

// little is a backend with little room.
type little struct {
	*storage.Dir
	free int64
}

func (b *little) Free(context.Context) (int64, error) { return b.free, nil }

func TestWithoutRoomPacksWait(t *testing.T) {
	l := thinned(t)
	r, err := repo.Open(context.Background(), &little{l.backend(), spare * packSize})
	must(t, err)
	defer r.Close() //nolint:errcheck // only read
	result, err := Run(context.Background(), r, uses(t, r, live(t, r)), l.options(t, r))
	if err != nil || result.Postponed < 6 || len(result.Condemn) > 0 || result.WrittenBytes > 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	bounded, err := l.compact(func(o *Options) { o.MaxBytes = 10_000 })
	if err != nil || bounded.Postponed == 0 || bounded.WrittenBytes == 0 || bounded.WrittenBytes > 10_000 {
		t.Fatalf("%+v, %v", bounded, err)
	}
	l.remove(bounded.Condemn)
	l.intact()
}

// The power goes at each call of a run, and of one that follows: nothing is lost, and the run
// after that ends the work.
func TestACrashAtAnyCallLosesNothing(t *testing.T) {
	small := func() *lab {
		l := newLab(t)
		all := repotest.Files(10, 2500, 3)
		l.backup(1, "web1", all)
		l.backup(2, "web1", some(all, false))
		l.backup(3, "db1", mix(some(all, false), under("db", repotest.Files(4, 2500, 4))))
		l.forget(1)
		return l
	}
	run := func(l *lab, n int) ([]pack.Key, error) { // the power goes at call n
		before := l.open()
		needed := live(t, before)
		packs := uses(t, before, needed)
		if n > 0 {
			l.m.DieAt(l.m.Calls() + n)
		}
		r, err := repo.Open(context.Background(), l.backend())
		if err != nil {
			return nil, err
		}
		defer r.Close() //nolint:errcheck // only read
		result, err := Run(context.Background(), r, packs, Options{
			Attempt: repotest.Attempt(700), PackSize: packSize, JoinBelow: -1, Live: func(id seal.ID) bool { return needed[id] },
		})
		return result.Condemn, err
	}
	last := 0
	l := small()
	l.m.SetHook(func(memfs.Op, string) error { last++; return nil })
	if condemned, err := run(l, 0); err != nil || len(condemned) == 0 {
		t.Fatal(condemned, err)
	}
	points := 0
	for n := 1; n <= last; n++ {
		for seed := range uint64(3) {
			l := small()
			disk := l.m
			condemned, err := run(l, n)
			if err == nil {
				continue // it had ended before
			}
			points++
			if l.m = disk.Restart(seed); seed == 0 {
				l.m = disk.Reopen()
			}
			l.remove(condemned) // what it promised holds after the crash
			l.intact()
			again, err := run(l, 0)
			if err != nil {
				t.Fatalf("again after a crash at call %d, seed %d: %v", n, seed, err)
			}
			l.remove(again)
			l.intact()
			if n%5 == 0 {
				if left, err := run(l, 0); err != nil || len(left) > 0 {
					t.Fatalf("crash at call %d, seed %d: there is work left after all: %v, %v", n, seed, left, err)
				}
			}
		}
	}
	if points < 60 {
		t.Fatalf("%d crash points", points)
	}
	t.Logf("%d crash points", points)
}
