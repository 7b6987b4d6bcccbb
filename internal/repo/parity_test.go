package repo

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

// guarded is a disk with a point of a computer in several packs, all with parity.
func guarded(t *testing.T, s *site) (*memfs.FS, *backup) {
	t.Helper()
	m, b := manyPacks(t, s)
	report, err := open(t, m).KeepParity(context.Background(), ParityOptions{Percent: 25})
	must(t, err)
	if int(report.Made) != len(packsOf(t, m)) || report.Bytes == 0 || len(report.Damaged) != 0 {
		t.Fatalf("%+v", report)
	}
	return m, b
}

func packsOf(t *testing.T, m *memfs.FS) (keys []pack.Key) {
	t.Helper()
	for _, i := range objects(t, m) {
		if k, err := ParsePackName(i.Name); err == nil {
			keys = append(keys, k)
		}
	}
	return keys
}

func parities(t *testing.T, m *memfs.FS) (keys []pack.Key) {
	t.Helper()
	for _, i := range objects(t, m) {
		if k, err := parseParityName(i.Name); err == nil {
			keys = append(keys, k)
		}
	}
	return keys
}

// restores fails unless every file of a backup comes back.
func restores(t *testing.T, m *memfs.FS, b *backup) {
	t.Helper()
	files, failed, err := restore(context.Background(), open(t, m), b.s, b.computer, b.attempt)
	if diff := cmp.Diff(b.files, files); err != nil || diff != "" || len(failed) > 0 {
		t.Fatalf("%v, failed %v, diff %s", err, failed, diff)
	}
}

// again answers disks that are as m is now.
func again(m *memfs.FS) func() *memfs.FS {
	m.Record()
	states := m.States()
	return states[len(states)-1].Reopen
}

// What one bit spoils anywhere in a pack is mended by the check, and in memory by a restore
// before it.
func TestParityMendsAPackWhereverItIsDamaged(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, b := guarded(t, s)
	fresh := again(m)
	for _, k := range []pack.Key{{Attempt: b.attempt, Class: pack.Data, Number: 2}, {Attempt: b.attempt, Class: pack.Meta, Number: 1}} {
		size := len(contentOfObject(t, m, nameOf(k)))
		for at := 1; at < size; at += 1 + size/12 {
			disk := fresh()
			must(t, disk.Flip("/r/"+nameOf(k), at, 3))
			restores(t, disk, b)
			report, err := open(t, disk).Check(ctx, s.proving(70, 1, CheckOptions{}))
			must(t, err)
			if len(report.Findings) == 0 || !report.Clean() {
				t.Fatalf("byte %d of %s: %+v", at, nameOf(k), report.Findings)
			}
			spoiled := slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Object == "chunk" })
			if spoiled && !slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Repaired == mended && f.AffectedTotal == 0 }) {
				t.Fatalf("byte %d of %s: %+v", at, nameOf(k), report.Findings)
			}
			// Now without any parity: what was mended lies in a pack of its own.
			for _, p := range parities(t, disk) {
				must(t, disk.Remove("/r/"+parityName(p)))
			}
			restores(t, disk, b)
			st, err := open(t, disk).ProofState(ctx, morning(1))
			if err != nil || st.LostChunks != 0 {
				t.Fatalf("byte %d of %s: %+v, %v", at, nameOf(k), st, err)
			}
			if open, err := open(t, disk).OpenAttempts(ctx); err != nil || len(open) != 0 {
				t.Fatalf("the check left its announcement: %v, %v", open, err)
			}
		}
	}
}

func contentOfObject(t *testing.T, m *memfs.FS, name string) []byte {
	t.Helper()
	content, err := storage.NewDir(m, "/r").Get(context.Background(), name, 1<<20)
	must(t, err)
	return content
}

// replace puts other bytes in the place of an object.
func replace(t *testing.T, m *memfs.FS, name string, content []byte) {
	t.Helper()
	must(t, m.Remove("/r/"+name))
	must(t, storage.NewDir(m, "/r").Put(context.Background(), name, content))
}

