package crashtest

import (
	"context"
	"slices"
	"testing"

	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/segment"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

// damagedAndHealed is a repository of two points that share a chunk: one copy is damaged and
// marked, the other is good.
var damagedAndHealed = with(backup(1, "web1", web), damageRecord(1), repair, backup(2, "web1", web), healed)

// theDamaged is the pack that was hurt.
var theDamaged = repo.PackName(repotest.Attempt(1), pack.Data, 1)

// A sweep dies when it has removed the damaged pack, before that is durable. The next one finds
// the pack gone and forgets what the index said of it. Then the power goes, which brings back
// what was not durable: never the pack without its marks.
func TestAPackThatIsForgottenStaysGone(t *testing.T) {
	ctx := context.Background()
	w := newWorld(memfs.New())
	if err := w.run(ctx, damagedAndHealed); err != nil {
		t.Fatal(err)
	}
	w.disk.Record()
	if err := w.run(ctx, []step{everything.sweeps()}); err != nil {
		t.Fatal(err)
	}
	states := w.disk.States()
	i := slices.IndexFunc(states, func(s *memfs.State) bool {
		_, err := s.Reopen().Stat(root + "/" + theDamaged)
		return err != nil
	})
	if i < 0 {
		t.Fatal("no sweep removed the damaged pack")
	}
	if _, err := states[i].Restart(memfs.NoNames(0)).Stat(root + "/" + theDamaged); err != nil {
		t.Fatalf("the removal was durable at once: %v", err)
	}
	disk := states[i].Reopen()
	disk.Record()
	if err := newRecovery(disk, expect(w.log, states[i].Call-1)).run(ctx); err != nil {
		t.Fatal(err)
	}
	back := 0
	for _, s := range disk.States() {
		left := newWorld(s.Restart(memfs.NoNames(0)))
		if _, err := left.disk.Stat(root + "/" + theDamaged); err != nil {
			continue
		}
		back++
		err := left.with(ctx, func(r *repo.Repository) error {
			if !slices.ContainsFunc(r.Segments(), func(s repo.IndexSegment) bool { return marked(s, theDamaged) }) {
				t.Fatalf("before call %d: the pack is back, and nothing says that it is damaged", s.Call)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if back == 0 {
		t.Error("the pack never came back: nothing was tested")
	}
}

// marked tells whether a segment has a mark of damage in a pack.
func marked(s repo.IndexSegment, name string) bool {
	found := false
	err := s.All(func(row segment.Row) error {
		p := s.Packs[row.Pack]
		found = found || row.Flags&segment.Damaged != 0 && repo.PackName(p.Attempt, p.Class, p.Number) == name
		return nil
	})
	return found && err == nil
}

// The segment with the marks is lost, and with it what the index knew of the damage. Of two
// copies the sweep still keeps the good one: a check has written down that the pack of the other
// is damaged.
func TestAGoodCopyOutlivesTheMarksOfTheOther(t *testing.T) {
	ctx := context.Background()
	w := newWorld(memfs.New())
	if err := w.run(ctx, damagedAndHealed); err != nil {
		t.Fatal(err)
	}
	lost := 0
	err := w.with(ctx, func(r *repo.Repository) error {
		for _, s := range r.Segments() {
			if !marked(s, theDamaged) {
				continue
			}
			lost++
			if err := storage.NewDir(w.disk, root).Delete(ctx, s.Name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || lost == 0 {
		t.Fatalf("%d segments of marks were lost: %v", lost, err)
	}
	if err := w.run(ctx, []step{everything.sweeps(), everything.sweeps()}); err != nil {
		t.Fatal(err)
	}
	after := newRecovery(w.disk, w.found())
	if err := after.with(ctx, func(r *repo.Repository) error { return after.compare(ctx, r) }); err != nil {
		t.Fatal(err)
	}
}
