package repo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

// twoBackups is a disk with two points of two computers that share half their files.
func twoBackups(t testing.TB, s *site) (*memfs.FS, []*backup) {
	t.Helper()
	m := disk(t, s)
	backups := historyBackups(s)[:2]
	for i, b := range backups {
		r := open(t, m)
		must(t, b.live(context.Background(), r, i == 1))
		must(t, r.Close())
	}
	return m, backups
}

func objects(t testing.TB, m *memfs.FS) []storage.Info {
	t.Helper()
	var out []storage.Info
	must(t, storage.NewDir(m, "/r").List(context.Background(), "", func(i storage.Info) error {
		out = append(out, i)
		return nil
	}))
	return out
}

func TestAHealthyRepositoryHasNoFindings(t *testing.T) {
	s := newSite()
	m, _ := twoBackups(t, s)
	before := objects(t, m)
	for _, o := range []CheckOptions{{}, {ReadData: true}, s.check(CheckOptions{ReadData: true, Repair: true, Attempt: attemptNumber(77)})} {
		report, err := open(t, m).Check(context.Background(), o)
		if err != nil || len(report.Findings) != 0 || !report.Clean() {
			t.Fatalf("%+v, %v", report.Findings, err)
		}
		if report.Packs == 0 || report.Chunks == 0 || report.Points != 2 || report.Segments != 2 {
			t.Fatalf("report %+v", report)
		}
	}
	if diff := cmp.Diff(before, objects(t, m)); diff != "" {
		t.Fatalf("the check of a healthy repository changed it:\n%s", diff)
	}
}

// Wherever one bit of a file flips, the check names that file; files that need nothing of it
// still restore; files it names do not, or nothing is lost.
func TestAFlippedBitAnywhereIsNamed(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, backups := twoBackups(t, s)
	for _, info := range objects(t, m) {
		step := 1 + int(info.Size)/24
		for at := 0; at < int(info.Size); at += step {
			must(t, m.Flip("/r/"+info.Name, at, uint8(at)))
			if err := namesDamage(ctx, s, m, info.Name, backups); err != nil {
				t.Fatalf("byte %d of %s (%d bytes): %v", at, info.Name, info.Size, err)
			}
			must(t, m.Flip("/r/"+info.Name, at, uint8(at)))
		}
	}
}

func namesDamage(ctx context.Context, s *site, m *memfs.FS, name string, backups []*backup) error {
	r, err := Open(ctx, storage.NewDir(m, "/r"))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer r.Close() //nolint:errcheck // the test is over
	report, err := r.Check(ctx, s.check(CheckOptions{ReadData: true}))
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if !slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Name == name }) {
		return fmt.Errorf("not named among %+v", report.Findings)
	}
	for _, b := range backups {
		files, failed, err := restore(ctx, r, s, b.computer, b.attempt)
		for path, content := range b.files {
			got, whole := files[path]
			if whole && got != content {
				return fmt.Errorf("%s of %s restored wrongly", path, b.computer)
			}
			if named := named(report, b.attempt, path); whole == named {
				return fmt.Errorf("%s of %s: restored %v, named %v (%v, %v): %+v", path, b.computer, whole, named, failed, err, report.Findings)
			}
		}
	}
	return nil
}

// named tells whether a report says that a file cannot be restored: by its name, as part of
// its point, or as one of those behind a lost node.
func named(report Report, a point.Attempt, path string) bool {
	for _, f := range report.Findings {
		for _, file := range f.Affected {
			if file.Point == a && (string(file.Path) == path || len(file.Path) == 0 || f.AffectedTotal > int64(len(f.Affected))) {
				return true
			}
		}
	}
	return false
}