// A pack that lost its end is mended too; what is behind the parity's reach is named.
func TestAPackCutOffIsMendedAsFarAsItsParityReaches(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	for _, tt := range []struct {
		name  string
		left  func(size int) int
		whole bool
	}{
		{"its directory", func(size int) int { return size - 10 }, true},
		{"its last block", func(size int) int { return (size - 1) / 4096 * 4096 }, true},
		{"all but a block", func(int) int { return 4096 }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := disk(t, s)
			b := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(30, 4000, 1), packSize: 30000}
			_, err := b.run(ctx, open(t, m))
			must(t, err)
			_, err = open(t, m).KeepParity(ctx, ParityOptions{Percent: 5})
			must(t, err)
			name := packName(b.attempt, pack.Data, 1)
			content := contentOfObject(t, m, name)
			replace(t, m, name, content[:tt.left(len(content))])
			report, err := open(t, m).Check(ctx, s.proving(70, 1, CheckOptions{}))
			must(t, err)
			if len(report.Findings) == 0 || report.Clean() != tt.whole {
				t.Fatalf("%+v", report.Findings)
			}
			if tt.whole {
				restores(t, m, b)
			}
		})
	}
}

// Damage that was marked before there was somebody to mend it is mended by the next check.
func TestWhatWasMarkedBeforeIsMended(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, b := guarded(t, s)
	name := packName(b.attempt, pack.Data, 2)
	kept := contentOfObject(t, m, parityName(pack.Key{Attempt: b.attempt, Class: pack.Data, Number: 2}))
	must(t, m.Remove("/r/"+parityName(pack.Key{Attempt: b.attempt, Class: pack.Data, Number: 2})))
	must(t, m.Flip("/r/"+name, pack.HeaderSize+seal.HeaderSize+9, 2))
	report, err := open(t, m).Check(ctx, s.proving(70, 1, CheckOptions{}))
	if err != nil || report.Clean() {
		t.Fatalf("%+v, %v", report, err)
	}
	must(t, storage.NewDir(m, "/r").Put(ctx, parityName(pack.Key{Attempt: b.attempt, Class: pack.Data, Number: 2}), kept))
	restores(t, m, b) // in memory, though the index tells of no good place
	report, err = open(t, m).Check(ctx, s.proving(71, 2, CheckOptions{}))
	if err != nil || !report.Clean() {
		t.Fatalf("%+v, %v", report.Findings, err)
	}
	restores(t, m, b)
}

// Parity that is damaged, another pack's or another repository's mends nothing, does no harm, and
// is made anew once its pack was found good.
func TestParityThatLiesDoesNoHarm(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, b := guarded(t, s)
	one, two := pack.Key{Attempt: b.attempt, Class: pack.Data, Number: 2}, pack.Key{Attempt: b.attempt, Class: pack.Data, Number: 3}
	good := contentOfObject(t, m, parityName(one))
	fresh := again(m)
	for _, tt := range []struct {
		name string
		lie  []byte
	}{
		{"of another pack", contentOfObject(t, m, parityName(two))},
		{"cut off", good[:len(good)-1]},
		{"nothing", nil},
		{"no parity", []byte(strings.Repeat("no parity ", 500))},
		{"a bit", func() []byte { b := bytes.Clone(good); b[len(b)/2] ^= 1; return b }()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := fresh()
			replace(t, disk, parityName(one), tt.lie)
			report, err := open(t, disk).Check(ctx, s.proving(70, 1, CheckOptions{}))
			if err != nil || len(report.Findings) != 1 || report.Findings[0].Code != "parity.damaged" || !report.Clean() {
				t.Fatalf("%+v, %v", report.Findings, err)
			}
			made, err := open(t, disk).KeepParity(ctx, ParityOptions{Percent: 25})
			if err != nil || made.Made != 1 || !bytes.Equal(good, contentOfObject(t, disk, parityName(one))) {
				t.Fatalf("%+v, %v", made, err)
			}
			replace(t, disk, parityName(one), tt.lie)
			must(t, disk.Flip("/r/"+nameOf(one), pack.HeaderSize+seal.HeaderSize+9, 2))
			report, err = open(t, disk).Check(ctx, s.proving(71, 2, CheckOptions{}))
			must(t, err)
			for _, f := range report.Findings {
				if f.Object == "parity" {
					t.Fatalf("that of a damaged pack was touched: %+v", f)
				}
			}
		})
	}
}

