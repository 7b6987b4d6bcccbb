package pipeline

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// years is a directory of small files of which some change before each backup.
type years struct {
	*site
	r      *rand.Rand
	files  int
	parent string
	res    Result
	// changed are the bytes of files that were written, anew those of the others that were
	// opened, since the first backup.
	changed, anew int64
}

const yearsFiles = 300 // of 8 to 24 KiB

func newYears(t *testing.T) *years {
	y := &years{site: newSite(t), r: rand.New(rand.NewPCG(3, 4)), files: yearsFiles}
	y.age()
	y.opts.Compression = seal.CompressNone
	y.opts.Workers = 1
	for i := range y.files {
		y.fill(i)
	}
	y.parent, y.res = y.backup("")
	return y
}

func (y *years) name(i int) string { return fmt.Sprintf("d%d/f%03d", i%7, i) }

func (y *years) fill(i int) int64 {
	n := 8<<10 + y.r.IntN(16<<10)
	y.write(y.name(i), noise(byte(y.r.Int()), n))
	return int64(n)
}

// change writes n files anew and answers their paths.
func (y *years) change(n int) map[string]bool {
	changed := map[string]bool{}
	for _, i := range y.r.Perm(y.files)[:n] {
		y.changed += y.fill(i)
		changed[y.path(y.name(i))] = true
	}
	return changed
}

// next backs up and answers which files were opened though they did not change.
func (y *years) next(changed map[string]bool) []string {
	y.t.Helper()
	var anew []string
	y.opts.Hooks.Opened = func(path []byte) {
		if p := "/" + strings.TrimPrefix(string(path), "/"); !changed[p] {
			anew = append(anew, p)
			st, err := os.Stat(p)
			if err == nil {
				y.anew += st.Size()
			}
		}
	}
	y.parent, y.res = y.backup(y.parent)
	return anew
}

// opened is how many bytes have to be opened to restore the point, by those it holds.
func (y *years) opened() float64 {
	y.t.Helper()
	seen, held, opened := map[seal.H]bool{}, int64(0), int64(0)
	for _, e := range y.own(y.res) {
		for _, x := range e.Extents {
			if x.Kind > fileindex.InBundle {
				continue
			}
			held += x.Len
			if !seen[x.H] {
				seen[x.H] = true
				rec, err := seal.ParseRecord(y.store.records[x.H.ID()])
				if err != nil {
					y.t.Fatal(err)
				}
				opened += int64(rec.RawLen)
			}
		}
	}
	return float64(opened) / float64(held)
}

// Generation after generation the point is right, what has to be opened to restore it stays
// bounded, and what was read for that is less than half of what changed.
func TestThinBundlesAreDissolved(t *testing.T) {
	y := newYears(t)
	worst := 0.0
	for range 40 {
		y.next(y.change(yearsFiles / 15))
		worst = max(worst, y.opened())
	}
	y.same(y.res)
	t.Logf("at most %.2f bytes are opened for one; %d changed, %d were bundled anew", worst, y.changed, y.anew)
	if worst > 2 { // 3.3 without the rule
		t.Errorf("%.2f bytes are opened for one", worst)
	}
	if y.anew == 0 || y.anew > y.changed/changedPerAnew {
		t.Errorf("%d bytes were bundled anew for %d that changed", y.anew, y.changed)
	}
}

// thinned goes on until there are bundles for the next run to dissolve.
func thinned(t *testing.T) *years {
	t.Helper()
	y := newYears(t)
	for range 40 {
		y.next(y.change(yearsFiles / 15))
		var r renewal
		if r.parse(y.res.Root.Thin); len(r.dissolve) >= 3 {
			return y
		}
	}
	t.Fatal("no bundle became thin")
	return nil
}

func TestWhereNothingChangedNothingIsBundledAnew(t *testing.T) {
	y := thinned(t)
	was := y.res
	for range 3 {
		if anew := y.next(nil); len(anew) > 0 {
			t.Fatalf("%d files were opened, %s among them", len(anew), anew[0])
		}
	}
	if d := cmp.Diff(y.own(was), y.own(y.res)); d != "" {
		t.Errorf("entries (-then +now):\n%s", d)
	}
	// It waits for a run that has something to store anyway.
	if anew := y.next(y.change(yearsFiles / 10)); len(anew) == 0 {
		t.Error("nothing was bundled anew afterwards")
	}
}

