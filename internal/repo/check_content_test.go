package repo

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

// flipped is content with one bit of bad memory.
func flipped(content []byte) []byte {
	out := slices.Clone(content)
	out[len(out)/2] ^= 4
	return out
}

// spoilFirst spoils the first chunk of a kind that has wanted content (nil: any), and answers
// where its id will stand.
func spoilFirst(kind seal.Kind, wanted []byte) (func(fileindex.Chunk) []byte, *seal.ID) {
	var id seal.ID
	return func(c fileindex.Chunk) []byte {
		if c.Kind != kind || id != (seal.ID{}) || wanted != nil && string(wanted) != string(c.Content) {
			return c.Content
		}
		id = c.H.ID()
		return flipped(c.Content)
	}, &id
}

// What was spoiled before it was sealed has good checksums: only opening it shows it.
func TestContentThatDoesNotMatchItsHashIsNamedWithItsFiles(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct {
		name string
		kind seal.Kind
		all  bool // files of the point are lost
	}{
		{"data", seal.KindData, false},
		{"node", seal.KindNode, true},
		{"root", seal.KindRoot, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite()
			m := disk(t, s)
			spoiled, honest := historyBackups(s)[0], historyBackups(s)[1]
			_, err := honest.run(ctx, open(t, m))
			must(t, err)
			path := "dir0/file0"
			spoiled.files[path] = "what db1 has not " + spoiled.files[path]
			var wanted []byte
			if test.kind == seal.KindData {
				wanted = []byte(chunks(spoiled.files[path])[0])
			}
			var id *seal.ID
			spoiled.spoil, id = spoilFirst(test.kind, wanted)
			_, err = spoiled.run(ctx, open(t, m))
			must(t, err)
			if *id == (seal.ID{}) {
				t.Fatal("nothing was spoiled")
			}

			report, err := open(t, m).Check(ctx, CheckOptions{ReadData: true})
			if err != nil || len(report.Findings) != 0 || report.ProvedChunks != 0 {
				t.Fatalf("without keys: %+v, %v: it was not sealed properly, the test proves nothing", report, err)
			}
			r := open(t, m)
			l, _ := r.Lookup(ctx, *id)
			report, err = r.Check(ctx, s.check(CheckOptions{ReadData: true, Repair: true, Attempt: attemptNumber(70)}))
			must(t, err)
			if len(report.Findings) != 1 || report.Clean() {
				t.Fatalf("findings %+v", report.Findings)
			}
			f := report.Findings[0]
			if f.Object != "chunk" || f.Code != "chunk.content" || f.Name != l.PackName() || f.Chunk != id.String() {
				t.Fatalf("finding %+v", f)
			}
			for file := range spoiled.files {
				if lost := test.all || file == path; lost != named(report, spoiled.attempt, file) {
					t.Fatalf("%s: lost %v: %+v", file, lost, f)
				}
			}
			if slices.ContainsFunc(f.Affected, func(a AffectedFile) bool { return a.Point != spoiled.attempt || a.Computer != "web1" }) {
				t.Fatalf("affected %+v", f.Affected)
			}
			if _, there := open(t, m).Lookup(ctx, *id); there {
				t.Fatal("the chunk was not marked as damaged")
			}

			heal := &backup{s: s, computer: "web1", attempt: attemptNumber(5), files: spoiled.files}
			r = open(t, m)
			_, err = heal.run(ctx, r)
			must(t, err)
			for _, b := range []*backup{spoiled, honest, heal} {
				files, failed, err := restore(ctx, r, s, b.computer, b.attempt)
				must(t, err)
				if diff := cmp.Diff(b.files, files); diff != "" || len(failed) > 0 {
					t.Fatalf("after healing: failed %v, diff %s", failed, diff)
				}
			}
			report, err = r.Check(ctx, s.check(CheckOptions{ReadData: true}))
			if err != nil || !report.Clean() {
				t.Fatalf("after healing: %+v, %v", report.Findings, err)
			}
		})
	}
}

