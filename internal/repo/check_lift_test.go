package repo

import (
	"bytes"
	"context"
	"testing"

	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
	"keepward/internal/storage/vfs/memfs"
)

// spoilRecords damages every record of a pack and answers the pack as it was.
func spoilRecords(t *testing.T, m *memfs.FS, name string) []byte {
	t.Helper()
	good := contentOfObject(t, m, name)
	entries, err := pack.ReadDirectory(memory{bytes.NewReader(good)})
	must(t, err)
	for _, e := range entries {
		must(t, m.Flip("/r/"+name, int(e.Offset)+seal.HeaderSize+2, 4))
	}
	return good
}

type memory struct{ *bytes.Reader }

func (m memory) Size() int64 { return m.Reader.Size() }

// isMarked counts the rows that mark damage.
func isMarked(t *testing.T, m *memfs.FS) (n int) {
	t.Helper()
	for _, s := range open(t, m).Segments() {
		must(t, s.All(func(row segment.Row) error {
			if row.Flags&segment.Damaged != 0 {
				n++
			}
			return nil
		}))
	}
	return n
}

// A pack that comes back from a copy is relied on again after the next check, and not before.
func TestMarksOfAPackThatIsPutBackAreTakenBack(t *testing.T) {
	ctx := context.Background()
	for _, class := range []pack.Class{pack.Data, pack.Meta} {
		s := newSite()
		m, b := manyPacks(t, s)
		name := packName(b.attempt, class, 1)
		good := spoilRecords(t, m, name)
		report, err := open(t, m).Check(ctx, s.proving(70, 1, CheckOptions{}))
		if err != nil || report.Clean() || isMarked(t, m) == 0 {
			t.Fatalf("%+v, %v", report, err)
		}
		// Still damaged: nothing changes, and the marks stay.
		marks := isMarked(t, m)
		if report, err = open(t, m).Check(ctx, s.proving(71, 2, CheckOptions{})); err != nil || report.Clean() || isMarked(t, m) != marks {
			t.Fatalf("%+v, %v", report, err)
		}
		replace(t, m, name, good)
		if files, _, err := restore(ctx, open(t, m), s, b.computer, b.attempt); err == nil && len(files) == len(b.files) {
			t.Fatal("marked, and relied on")
		}
		report, err = open(t, m).Check(ctx, s.proving(72, 3, CheckOptions{}))
		if err != nil || !report.Clean() || len(report.Findings) != 1 || report.Findings[0].Code != "pack.good-again" || report.Findings[0].Name != name {
			t.Fatalf("%+v, %v", report.Findings, err)
		}
		if isMarked(t, m) != 0 {
			t.Fatalf("%d marks are left", isMarked(t, m))
		}
		restores(t, m, b)
		checked(t, m, s.proving(73, 4, CheckOptions{}))
		again := &backup{s: s, computer: "web1", attempt: attemptNumber(5), files: b.files}
		stats, err := again.run(ctx, open(t, m))
		if err != nil || stats.Chunks > 3 {
			t.Fatalf("what is there again was stored again: %+v, %v", stats, err)
		}
	}
}

// Content that was wrong before it was sealed has good checksums: its mark stays.
func TestTheMarkOfWrongContentStays(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	b := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(5, 2000, 1)}
	b.spoil, _ = spoilFirst(seal.KindData, nil)
	_, err := b.run(ctx, open(t, m))
	must(t, err)
	for d := 1; d <= 3; d++ {
		report, err := open(t, m).Check(ctx, s.proving(70+d, d, CheckOptions{}))
		if err != nil || report.Clean() || isMarked(t, m) != 1 {
			t.Fatalf("check %d: %d marks, %+v, %v", d, isMarked(t, m), report.Findings, err)
		}
	}
}

// What another computer found damaged is marked in its own segment, beside rows that must stay:
// taking the mark back lets nobody rely on what he has not proved or stored.
func TestTakingAMarkBackKeepsTheOtherRows(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, b := manyPacks(t, s)
	name := packName(b.attempt, pack.Data, 1)
	good := spoilRecords(t, m, name)
	other := &backup{s: s, computer: "db1", attempt: attemptNumber(2), files: b.files}
	_, err := other.run(ctx, open(t, m))
	must(t, err)
	if isMarked(t, m) == 0 {
		t.Fatal("the test proves nothing")
	}
	replace(t, m, name, good)
	report, err := open(t, m).Check(ctx, s.proving(70, 1, CheckOptions{}))
	if err != nil || !report.Clean() || isMarked(t, m) != 0 {
		t.Fatalf("%d marks, %+v, %v", isMarked(t, m), report.Findings, err)
	}
	restores(t, m, b)
	restores(t, m, other)
	checked(t, m, s.proving(71, 2, CheckOptions{}))
}

// A crash anywhere while marks are taken back loses no row.
func TestACrashWhileMarksAreTakenBackLosesNothing(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, b := manyPacks(t, s)
	name := packName(b.attempt, pack.Data, 1)
	good := spoilRecords(t, m, name)
	other := &backup{s: s, computer: "db1", attempt: attemptNumber(2), files: b.files}
	_, err := other.run(ctx, open(t, m))
	must(t, err)
	replace(t, m, name, good)
	fresh := again(m)
	steps := 0
	for n := 1; ; n++ {
		disk := fresh()
		r := open(t, disk)
		disk.DieAt(disk.Calls() + n)
		_, err := r.Check(ctx, s.proving(70, 1, CheckOptions{Readers: 1}))
		after := disk.Restart(uint64(n))
		if report, err := open(t, after).Check(ctx, s.proving(71, 2, CheckOptions{})); err != nil || !report.Clean() || isMarked(t, after) != 0 {
			t.Fatalf("crash at %d: %+v, %v", n, report.Findings, err)
		}
		restores(t, after, b)
		restores(t, after, other)
		if err == nil {
			break
		}
		steps = n
	}
	if steps < 5 {
		t.Fatalf("%d steps: the test proves nothing", steps)
	}
}
