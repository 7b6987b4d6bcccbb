package repo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/repo/pack"
	"keepward/internal/repo/proof"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

// morning is the server's time on a day.
func morning(n int) time.Time { return time.Date(2026, 11, n, 4, 0, 0, 0, time.UTC) }

// manyPacks is a disk with a point of a computer in a good many small packs.
func manyPacks(t *testing.T, s *site) (*memfs.FS, *backup) {
	t.Helper()
	m := disk(t, s)
	b := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(30, 4000, 1), packSize: 4000}
	_, err := b.run(context.Background(), open(t, m))
	must(t, err)
	return m, b
}

// proving is a check that reads data, of a day.
func (s *site) proving(n, d int, o CheckOptions) CheckOptions {
	o.ReadData, o.Repair, o.Attempt, o.Time = true, true, attemptNumber(n), morning(d)
	return s.check(o)
}

func checked(t *testing.T, m *memfs.FS, o CheckOptions) Report {
	t.Helper()
	report, err := open(t, m).Check(context.Background(), o)
	if err != nil || len(report.Findings) != 0 {
		t.Fatalf("%+v, %v", report.Findings, err)
	}
	return report
}

func proofs(t *testing.T, m *memfs.FS) proof.Set {
	t.Helper()
	s, err := open(t, m).Proofs(context.Background())
	must(t, err)
	return s
}

// provedOn counts the packs by the day of their proof; 0: seen only.
func provedOn(t *testing.T, m *memfs.FS) map[int]int {
	t.Helper()
	out := map[int]int{}
	for _, e := range proofs(t, m) {
		if e.Level == proof.Seen {
			out[0]++
			continue
		}
		if e.Level != proof.Content || !e.Has(proof.Whole) || e.Has(proof.Damaged) {
			t.Fatalf("proof %+v", e)
		}
		out[e.Time.Day()]++
	}
	return out
}

func TestTheOldestProofsComeFirst(t *testing.T) {
	s := newSite()
	m, _ := manyPacks(t, s)
	first := checked(t, m, s.proving(70, 1, CheckOptions{Sample: 0.5}))
	all := first.Packs
	if first.ProvedPacks < all/4 || first.ProvedPacks > all*3/4 || all < 8 {
		t.Fatalf("half of %d packs are %d", all, first.ProvedPacks)
	}
	if diff := cmp.Diff(map[int]int{0: int(all - first.ProvedPacks), 1: int(first.ProvedPacks)}, provedOn(t, m)); diff != "" {
		t.Fatal(diff)
	}
	// What was not proved comes before what was.
	second := checked(t, m, s.proving(71, 2, CheckOptions{Sample: 0.25}))
	days := provedOn(t, m)
	if days[1] != int(first.ProvedPacks) || days[2] != int(second.ProvedPacks) || days[2] == 0 {
		t.Fatalf("%v", days)
	}
	checked(t, m, s.proving(72, 3, CheckOptions{OlderThan: 36 * time.Hour}))
	days = provedOn(t, m)
	if days[0] != 0 || days[1] != 0 || days[2] != int(second.ProvedPacks) {
		t.Fatalf("what was proved a day and a half ago, or never, is proved now: %v", days)
	}
	// Of a session that was interrupted, only the rest is read.
	last := checked(t, m, s.proving(73, 5, CheckOptions{Since: morning(3)}))
	if last.ProvedPacks != second.ProvedPacks {
		t.Fatalf("%d packs were left, %d were read", second.ProvedPacks, last.ProvedPacks)
	}
	all3 := checked(t, m, s.proving(74, 6, CheckOptions{}))
	if diff := cmp.Diff(map[int]int{6: int(all)}, provedOn(t, m)); diff != "" || all3.ProvedPacks != all {
		t.Fatal(diff)
	}
}

func TestABudgetEndsAtAPackAndIsNoError(t *testing.T) {
	s := newSite()
	m, _ := manyPacks(t, s)
	report := checked(t, m, s.proving(70, 1, CheckOptions{Budget: 1, Readers: 1}))
	if report.ProvedPacks != 1 || report.LeftPacks != report.Packs-1 || report.LeftBytes == 0 {
		t.Fatalf("%+v", report)
	}
	if got := provedOn(t, m)[1]; got != 1 {
		t.Fatalf("%d packs are remembered", got)
	}
}