func TestADamagedChunkIsNamedWithItsFilesThenHealedByTheNextBackup(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, backups := twoBackups(t, s)
	path := "dir0/file0" // of web1; db1 has it as same/dir0/file0
	id := s.keys("x").NewHasher().Hash(seal.KindData, []byte(chunks(backups[0].files[path])[0])).ID()
	r := open(t, m)
	l, ok := r.Lookup(ctx, id)
	if !ok {
		t.Fatal("the chunk is not there")
	}
	must(t, m.Flip("/r/"+l.PackName(), int(l.Offset)+seal.HeaderSize+5, 3))

	report, err := r.Check(ctx, s.check(CheckOptions{ReadData: true, Repair: true, Attempt: attemptNumber(70)}))
	must(t, err)
	if len(report.Findings) != 1 || report.Clean() {
		t.Fatalf("findings %+v", report.Findings)
	}
	f := report.Findings[0]
	want := []AffectedFile{{backups[0].attempt, "web1", []byte(path)}, {backups[1].attempt, "db1", []byte("same/" + path)}}
	if f.Object != "chunk" || f.Name != l.PackName() || f.Chunk != id.String() || f.AffectedTotal != 2 {
		t.Fatalf("finding %+v", f)
	}
	if diff := cmp.Diff(want, f.Affected); diff != "" {
		t.Fatal(diff)
	}
	if report, err = open(t, m).Check(ctx, CheckOptions{ReadData: true}); err != nil || len(report.Findings) != 1 {
		t.Fatalf("without keys: %+v, %v", report.Findings, err)
	}
	if diff := cmp.Diff([]AffectedFile{{Point: backups[0].attempt}, {Point: backups[1].attempt}}, report.Findings[0].Affected); diff != "" {
		t.Fatalf("without keys the points are named:\n%s", diff)
	}

	heal := &backup{s: s, computer: "web1", attempt: attemptNumber(5), files: backups[0].files}
	stats, err := heal.run(ctx, open(t, m))
	if err != nil || stats.Chunks == 0 {
		t.Fatalf("the marked chunk was not stored again: %+v, %v", stats, err)
	}
	r = open(t, m)
	for _, b := range append(backups, heal) {
		files, failed, err := restore(ctx, r, s, b.computer, b.attempt)
		must(t, err)
		if diff := cmp.Diff(b.files, files); diff != "" || len(failed) > 0 {
			t.Fatalf("after healing: failed %v, diff %s", failed, diff)
		}
	}
	report, err = r.Check(ctx, s.check(CheckOptions{ReadData: true}))
	if err != nil || !report.Clean() || len(report.Findings) != 1 {
		t.Fatalf("after healing: %+v, %v", report.Findings, err)
	}
}

func TestALostPackIsNamedWithItsFiles(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, backups := twoBackups(t, s)
	name := packName(backups[0].attempt, 1, 1)
	must(t, m.Remove("/r/"+name))
	report, err := open(t, m).Check(ctx, s.check(CheckOptions{}))
	must(t, err)
	if f := report.Findings[0]; f.Object != "pack" || f.Name != name || f.Code != "pack.missing" {
		t.Fatalf("findings %+v", report.Findings)
	}
	r := open(t, m)
	for _, b := range backups {
		files, _, err := restore(ctx, r, s, b.computer, b.attempt)
		must(t, err)
		lost := 0
		for path := range b.files {
			_, whole := files[path]
			if whole == named(report, b.attempt, path) {
				t.Fatalf("%s: restored %v", path, whole)
			}
			if !whole {
				lost++
			}
		}
		if lost == 0 || lost == len(b.files) {
			t.Fatalf("%d of %d files lost: the test proves nothing", lost, len(b.files))
		}
	}
}

func TestTheIndexIsRebuiltFromPacksWithoutAnyKey(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	for _, test := range []struct {
		name    string
		damage  func(m *memfs.FS, name string)
		rebuild bool
	}{
		{"damaged head", func(m *memfs.FS, name string) { must(t, m.Flip("/r/"+name, 200, 1)) }, false},
		{"damaged page", func(m *memfs.FS, name string) { must(t, m.Flip("/r/"+name, 5000, 1)) }, false},
		{"all gone", func(m *memfs.FS, name string) { must(t, m.Remove("/r/"+name)) }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, backups := twoBackups(t, s)
			var names []string
			for _, info := range objects(t, m) {
				if strings.HasPrefix(info.Name, indexDir+"/") {
					names = append(names, info.Name)
					test.damage(m, info.Name)
				}
			}
			r := open(t, m)
			if test.rebuild {
				n, err := r.RebuildIndex(ctx)
				if err != nil || n != 2 {
					t.Fatalf("rebuilt %d, %v", n, err)
				}
			}
			for _, b := range backups {
				files, failed, err := restore(ctx, r, s, b.computer, b.attempt)
				if diff := cmp.Diff(b.files, files); err != nil || diff != "" || len(failed) > 0 {
					t.Fatalf("%v, failed %v, diff %s", err, failed, diff)
				}
			}
			if !test.rebuild && len(r.Conditions()) != len(names) {
				t.Fatalf("conditions %+v, damaged %v", r.Conditions(), names)
			}
			report, err := open(t, m).Check(ctx, s.check(CheckOptions{Repair: true, Attempt: attemptNumber(71)}))
			must(t, err)
			if !report.Clean() || !test.rebuild && len(report.Findings) != len(names) {
				t.Fatalf("first check %+v", report.Findings)
			}
			fresh := open(t, m)
			report, err = fresh.Check(ctx, s.check(CheckOptions{ReadData: true}))
			if err != nil || len(report.Findings) != 0 || len(fresh.Conditions()) != 0 {
				t.Fatalf("after the repair: %+v, %v, %v", report.Findings, fresh.Conditions(), err)
			}
			// The rows are the same computer's still, so an unchanged run stores next to nothing.
			again := &backup{s: s, computer: "web1", attempt: attemptNumber(6), files: backups[0].files}
			stats, err := again.run(ctx, fresh)
			if err != nil || stats.Bytes > 3000 || stats.Proved != 0 {
				t.Fatalf("%+v, %v", stats, err)
			}
		})
	}
}