// Of two copies the good one serves, and the bad one is marked, so that no restore reads it.
func TestABadCopyBesideAGoodOneLosesNothing(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct {
		name string
		kind seal.Kind
		bad  int // attempt
	}{
		{"data, the bad one is found first", seal.KindData, 1},
		{"data, the good one is found first", seal.KindData, 3},
		{"node, the bad one is found first", seal.KindNode, 1},
		{"node, the good one is found first", seal.KindNode, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite()
			m := disk(t, s)
			bad := &backup{s: s, computer: "web1", attempt: attemptNumber(test.bad), files: someFiles(4, 2500, 1)}
			good := &backup{s: s, computer: "db1", attempt: attemptNumber(2), files: bad.files}
			var id *seal.ID
			bad.spoil, id = spoilFirst(test.kind, nil)
			// Both begin before either has published, so both store everything.
			r1, r2 := open(t, m), open(t, m)
			_, err := bad.run(ctx, r1)
			must(t, err)
			_, err = good.run(ctx, r2)
			must(t, err)

			r := open(t, m)
			if n := len(r.Locations(ctx, *id)); n != 2 {
				t.Fatalf("%d copies", n)
			}
			report, err := r.Check(ctx, s.check(CheckOptions{ReadData: true}))
			if err != nil || !report.Clean() || len(report.Findings) != 1 || report.Findings[0].Code != "chunk.content" || report.Findings[0].AffectedTotal != 0 {
				t.Fatalf("%+v, %v", report.Findings, err)
			}
			_, err = r.Check(ctx, s.check(CheckOptions{ReadData: true, Repair: true, Attempt: attemptNumber(70)}))
			must(t, err)
			for _, b := range []*backup{bad, good} {
				files, failed, err := restore(ctx, open(t, m), s, b.computer, b.attempt)
				if diff := cmp.Diff(b.files, files); err != nil || diff != "" || len(failed) > 0 {
					t.Fatalf("%s: %v, failed %v, diff %s", b.computer, err, failed, diff)
				}
			}
		})
	}
}

// meter counts what is read of each object.
type meter struct {
	storage.Backend
	mu   sync.Mutex
	read map[string]int64
}

type meterReader struct {
	storage.Reader
	m    *meter
	name string
}

func (m *meter) Open(ctx context.Context, name string) (storage.Reader, error) {
	rd, err := m.Backend.Open(ctx, name)
	return meterReader{rd, m, name}, err
}

func (r meterReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := r.Reader.ReadAt(b, off)
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.m.read[r.name] += int64(n)
	return n, err
}

// leftBehind stores a chunk that no point needs.
func leftBehind(t testing.TB, s *site, m *memfs.FS) {
	t.Helper()
	ctx := context.Background()
	keys := s.keys("web1")
	w, err := open(t, m).NewWriter(context.Background(), WriterOptions{Attempt: attemptNumber(9), Owner: s.owner("web1")})
	must(t, err)
	defer w.Abort()
	sealer, err := seal.NewSealer(keys, seal.CompressNone)
	must(t, err)
	content := []byte(strings.Repeat("nobody's ", 50))
	must(t, (&saver{w: w, sealer: sealer}).Save(ctx, fileindex.Chunk{Kind: seal.KindData, H: keys.NewHasher().Hash(seal.KindData, content), Content: content}))
	must(t, w.Flush(ctx))
}

func TestEveryByteOfDataIsReadOnce(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, backups := twoBackups(t, s)
	leftBehind(t, s, m)
	d := &meter{Backend: storage.NewDir(m, "/r"), read: map[string]int64{}}
	r, err := Open(ctx, d)
	must(t, err)
	defer r.Close() //nolint:errcheck // the test is over
	clear(d.read)
	var mu sync.Mutex
	var done, total int64
	o := s.check(CheckOptions{ReadData: true, Progress: func(n, of int64) {
		mu.Lock()
		defer mu.Unlock()
		done, total = max(done, n), of
	}})
	report, err := r.Check(ctx, o)
	if err != nil || len(report.Findings) != 0 {
		t.Fatalf("%+v, %v", report.Findings, err)
	}
	var packs int64
	for _, info := range objects(t, m) {
		if _, class, _, err := parsePackName(info.Name); err == nil {
			packs += info.Size
			// Header, records, directory and footer are the whole pack.
			if class == pack.Data && d.read[info.Name] != info.Size {
				t.Errorf("%s: %d bytes read of %d", info.Name, d.read[info.Name], info.Size)
			}
		}
	}
	if done != packs || total != packs {
		t.Errorf("progress ended with %d of %d, the packs have %d", done, total, packs)
	}
	distinct := map[string]bool{}
	var want int64
	for _, b := range backups {
		for _, content := range b.files {
			for _, c := range chunks(content) {
				if !distinct[c] {
					distinct[c] = true
					want += int64(len(c))
				}
			}
		}
	}
	// Besides the data the roots and nodes of both points were opened, which are small here.
	if n := report.ProvedChunks - int64(len(distinct)); n < 4 || n > 8 {
		t.Errorf("%d chunks proved, %d of them data", report.ProvedChunks, len(distinct))
	}
	if n := report.ProvedBytes - want; n < 0 || n > 8<<10 {
		t.Errorf("%d bytes proved, %d of them data", report.ProvedBytes, want)
	}
}