// Whoever asks for everything within some days gets an even share every day, and all in time.
func TestEverythingIsProvedWithinDays(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, _ := manyPacks(t, s)
	const within = 4
	for d := 1; d <= 12; d++ {
		report := checked(t, m, s.proving(70+d, d, CheckOptions{ProofDays: within}))
		if report.ProvedPacks == 0 || report.ProvedPacks > report.Packs/2+1 {
			t.Fatalf("day %d: %d of %d packs", d, report.ProvedPacks, report.Packs)
		}
		st, err := open(t, m).ProofState(ctx, morning(d).AddDate(0, 0, -within))
		must(t, err)
		if st.DuePacks != 0 || d > within && (st.ProvedPacks != st.Packs || st.ProvedBytes != st.Bytes) {
			t.Fatalf("day %d: %+v", d, st)
		}
	}
	st, err := open(t, m).ProofState(ctx, morning(20))
	must(t, err)
	if st.DuePacks != st.Packs || st.DueBytes != st.Bytes || st.Oldest.Before(morning(12-within)) {
		t.Fatalf("after days without a check: %+v", st)
	}
}

// stopAt ends a context while the n-th pack is opened.
type stopAt struct {
	storage.Backend
	n    int
	stop func()
}

func (b *stopAt) Open(ctx context.Context, name string) (storage.Reader, error) {
	if strings.HasPrefix(name, packsDir) {
		if b.n--; b.n == 0 {
			b.stop()
		}
	}
	return b.Backend.Open(ctx, name)
}