func TestALostSegmentOfACommittedAttemptIsFoundByCheck(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, backups := twoBackups(t, s)
	must(t, m.Remove("/r/"+segmentName(backups[0].attempt, 1)))
	report, err := open(t, m).Check(ctx, s.check(CheckOptions{}))
	if err != nil || len(report.Findings) != 1 || report.Findings[0].Code != "segment.missing" || !report.Clean() {
		t.Fatalf("%+v, %v", report.Findings, err)
	}
}

// What is taken over unchanged from a parent with marked damage must not become a point that
// claims to be whole; a run that asks for every chunk heals it, and then all is well again.
func TestAPointThatNeedsMarkedDamageIsNotMade(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, backups := twoBackups(t, s)
	content, err := open(t, m).Point(ctx, backups[0].attempt)
	must(t, err)
	parent, err := point.Parse(content)
	must(t, err)
	id := s.keys("x").NewHasher().Hash(seal.KindData, []byte(chunks(backups[0].files["dir0/file0"])[0])).ID()
	r := open(t, m)
	must(t, r.Intact(ctx, s.owner("web1"), parent.RootID, parent.Refs))
	l, _ := r.Lookup(ctx, id)
	must(t, m.Flip("/r/"+l.PackName(), int(l.Offset)+100, 3))
	_, err = r.Check(ctx, CheckOptions{ReadData: true, Repair: true, Attempt: attemptNumber(70)})
	must(t, err)

	r = open(t, m)
	wantKind(t, "intact", r.Intact(ctx, s.owner("web1"), parent.RootID, parent.Refs), errs.Corrupt, "point.needs-damaged")
	unchanged, err := r.NewWriter(context.Background(), WriterOptions{Attempt: attemptNumber(5), Owner: s.owner("web1")})
	must(t, err)
	defer unchanged.Abort()
	err = unchanged.Commit(ctx, point.Draft{Type: point.Complete, RootID: parent.RootID}, nil)
	wantKind(t, "commit", err, errs.Corrupt, "point.needs-damaged")

	full := &backup{s: s, computer: "web1", attempt: attemptNumber(6), files: backups[0].files}
	_, err = full.run(ctx, open(t, m))
	must(t, err)
	must(t, open(t, m).Intact(ctx, s.owner("web1"), parent.RootID, parent.Refs))
	// The one that has asked before sees what is new, and reads no mark twice.
	known := map[*openSegment]*[]seal.ID{}
	for _, o := range r.snapshot() {
		if o.seg.Marks {
			known[o] = o.damaged.Load()
		}
	}
	must(t, r.Refresh(ctx))
	must(t, r.Intact(ctx, s.owner("web1"), parent.RootID, parent.Refs))
	for o, ids := range known {
		if ids == nil || o.damaged.Load() != ids {
			t.Errorf("segment %s is read again", o.name)
		}
	}
	if len(known) == 0 {
		t.Error("nothing is marked")
	}
}

func TestACommitOnADamagedParentIsRefusedWithAHint(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, backups := twoBackups(t, s)
	id := s.keys("x").NewHasher().Hash(seal.KindData, []byte(chunks(backups[0].files["dir0/file0"])[0])).ID()
	l, _ := open(t, m).Lookup(ctx, id)
	must(t, m.Flip("/r/"+l.PackName(), int(l.Offset)+100, 3))
	r := open(t, m)
	_, err := r.Check(ctx, CheckOptions{ReadData: true, Repair: true, Attempt: attemptNumber(70)})
	must(t, err)
	w, err := r.NewWriter(context.Background(), WriterOptions{Attempt: attemptNumber(5), Owner: s.owner("web1")})
	must(t, err)
	defer w.Abort()
	err = w.Commit(ctx, point.Draft{Type: point.Complete, RootID: id}, nil)
	if errs.CodeOf(err) != "commit.chunk-missing" || errs.HintOf(err) == "" {
		t.Fatalf("%v", err)
	}
}