func TestWhatIsBundledAnewKeepsItsEntry(t *testing.T) {
	y := thinned(t)
	was := y.own(y.res)
	changed := y.change(yearsFiles / 10)
	anew := y.next(changed)
	if len(anew) == 0 {
		t.Fatal("nothing was bundled anew")
	}
	now := y.own(y.res)
	y.same(y.res)
	for _, p := range anew {
		name := strings.TrimPrefix(p, y.dir+"/")
		a, b := was[name], now[name]
		if slices.Equal(a.Extents, b.Extents) {
			t.Errorf("%s was read and lies where it lay", name)
		}
		a.Extents, b.Extents = nil, nil
		if d := cmp.Diff(a, b); d != "" {
			t.Errorf("%s (-before +after):\n%s", name, d)
		}
	}
	if c := y.count.Proto(); c.GetChangedFiles() > int64(len(changed))+2 { // the directories above the site are not its own
		t.Errorf("%d files count as changed, %d were", c.GetChangedFiles(), len(changed))
	}
}

// A file that changes between the walk and its reading is a changed file like any other.
func TestWhatIsBundledAnewMayChangeMeanwhile(t *testing.T) {
	y := thinned(t)
	changed := y.change(yearsFiles / 10)
	var late []string
	y.opts.Hooks.Opened = func(path []byte) {
		if p := "/" + strings.TrimPrefix(string(path), "/"); !changed[p] && len(late) < 5 {
			late = append(late, p)
			if err := os.WriteFile(p, noise(7, 2000+100*len(late)), 0o644); err != nil {
				t.Error(err)
			}
		}
	}
	y.parent, y.res = y.backup(y.parent)
	if len(late) == 0 {
		t.Fatal("nothing was bundled anew")
	}
	y.same(y.res)
	y.next(nil)
	y.same(y.res)
}

// What could not be read need not have been: the point has what the parent had.
func TestWhatCannotBeBundledAnewStaysAsItWas(t *testing.T) {
	var events []Event
	reports := &reports{count: &Counters{}, to: func(e Event) { events = append(events, e) }}
	right := fileindex.Entry{Path: []byte("a/b"), Type: fileindex.File, Size: 3, Extents: []fileindex.Extent{{Kind: fileindex.InBundle, H: seal.H{1}, Len: 3}}}
	it := work{e: &fileindex.Entry{Path: []byte("a/b"), Type: fileindex.File, Size: 9, State: fileindex.Racy}, right: right.Clone()}
	(&worker{reports: reports}).lose(&it, errs.New(errs.Denied, "test", "open a/b: denied"))
	if d := cmp.Diff(&right, it.e); d != "" {
		t.Errorf("entry (-want +got):\n%s", d)
	}
	if len(events) > 0 {
		t.Errorf("events: %v", events)
	}
}

// A run that was killed in the middle goes on: what it had bundled anew stays so.
func TestBundlingAnewIsGoneOnWith(t *testing.T) {
	y := thinned(t)
	y.opts.CheckpointBytes = 1
	y.store.first = nil
	var changed map[string]bool
	var parent string
	for range 30 { // a checkpoint is made only where something was sent by then
		changed, parent = y.change(yearsFiles/10), y.parent
		if anew := y.next(changed); len(anew) > 0 && y.store.first != nil {
			break
		}
		y.store.first = nil
	}
	p, err := point.Parse(y.store.first)
	if err != nil {
		t.Fatalf("the checkpoint: %v", err)
	}
	body, err := point.OpenBody(y.store.keys.ComputerKey, &p)
	if err != nil {
		t.Fatal(err)
	}
	y.store.points[y.parent] = y.store.first
	y.opts.Checkpoint, y.parent = y.parent, parent
	anew := y.next(changed)
	y.same(y.res)
	for _, path := range anew {
		if bytes.Compare(fileindex.PathKey([]byte(path[1:])), body.Last) <= 0 {
			t.Errorf("%s was opened again, which the checkpoint has", path)
		}
	}
}

// entryIn makes an entry of n bytes that are a member of a bundle.
func entryIn(bundle uint64, member uint32, n int64) *fileindex.Entry {
	x := fileindex.Extent{Kind: fileindex.InBundle, Member: member, Len: n}
	binary.LittleEndian.PutUint64(x.H[:], bundle)
	return &fileindex.Entry{Type: fileindex.File, Size: n, Extents: []fileindex.Extent{x}}
}

