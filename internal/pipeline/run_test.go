package pipeline

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// noise is content that neither compresses nor repeats.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed, byte(n), byte(n >> 8)}).Read(b) // never fails
	return b
}

// fillTree writes files of every size that the pipeline treats differently.
func fillTree(s *site) {
	for i := range 700 {
		s.write(fmt.Sprintf("small/d%02d/f%03d", i%17, i), noise(byte(i), i*7%3000))
	}
	s.write("empty", nil)
	s.write("zeros", make([]byte, 5000))
	s.write("large-zeros", make([]byte, 3<<20))
	s.write("just-small", noise(1, seal.SmallFile-1))
	s.write("just-large", noise(2, seal.SmallFile))
	s.write("large", noise(3, 9<<20))
	s.write("huge", noise(4, 21<<20+12345))
	mixed := noise(5, 4<<20)
	clear(mixed[1<<20 : 2<<20+500])
	clear(mixed[3<<20:])
	s.write("mixed", mixed)
	s.write("a/b", []byte("x"))
	s.write("a.b", []byte("y"))
	s.write("bad-\xff-name", []byte("z"))
}

func TestFirstBackupHoldsEveryByte(t *testing.T) {
	s := newSite(t)
	fillTree(s)
	_, res := s.backup("")
	s.same(res)
	if len(s.events) > 0 {
		t.Errorf("events: %v", s.events)
	}
	got := s.tree(res)["large-zeros"].Extents
	want := []fileindex.Extent{{Kind: fileindex.Zeros, Len: 3 << 20}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("zeros are stored as (-want +got):\n%s", d)
	}
	dirs := int64(0)
	for _, e := range s.tree(res) {
		if e.Type == fileindex.Dir {
			dirs++
		}
	}
	if c := s.count.Proto(); c.GetReadFiles() != 700+11 || c.GetErrors() != 0 || c.GetDoneDirs() != dirs || c.GetDoneFiles() != res.Body.Files {
		t.Errorf("counters: %v; there are %d directories among %d entries", c, dirs, res.Body.Files)
	}
}

func TestUnchangedFilesAreNotOpened(t *testing.T) {
	s := newSite(t)
	s.age()
	fillTree(s)
	first, b := s.backup("")
	s.opts.Hooks.Opened = func(path []byte) { t.Errorf("%s was opened", path) }
	_, c := s.backup(first)
	if d := cmp.Diff(s.own(b), s.own(c)); d != "" {
		t.Errorf("entries (-first +second):\n%s", d)
	}
	s.same(c)
	// The directories above the site are not its own; they may change meanwhile.
	got := s.count.Proto()
	if got.GetReadFiles() != 0 || got.GetReadBytes() != 0 || got.GetReusedFiles()+got.GetChangedFiles() != b.Body.Files || got.GetChangedFiles() > 2 {
		t.Errorf("counters: %v of %d", got, b.Body.Files)
	}
	if got.GetSentBytes() > 20<<10 {
		t.Errorf("%d bytes were sent for nothing", got.GetSentBytes())
	}
}

func TestIncrementalReadsWhatChanged(t *testing.T) {
	s := newSite(t)
	s.age()
	fillTree(s)
	first, _ := s.backup("")
	s.write("small/d03/f003", []byte("changed"))
	s.write("small/new", []byte("new"))
	if err := os.Remove(s.path("small/d05/f005")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.path("large"), s.path("moved")); err != nil {
		t.Fatal(err)
	}
	var opened []string
	s.opts.Hooks.Opened = func(path []byte) { opened = append(opened, string(path[len(s.dir):])) }
	s.opts.Workers = 1
	_, res := s.backup(first)
	s.same(res)
	slices.Sort(opened)
	if d := cmp.Diff([]string{"moved", "small/d03/f003", "small/new"}, opened); d != "" {
		t.Errorf("opened (-want +got):\n%s", d)
	}
	c := s.count.Proto()
	if c.GetDeletedFiles() != 2 || c.GetNewFiles() != 2 || c.GetReadFiles() != 3 {
		t.Errorf("counters: %v", c)
	}
	if c.GetSentBytes() > 200<<10 {
		t.Errorf("%d bytes were sent: the moved file was stored again", c.GetSentBytes())
	}
}