func TestADamagedChunkThatNoPointNeedsIsFound(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, _ := twoBackups(t, s)
	leftBehind(t, s, m)
	name := packName(attemptNumber(9), pack.Data, 1)
	must(t, m.Flip("/r/"+name, pack.HeaderSize+seal.HeaderSize+9, 2))
	report, err := open(t, m).Check(ctx, s.check(CheckOptions{ReadData: true}))
	must(t, err)
	if len(report.Findings) != 1 || report.Findings[0].Name != name || report.Findings[0].Code != "chunk.damaged" || report.Findings[0].AffectedTotal != 0 {
		t.Fatalf("%+v", report.Findings)
	}
}

// Keys that lack an epoch open nothing of it; that is said, and nothing is marked for it.
func TestChunksThatTheKeysDoNotOpenAreNotMarked(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, backups := twoBackups(t, s)
	before := objects(t, m)
	o := s.check(CheckOptions{ReadData: true, Repair: true, Attempt: attemptNumber(70)})
	delete(o.Keys.Epochs, s.master.Epoch)
	report, err := open(t, m).Check(ctx, o)
	must(t, err)
	if report.Clean() || len(report.Findings) != len(backups) {
		t.Fatalf("%+v", report.Findings)
	}
	for _, f := range report.Findings {
		if f.Code != "chunk.keys" {
			t.Fatalf("%+v", f)
		}
	}
	if diff := cmp.Diff(before, objects(t, m)); diff != "" {
		t.Fatal(diff)
	}
}

// What an agent of another version, or a bad one, put in the place of a root is well sealed:
// the check goes on, names the point, and marks nothing.
func TestMetadataThatCannotBeReadIsNamedAndNotMarked(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, _ := twoBackups(t, s)
	b := &backup{s: s, computer: "web1", attempt: attemptNumber(8)}
	w, err := b.writer(open(t, m))
	must(t, err)
	defer w.Abort()
	keys := s.keys("web1")
	sealer, err := seal.NewSealer(keys, seal.CompressNone)
	must(t, err)
	content := []byte("\x09not a root")
	h := keys.NewHasher().Hash(seal.KindRoot, content)
	must(t, (&saver{w: w, sealer: sealer}).Save(ctx, fileindex.Chunk{Kind: seal.KindRoot, H: h, Content: content}))
	body, err := point.SealBody(keys.ComputerKey, s.id, b.attempt, point.Body{Root: h})
	must(t, err)
	issue, err := b.issue()
	must(t, err)
	must(t, w.Commit(ctx, point.Draft{Type: point.Complete, RootID: h.ID(), Body: body}, issue))

	before := objects(t, m)
	report, err := open(t, m).Check(ctx, s.check(CheckOptions{ReadData: true, Repair: true, Attempt: attemptNumber(70)}))
	must(t, err)
	want := []AffectedFile{{Point: b.attempt, Computer: "web1"}}
	if len(report.Findings) != 1 || report.Findings[0].Code != "chunk.form" || report.Points != 3 {
		t.Fatalf("%+v", report)
	}
	if diff := cmp.Diff(want, report.Findings[0].Affected); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff(before, objects(t, m)); diff != "" {
		t.Fatal(diff)
	}
}

// A point whose sealed parts do not open is said to be lost, though its checksum is good.
func TestAPointThatDoesNotOpenIsNamedOnce(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, backups := twoBackups(t, s)
	b := backups[0]
	content, err := open(t, m).Point(ctx, b.attempt)
	must(t, err)
	p, err := point.Parse(content)
	must(t, err)
	issue, err := b.issue()
	must(t, err)
	p.Body[len(p.Body)/2] ^= 1
	must(t, m.Remove("/r/"+pointName(b.attempt)))
	must(t, storage.NewDir(m, "/r").Put(ctx, pointName(b.attempt), point.Encode(s.id, b.attempt, point.Draft{Type: p.Type, RootID: p.RootID, Refs: p.Refs, Body: p.Body}, issue)))
	r := open(t, m)
	l, _ := r.Lookup(ctx, p.RootID)
	// With other damage below it the point is opened a second time.
	for damage, findings := range []int{1, 2} {
		if damage == 1 {
			must(t, m.Flip("/r/"+l.PackName(), int(l.Offset)+seal.HeaderSize+50, 1))
		}
		report, err := r.Check(ctx, s.check(CheckOptions{ReadData: true}))
		must(t, err)
		if len(report.Findings) != findings || report.Findings[0].Code != "point.sealed" || report.Findings[0].Name != pointName(b.attempt) || report.Clean() {
			t.Fatalf("%+v", report.Findings)
		}
	}
}
