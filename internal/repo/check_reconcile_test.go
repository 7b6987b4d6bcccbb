package repo

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"keepward/internal/repo/ledger"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/segment"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

// put writes an object as it is.
func put(t *testing.T, m *memfs.FS, name string, content []byte) {
	t.Helper()
	must(t, storage.NewDir(m, "/r").Put(context.Background(), name, content))
}

func get(t *testing.T, m *memfs.FS, name string) []byte {
	t.Helper()
	b, err := storage.NewDir(m, "/r").Get(context.Background(), name, 1<<30)
	must(t, err)
	return b
}

// findings are the codes and names that a check of the structure reports.
func findings(t *testing.T, s *site, m *memfs.FS, o CheckOptions) []string {
	t.Helper()
	report, err := open(t, m).Check(context.Background(), s.check(o))
	must(t, err)
	var out []string
	for _, f := range report.Findings {
		if f.Repaired == "" {
			t.Errorf("lost: %+v", f)
		}
		out = append(out, f.Code+" "+f.Name)
	}
	slices.Sort(out)
	return out
}

func TestWhatIndexAndDirectoryDoNotAgreeOnIsNamed(t *testing.T) {
	s := newSite()
	stray := attemptNumber(40)
	for _, test := range []struct {
		name string
		do   func(m *memfs.FS, first *backup)
		want []string
	}{
		{"a pack that nobody knows", func(m *memfs.FS, first *backup) {
			put(t, m, packName(stray, pack.Data, 1), get(t, m, packName(first.attempt, pack.Data, 1)))
		}, []string{"pack.header " + packName(stray, pack.Data, 1), "pack.unknown " + packName(stray, pack.Data, 1)}},
		{"a pack of an attempt at work", func(m *memfs.FS, first *backup) {
			put(t, m, packName(stray, pack.Data, 1), get(t, m, packName(first.attempt, pack.Data, 1)))
			put(t, m, attemptName(stray), ledger.Open{Repository: s.id, Attempt: stray}.Encode())
		}, []string{"pack.header " + packName(stray, pack.Data, 1)}},
		{"a pack of an attempt that was cut off", func(m *memfs.FS, first *backup) {
			put(t, m, packName(stray, pack.Data, 1), get(t, m, packName(first.attempt, pack.Data, 1)))
			_, err := open(t, m).Fence(context.Background(), stray, "lost")
			must(t, err)
		}, []string{"pack.header " + packName(stray, pack.Data, 1)}},
		{"a row without its pack", func(m *memfs.FS, _ *backup) {
			put(t, m, segmentName(stray, 1), goneRows(s, stray))
		}, []string{"segment.pack-gone " + segmentName(stray, 1)}},
		{"a row whose pack a sweep has taken", func(m *memfs.FS, _ *backup) {
			put(t, m, segmentName(stray, 1), goneRows(s, stray))
			must(t, open(t, m).PutPackList(context.Background(), ledger.List{
				Kind: ledger.Condemned, Generation: 1, Packs: []pack.Key{{Attempt: stray, Class: pack.Data, Number: 1}},
			}))
		}, nil},
		{"files that are not ours", func(m *memfs.FS, _ *backup) {
			for _, name := range []string{"README", "points/notes.txt", "lost+found/12", "keys/1.bak", "packs/x"} {
				put(t, m, name, []byte("mine"))
			}
		}, []string{
			"file.stranger README", "file.stranger keys/1.bak", "file.stranger lost+found/12", "file.stranger points/notes.txt",
			"pack.name packs/x",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, backups := twoBackups(t, s)
			test.do(m, backups[0])
			before := objects(t, m)
			if diff := cmp.Diff(test.want, findings(t, s, m, CheckOptions{Repair: true, Attempt: attemptNumber(70)})); diff != "" {
				t.Error(diff)
			}
			// By lists alone the same is found, but for what stands in the packs.
			want := slices.DeleteFunc(slices.Clone(test.want), func(f string) bool { return strings.HasPrefix(f, "pack.header ") })
			if diff := cmp.Diff(want, differences(t, m), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("reconciling: %s", diff)
			}
			if diff := cmp.Diff(before, objects(t, m)); diff != "" {
				t.Errorf("what is only named was touched:\n%s", diff)
			}
		})
	}
}