func TestSecondComputerSharesBundles(t *testing.T) {
	s := newSite(t)
	fillTree(s)
	s.backup("")
	sent := s.count.Proto().GetSentBytes()
	copied := newSite(t)
	copied.store = s.store
	copied.opts.Keys = s.opts.Keys
	fillTree(copied)
	copied.backup("")
	if again := copied.count.Proto().GetSentBytes(); again > sent/50 {
		t.Errorf("the same data under another directory sent %d of %d bytes", again, sent)
	}
}

func TestFullReadsEverything(t *testing.T) {
	s := newSite(t)
	s.write("f", []byte("x"))
	first, _ := s.backup("")
	s.opts.Full = true
	s.backup(first)
	if c := s.count.Proto(); c.GetReadFiles() != 1 || c.GetReusedFiles() != 0 {
		t.Errorf("counters: %v", c)
	}
}

func TestStoreFailureEndsTheBackupWithItsReason(t *testing.T) {
	s := newSite(t)
	fillTree(s)
	s.store.putErr, s.store.failAt = errs.New(errs.NoSpace, "repository.full", "no space left"), 3
	_, _, err := s.run("")
	if errs.KindOf(err) != errs.NoSpace || errs.CodeOf(err) != "repository.full" {
		t.Errorf("error: %v", err)
	}
}

func TestNothingToTakeFails(t *testing.T) {
	s := newSite(t)
	s.opts.Selection.Include = []string{s.path("gone"), s.path("gone too")}
	_, _, err := s.run("")
	if errs.CodeOf(err) != "include.none" {
		t.Errorf("error: %v", err)
	}
	if d := cmp.Diff([]string{"warning include.missing gone", "warning include.missing gone too"}, s.codes()); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}

func TestCheckpointIsGoneOnFrom(t *testing.T) {
	const files = 2500
	s := newSite(t)
	s.age()
	var names []string
	for i := range files {
		names = append(names, fmt.Sprintf("d%d/f%04d", i/500, i))
		s.write(names[i], noise(byte(i), 4096+i%100))
	}
	s.opts.CheckpointBytes = 1
	name, _ := s.backup("")
	if s.store.first == nil {
		t.Fatal("no checkpoint was made")
	}
	// The attempt is taken back to where its first checkpoint left it.
	s.store.points[name] = s.store.first
	p, err := point.Parse(s.store.first)
	if err != nil {
		t.Fatal(err)
	}
	body, err := point.OpenBody(s.store.keys.ComputerKey, &p)
	if err != nil || p.Type != point.Checkpoint || body.Completeness != point.Unfinished {
		t.Fatalf("checkpoint %+v, body %+v, error %v", p, body, err)
	}
	f := &fetcher{store: s.store, keys: s.store.keys}
	defer f.close()
	root, err := fileindex.FetchRoot(t.Context(), f, body.Root)
	if err != nil {
		t.Fatal(err)
	}
	ahead := s.entries(seal.KindNode, root.Ahead)
	var want []string
	for _, n := range names {
		if ahead[n] == nil && bytes.Compare(fileindex.PathKey([]byte(s.path(n)[1:])), body.Last) > 0 {
			want = append(want, n)
		}
	}
	var opened []string
	s.opts.Workers = 1
	s.opts.Hooks.Opened = func(path []byte) { opened = append(opened, string(path[len(s.dir):])) }
	s.opts.Checkpoint = name
	_, res := s.backup("")
	s.same(res)
	if got := len(s.tree(res)); int64(got) != res.Body.Files || got < files {
		t.Errorf("%d entries, the body says %d", got, res.Body.Files)
	}
	if d := cmp.Diff(want, opened); d != "" {
		t.Errorf("opened (-want +got):\n%s", d)
	}
}