func TestParityComesOnceAndGoesWithItsPack(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, b := guarded(t, s)
	r := open(t, m)
	if diff := cmp.Diff(packsOf(t, m), parities(t, m)); diff != "" {
		t.Fatal(diff)
	}
	second, err := r.KeepParity(ctx, ParityOptions{Percent: 5, Tidy: true, Term: 1})
	if err != nil || second.Made != 0 || second.Removed != 0 {
		t.Fatalf("%+v, %v", second, err)
	}
	keys := packsOf(t, m)
	must(t, r.DeletePack(ctx, keys[0]))
	if slices.Contains(parities(t, m), keys[0]) {
		t.Fatal("the pack is gone, its parity is not")
	}
	must(t, m.Remove("/r/"+nameOf(keys[1]))) // a crash between the two
	if _, err = r.KeepParity(ctx, ParityOptions{Tidy: true, Term: 0}); err == nil {
		t.Fatal("tidied by orders of a server that was replaced")
	}
	tidy, err := r.KeepParity(ctx, ParityOptions{Tidy: true, Term: 1})
	if err != nil || tidy.Removed != 1 || len(parities(t, m)) != len(keys)-2 {
		t.Fatalf("%+v, %v", tidy, err)
	}
	// A pack that a list condemns gets none, nor does one of another attempt than was asked for.
	must(t, m.Remove("/r/"+parityName(keys[2])))
	none, err := r.KeepParity(ctx, ParityOptions{Percent: 5, Attempt: attemptNumber(9)})
	if err != nil || none.Made != 0 {
		t.Fatalf("%+v, %v", none, err)
	}
	one, err := r.KeepParity(ctx, ParityOptions{Percent: 5, Attempt: b.attempt})
	if err != nil || one.Made != 1 {
		t.Fatalf("%+v, %v", one, err)
	}
}

// Parity of a damaged pack would keep the damage.
func TestADamagedPackGetsNoParity(t *testing.T) {
	s := newSite()
	m, b := manyPacks(t, s)
	k := pack.Key{Attempt: b.attempt, Class: pack.Data, Number: 2}
	must(t, m.Flip("/r/"+nameOf(k), pack.HeaderSize+seal.HeaderSize+9, 2))
	report, err := open(t, m).KeepParity(context.Background(), ParityOptions{Percent: 5})
	if diff := cmp.Diff([]pack.Key{k}, report.Damaged); err != nil || diff != "" || slices.Contains(parities(t, m), k) {
		t.Fatalf("%v, %s", err, diff)
	}
}

// A crash anywhere while parity is made, or while a check mends, loses nothing, and the next one
// comes to the same end.
func TestACrashWhileParityIsMadeOrMendsLosesNothing(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, b := manyPacks(t, s)
	damaged := pack.Key{Attempt: b.attempt, Class: pack.Data, Number: 2}
	work := []struct {
		name string
		run  func(r *Repository) error
	}{
		{"make", func(r *Repository) error {
			_, err := r.KeepParity(ctx, ParityOptions{Percent: 5, Tidy: true, Term: 1})
			return err
		}},
		{"mend", func(r *Repository) error {
			_, err := r.Check(ctx, s.proving(70, 1, CheckOptions{Readers: 1}))
			return err
		}},
		{"delete", func(r *Repository) error { return r.DeletePack(ctx, damaged) }},
	}
	for i, w := range work {
		t.Run(w.name, func(t *testing.T) {
			fresh := again(m)
			steps := 0
			for n := 1; ; n++ {
				disk := fresh()
				r, err := Open(ctx, storage.NewDir(disk, "/r"))
				must(t, err)
				disk.DieAt(disk.Calls() + n)
				err = w.run(r)
				_ = r.Close()
				after := disk.Restart(uint64(n))
				if w.name == "delete" {
					r := open(t, after)
					must(t, r.DeletePack(ctx, damaged))
					if _, err := r.KeepParity(ctx, ParityOptions{Tidy: true, Term: 1}); err != nil || slices.Contains(parities(t, after), damaged) {
						t.Fatalf("crash at %d: %v", n, err)
					}
				} else {
					restores(t, after, b)
					must(t, w.run(open(t, after)))
					restores(t, after, b)
				}
				if err == nil {
					break
				}
				steps = n
			}
			if steps < 4 {
				t.Fatalf("%d steps: the test proves nothing", steps)
			}
		})
		if i == 0 {
			must(t, w.run(open(t, m)))
			must(t, m.Flip("/r/"+nameOf(damaged), pack.HeaderSize+seal.HeaderSize+9, 2))
		}
	}
}

func TestNamesOfParityAreReadBack(t *testing.T) {
	k := pack.Key{Attempt: point.Attempt{0xab, 1}, Class: pack.Meta, Number: 7}
	got, err := parseParityName(parityName(k))
	if err != nil || got != k || !ours(parityName(k)) {
		t.Fatalf("%v, %v", got, err)
	}
	for _, name := range []string{nameOf(k), parityDir, parityDir + "/x", parityName(k) + "1", strings.ToUpper(parityName(k))} {
		if _, err := parseParityName(name); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}