// differences are the codes and names that reconciling reports. None of it is damage.
func differences(t *testing.T, m *memfs.FS) []string {
	t.Helper()
	report, err := open(t, m).Reconcile(context.Background(), CheckOptions{})
	must(t, err)
	var out []string
	for _, f := range report.Findings {
		if f.Repaired == "" || f.Code == codePackGone && f.Repaired != askCheck {
			t.Errorf("%+v", f)
		}
		out = append(out, f.Code+" "+f.Name)
	}
	slices.Sort(out)
	return out
}

// goneRows is a segment that tells of a pack that never was.
func goneRows(s *site, a [16]byte) []byte {
	return segment.Encode(segment.Header{RepositoryID: s.id, Attempt: a, Number: 1},
		[]segment.Pack{{Attempt: a, Class: pack.Data, Number: 1}}, []segment.Row{{Offset: 64, Length: 100, Kind: 1}})
}

// A segment that is whole by its checksums and wrong in what it says: packs are what counts.
func TestASegmentThatLiesIsMadeAnew(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	for _, test := range []struct {
		name string
		lie  func(i int, rows []segment.Row)
	}{
		{"offsets", func(i int, rows []segment.Row) { rows[i].Offset += 8 }},
		{"lengths", func(i int, rows []segment.Row) { rows[i].Length -= 4 }},
		{"ids", func(i int, rows []segment.Row) { rows[i].ID[31] ^= 1 }},
		{"rows left out", func(i int, rows []segment.Row) { rows[i].ID = rows[0].ID; rows[i].Offset = rows[0].Offset }},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, backups := twoBackups(t, s)
			for _, b := range backups {
				name := segmentName(b.attempt, 1)
				seg, err := segment.Parse(get(t, m, name))
				must(t, err)
				var rows []segment.Row
				must(t, seg.All(func(r segment.Row) error { rows = append(rows, r); return nil }))
				for i := range rows {
					test.lie(i, rows)
				}
				must(t, m.Remove("/r/"+name))
				put(t, m, name, segment.Encode(seg.Header, seg.Packs, rows))
			}
			for _, f := range findings(t, s, m, CheckOptions{Repair: true, Attempt: attemptNumber(70)}) {
				if !strings.HasPrefix(f, "segment.untrue ") {
					t.Errorf("found %s", f)
				}
			}
			report, err := open(t, m).Check(ctx, s.check(CheckOptions{ReadData: true}))
			if err != nil || len(report.Findings) != 0 {
				t.Errorf("after the repair: %+v, %v", report.Findings, err)
			}
			for _, b := range backups {
				files, failed, err := restore(ctx, open(t, m), s, b.computer, b.attempt)
				if diff := cmp.Diff(b.files, files); err != nil || diff != "" || len(failed) > 0 {
					t.Errorf("%v, failed %v, diff %s", err, failed, diff)
				}
			}
		})
	}
}

// What a newer Keepward has marked as read-only compatible is looked at and not changed.
func TestANewerRepositoryIsNotChanged(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, backups := twoBackups(t, s)
	newer := s.config()
	newer.ReadCompatible = 4
	must(t, m.Remove("/r/"+configName))
	put(t, m, configName, newer.Encode())
	must(t, m.Flip("/r/"+packName(backups[0].attempt, pack.Data, 1), 100, 1))
	before := objects(t, m)
	r := open(t, m)
	report, err := r.Check(ctx, s.check(CheckOptions{ReadData: true, Repair: true, Attempt: attemptNumber(70)}))
	if err != nil || report.Clean() {
		t.Errorf("%+v, %v", report.Findings, err)
	}
	for _, change := range []func() error{
		func() error { return r.MarkDeleted(ctx, backups[0].attempt, Note{}) },
		func() error { return r.Hold(ctx, backups[0].attempt, Note{}) },
		func() error { return r.Undelete(ctx, backups[0].attempt) },
	} {
		wantKind(t, "change", change(), "invalid", "repository.read-only")
	}
	if committed, err := r.Fence(ctx, attemptNumber(50), "lost"); committed || err != nil {
		t.Errorf("an attempt that wrote nothing: %v, %v", committed, err)
	}
	if committed, err := r.Fence(ctx, backups[0].attempt, "lost"); !committed || err != nil {
		t.Errorf("an attempt that has its point: %v, %v", committed, err)
	}
	if diff := cmp.Diff(before, objects(t, m)); diff != "" {
		t.Errorf("it was changed:\n%s", diff)
	}
}