func TestAStoppedCheckKeepsWhatItProved(t *testing.T) {
	s := newSite()
	m, _ := manyPacks(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := Open(ctx, &stopAt{storage.NewDir(m, "/r"), 12, cancel})
	must(t, err)
	defer r.Close() //nolint:errcheck // the test is over
	o := s.proving(70, 1, CheckOptions{Readers: 1})
	_, err = r.Check(ctx, o)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	kept := provedOn(t, m)[1]
	if kept == 0 {
		t.Fatal("nothing is remembered")
	}
	report := checked(t, m, s.proving(71, 1, CheckOptions{Since: morning(1)}))
	if int(report.ProvedPacks) != int(report.Packs)-kept {
		t.Fatalf("%d of %d packs were proved, the next attempt read %d", kept, report.Packs, report.ProvedPacks)
	}
}

// A process that dies has no last word: what it had published until then stays.
func TestAKilledCheckKeepsWhatItPublished(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, _ := manyPacks(t, s)
	p := m.Process()
	r, err := Open(ctx, &stopAt{storage.NewDir(p, "/r"), 12, p.Kill})
	must(t, err)
	o := s.proving(70, 1, CheckOptions{Readers: 1})
	o.publishEvery = 1
	if _, err = r.Check(ctx, o); err == nil {
		t.Fatal("it was killed, and ended well")
	}
	_ = r.Close() // of a process that is dead
	kept := provedOn(t, m)[1]
	report := checked(t, m, s.proving(71, 1, CheckOptions{Since: morning(1)}))
	if kept == 0 || int(report.ProvedPacks) != int(report.Packs)-kept {
		t.Fatalf("%d of %d packs were proved, the next attempt read %d", kept, report.Packs, report.ProvedPacks)
	}
}

func TestWithoutATimeOrKeysLessIsProved(t *testing.T) {
	s := newSite()
	m, _ := manyPacks(t, s)
	o := s.proving(70, 1, CheckOptions{})
	o.Time = time.Time{}
	checked(t, m, o)
	if got := proofs(t, m); len(got) != 0 {
		t.Fatalf("proofs without a time: %v", got)
	}
	checked(t, m, CheckOptions{ReadData: true, Repair: true, Attempt: attemptNumber(71), Time: morning(1)})
	for _, e := range proofs(t, m) {
		if e.Level != proof.Sums || e.Flags != 0 {
			t.Fatalf("without keys: %+v", e)
		}
	}
	report := checked(t, m, s.proving(72, 1, CheckOptions{Since: morning(1)}))
	if report.ProvedPacks != report.Packs {
		t.Fatal("checksums counted as proof of content")
	}
}

// A record that nobody needs cannot be opened: its pack is proved, and not whole.
func TestAPackWithARecordNobodyNeedsIsNotWhole(t *testing.T) {
	s := newSite()
	m, _ := manyPacks(t, s)
	leftBehind(t, s, m)
	checked(t, m, s.proving(70, 1, CheckOptions{}))
	var partly []pack.Key
	for k, e := range proofs(t, m) {
		if !e.Has(proof.Whole) {
			partly = append(partly, k)
		}
	}
	if len(partly) != 1 || partly[0].Attempt != attemptNumber(9) {
		t.Fatalf("not whole: %v", partly)
	}
}

func TestDamageIsRememberedWithTheProof(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, b := manyPacks(t, s)
	name := packName(b.attempt, pack.Data, 2)
	must(t, m.Flip("/r/"+name, pack.HeaderSize+seal.HeaderSize+9, 2))
	report, err := open(t, m).Check(ctx, s.proving(70, 1, CheckOptions{}))
	if err != nil || len(report.Findings) != 1 || report.Findings[0].Owner != "web1" {
		t.Fatalf("%+v, %v", report.Findings, err)
	}
	e := proofs(t, m)[pack.Key{Attempt: b.attempt, Class: pack.Data, Number: 2}]
	if e.Level != proof.Content || !e.Has(proof.Damaged) || e.Has(proof.Whole) {
		t.Fatalf("%+v", e)
	}
	st, err := open(t, m).ProofState(ctx, time.Time{})
	if err != nil || st.DamagedPacks != 1 || st.LostChunks != 1 || st.DuePacks != 0 || st.ProvedPacks != st.Packs {
		t.Fatalf("%+v, %v", st, err)
	}
	heal := &backup{s: s, computer: "web1", attempt: attemptNumber(5), files: b.files}
	_, err = heal.run(ctx, open(t, m))
	must(t, err)
	if st, err = open(t, m).ProofState(ctx, time.Time{}); err != nil || st.LostChunks != 0 {
		t.Fatalf("after healing: %+v, %v", st, err)
	}
}

func TestProofsAreFoldedAndForgetPacksThatAreGone(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, b := manyPacks(t, s)
	for d := 1; d <= maxProofs+1; d++ {
		checked(t, m, s.proving(70+d, d, CheckOptions{Sample: 0.2}))
	}
	before := proofs(t, m)
	gone := pack.Key{Attempt: b.attempt, Class: pack.Data, Number: 3}
	must(t, m.Remove("/r/"+nameOf(gone)))
	must(t, storage.NewDir(m, "/r").Put(ctx, proofName(attemptNumber(60), 1), []byte("no proof")))
	r := open(t, m)
	must(t, r.FoldProofs(ctx, attemptNumber(90)))
	delete(before, gone)
	if diff := cmp.Diff(before, proofs(t, m)); diff != "" {
		t.Fatal(diff)
	}
	names := func() (out []string) {
		for _, i := range objects(t, m) {
			if strings.HasPrefix(i.Name, proofsDir+"/") {
				out = append(out, i.Name)
			}
		}
		return out
	}
	if diff := cmp.Diff([]string{proofName(attemptNumber(90), 1)}, names()); diff != "" {
		t.Fatal(diff)
	}
	must(t, r.FoldProofs(ctx, attemptNumber(91)))
	if len(names()) != 1 {
		t.Fatal("one was folded into another")
	}
}

// A crash between any two steps of folding forgets no proof.
func TestACrashWhileProofsAreFoldedForgetsNone(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, _ := manyPacks(t, s)
	for d := 1; d <= maxProofs+1; d++ {
		checked(t, m, s.proving(70+d, d, CheckOptions{Sample: 0.2}))
	}
	want := proofs(t, m)
	m.Record()
	states := m.States()
	var steps int
	for n := 1; ; n++ {
		disk := states[len(states)-1].Reopen()
		r, err := Open(ctx, storage.NewDir(disk, "/r"))
		must(t, err)
		disk.DieAt(disk.Calls() + n)
		err = r.FoldProofs(ctx, attemptNumber(90))
		_ = r.Close()
		if diff := cmp.Diff(want, proofs(t, disk.Restart(uint64(n)))); diff != "" {
			t.Fatalf("crash at %d: %s", n, diff)
		}
		if err == nil {
			break
		}
		steps = n
	}
	if steps < maxProofs {
		t.Fatalf("%d steps: the test proves nothing", steps)
	}
}

func TestAnotherComputerReliesOnAWholePack(t *testing.T) {
	ctx := context.Background()
	for _, proved := range []bool{false, true} {
		t.Run(fmt.Sprintf("proved %v", proved), func(t *testing.T) {
			s := newSite()
			m, b := manyPacks(t, s)
			if proved {
				checked(t, m, s.proving(70, 1, CheckOptions{}))
			}
			other := &backup{s: s, computer: "db1", attempt: attemptNumber(2), files: b.files}
			stats, err := other.run(ctx, open(t, m))
			must(t, err)
			if (stats.Proved == 0) != proved {
				t.Fatalf("%d chunks were opened again", stats.Proved)
			}
			files, failed, err := restore(ctx, open(t, m), s, "db1", other.attempt)
			if diff := cmp.Diff(b.files, files); err != nil || diff != "" || len(failed) > 0 {
				t.Fatalf("%v, failed %v, diff %s", err, failed, diff)
			}
		})
	}
}

// More than memory holds of what is needed goes through scratch files, to the same end.
func TestNeedsGoThroughScratchFiles(t *testing.T) {
	s := newSite()
	m, _ := manyPacks(t, s)
	o := s.proving(70, 1, CheckOptions{Scratch: t.TempDir(), Rate: 1 << 30})
	o.scratchMemory = 100
	report := checked(t, m, o)
	if days := provedOn(t, m); days[1] != int(report.Packs) {
		t.Fatalf("%v of %d", days, report.Packs)
	}
}