func TestThinnestBundlesAreChosen(t *testing.T) {
	type use struct {
		bundle uint64
		member uint32
		n      int64
	}
	many := func(bundle uint64, members int, n int64) (list []use) {
		for i := range members {
			list = append(list, use{bundle, uint32(i), n})
		}
		return list
	}
	for _, c := range []struct {
		name   string
		uses   []use
		credit int64
		want   []bundleName
	}{
		{"none", nil, 1 << 20, nil},
		{"one that is all in use", many(1, 10, 10<<10), 1 << 20, nil},
		{"well used, of how many ever", append(many(1, 10, 26<<10), use{1, 90, 10}), 1 << 30, nil},
		{"a tiny one", many(1, 3, 10<<10), 1 << 20, []bundleName{1}},
		{"half of it and less", append(many(1, 10, 10<<10), use{1, 30, 10}), 1 << 20, []bundleName{1}},
		{"no credit", many(1, 3, 10<<10), 0, nil},
		{"too little for a whole one", many(1, 3, 10<<10), 30<<10 - 1, nil},
		{"thinnest first, while there is credit", slices.Concat(many(9, 5, 10<<10), many(8, 1, 10<<10), many(7, 3, 10<<10)), 40 << 10, []bundleName{7, 8}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var u uses
			for _, x := range c.uses {
				u.add(entryIn(x.bundle, x.member, x.n))
			}
			if d := cmp.Diff(c.want, u.choose(c.credit)); d != "" {
				t.Errorf("chosen (-want +got):\n%s", d)
			}
		})
	}
}

// However many bundles there are, counting them takes the same memory.
func TestCountingBundlesIsBounded(t *testing.T) {
	var u uses
	r := rand.New(rand.NewPCG(1, 2))
	for range 3 * maxCounted {
		u.add(entryIn(r.Uint64(), 0, 1000))
	}
	if len(u.few) > maxCounted || len(u.well) != wellBits/64 {
		t.Errorf("%d bundles are counted, %d words", len(u.few), len(u.well))
	}
	if n := len(u.choose(maxCredit)); n != maxNoted {
		t.Errorf("%d are noted, want %d", n, maxNoted)
	}
}

func TestCreditIsBounded(t *testing.T) {
	for _, c := range []struct {
		name string
		r    renewal
		want int64
	}{
		{"nothing changed", renewal{credit: 100}, 100},
		{"half of what changed", renewal{changed: 100}, 50},
		{"what was used is gone", renewal{credit: 100, anew: 70, changed: 100}, 80},
		{"little is kept", renewal{credit: maxCredit, changed: 100}, keptCredit + 50},
		{"no run takes more than so much", renewal{credit: 100, changed: 5 * maxCredit}, maxCredit},
	} {
		if got := c.r.left(); got != c.want {
			t.Errorf("%s: %d is left, want %d", c.name, got, c.want)
		}
	}
	r := renewal{parent: true, credit: 250, changed: 1, dissolve: map[bundleName]struct{}{1: {}}}
	var wanted int
	for i := range 5 {
		if r.wants(entryIn(1, uint32(i), 100)) {
			wanted++
		}
	}
	if wanted != 2 || r.anew != 200 {
		t.Errorf("%d files of 100 bytes for a credit of 250", wanted)
	}
	var first renewal
	if first.sees(entryIn(1, 0, 100)); first.left() != 0 {
		t.Error("a first backup has credit, though nothing changed")
	}
}

// A note is a parent's, so it may be anything.
func FuzzThinNote(f *testing.F) {
	f.Add(note(1<<20, []bundleName{1, 1 << 60}))
	f.Add(note(0, nil))
	f.Add([]byte{0x80})
	f.Add(append(binary.AppendUvarint(nil, 1<<63), make([]byte, 8)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r renewal
		r.parse(b)
		if r.credit < 0 || r.credit > maxCredit || len(r.dissolve) > maxNoted || !r.parent {
			t.Fatalf("parsed as %+v", r)
		}
		var again renewal
		var names []bundleName
		for name := range r.dissolve {
			names = append(names, name)
		}
		if again.parse(note(r.credit, names)); r.credit > 0 && (again.credit != r.credit || len(again.dissolve) != len(r.dissolve)) {
			t.Fatalf("%+v came back as %+v", r, again)
		}
	})
}

// BenchmarkCountingBundles is what the rule costs a run for each file.
func BenchmarkCountingBundles(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	entries := make([]*fileindex.Entry, 1<<16)
	var name uint64
	for i := range entries {
		if i%50 == 0 {
			name = r.Uint64()
		}
		entries[i] = entryIn(name, uint32(i%50), 8<<10)
	}
	var u uses
	for i := 0; b.Loop(); i++ {
		u.add(entries[i%len(entries)])
	}
}
