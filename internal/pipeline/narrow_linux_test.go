package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
	"keepward/internal/source"
)

// state is what a stat tells of every file below a directory, by path as in the index.
type state map[string]syscall.Stat_t

func look(t testing.TB, dir string) state {
	t.Helper()
	st := state{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var s syscall.Stat_t
		if err := syscall.Lstat(path, &s); err != nil {
			return err
		}
		s.Atim = syscall.Timespec{}
		st[strings.TrimPrefix(path, "/")] = s
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// exact is a Changed that knows all that differs between two states, and no more.
type exact struct {
	list  []source.Change
	asked int
}

func (x *exact) Next() (source.Change, error) {
	if x.asked == len(x.list) {
		return source.Change{}, io.EOF
	}
	x.asked++
	return x.list[x.asked-1], nil
}

func differences(before, after state) *exact {
	found := map[string]source.Change{}
	note := func(path string, change source.Change) {
		c := found[path]
		found[path] = source.Change{Path: []byte(path), Listing: c.Listing || change.Listing, Subtree: c.Subtree || change.Subtree}
	}
	all := maps.Clone(before)
	maps.Copy(all, after)
	for path := range all {
		a, was := before[path]
		b, is := after[path]
		if was && is && a == b {
			continue
		}
		if was && is && a.Ino == b.Ino && a.Mode&syscall.S_IFMT == b.Mode&syscall.S_IFMT {
			note(path, source.Change{})
			continue
		}
		note(path, source.Change{Subtree: true})
		note(filepath.Dir(path), source.Change{Listing: true})
	}
	return sorted(slices.Collect(maps.Values(found)))
}

// withoutLinks leaves the changes of files out that had several names and still have the same one.
func withoutLinks(x *exact, before, after state) *exact {
	return sorted(slices.DeleteFunc(x.list, func(c source.Change) bool {
		a, was := before[string(c.Path)]
		b, is := after[string(c.Path)]
		return was && is && a.Ino == b.Ino && a.Nlink > 1 && a.Mode&syscall.S_IFMT != syscall.S_IFDIR
	}))
}

func sorted(list []source.Change) *exact {
	slices.SortFunc(list, func(a, b source.Change) int { return fileindex.ComparePaths(a.Path, b.Path) })
	return &exact{list: list}
}

// tracked is a site with an exact tracker.
type tracked struct {
	*site
	states map[string]state // of each backup
	// broken has a backup fail at its end, when all else is done.
	broken bool
	// blind: the tracker cannot tell which files with several names changed.
	blind bool
	// loose: bundles may differ, though nothing was dissolved.
	loose bool
	thin  []byte // the parent's
}

func newTracked(t *testing.T) *tracked {
	s := &tracked{site: newSite(t), states: map[string]state{}}
	s.age()
	return s
}

// take makes a backup that looks at everything, or only at what changed.
func (s *tracked) take(parent string, narrow bool) (string, Result, error) {
	s.t.Helper()
	now := look(s.t, s.dir)
	s.opts.Changed = nil
	if narrow {
		s.opts.Changed = func(_ context.Context, b *Before) (source.Changed, error) {
			if string(b.Token) != parent {
				s.t.Errorf("the parent's token is %q, want %q", b.Token, parent)
			}
			if s.blind {
				return b.LinksToo(withoutLinks(differences(s.states[parent], now), s.states[parent], now)), nil
			}
			return differences(s.states[parent], now), nil
		}
	}
	s.opts.Tracker = func(context.Context) ([]byte, error) {
		if s.broken {
			return nil, errs.New(errs.Unavailable, "", "the tracker is gone")
		}
		return []byte(s.opts.Attempt.String()), nil
	}
	name, res, err := s.run(parent)
	s.states[name] = now
	return name, res, err
}

// both makes a narrowed backup and one that looks at everything, which must be the same.
func (s *tracked) both(parent string) (string, Result) {
	s.t.Helper()
	var want, got Result
	var name string
	var counted map[string]int64
	var codes []string
	s.quietly(func() {
		var err error
		if _, want, err = s.take(parent, false); err != nil {
			s.t.Fatalf("full incremental: %v", err)
		}
		counted, codes = s.counted(), s.codesButLeftOut()
		if name, got, err = s.take(parent, true); err != nil {
			s.t.Fatalf("narrowed: %v", err)
		}
	})
	if !got.Narrowed {
		s.t.Error("it looked at everything")
	}
	s.equal(want, got)
	if d := cmp.Diff(counted, s.counted()); d != "" {
		s.t.Errorf("counters (-full +narrowed):\n%s", d)
	}
	if d := cmp.Diff(codes, s.codesButLeftOut()); d != "" {
		s.t.Errorf("events (-full +narrowed):\n%s", d)
	}
	return name, got
}

// codesButLeftOut are the events that do not say what was left out: who looks at less leaves out less.
func (s *tracked) codesButLeftOut() []string {
	var out []string
	for _, c := range s.codes() {
		if !strings.HasPrefix(c, "info selection.left-out") {
			out = append(out, c)
		}
	}
	return out
}

// quietly repeats what somebody has disturbed who changed a directory above the site's.
func (s *tracked) quietly(fn func()) {
	above := func() (out []syscall.Stat_t) {
		for dir := filepath.Dir(s.dir); ; dir = filepath.Dir(dir) {
			var st syscall.Stat_t
			if err := syscall.Lstat(dir, &st); err != nil {
				s.t.Fatal(err)
			}
			st.Atim = syscall.Timespec{}
			if out = append(out, st); dir == "/" {
				return out
			}
		}
	}
	for {
		before := above()
		if fn(); slices.Equal(before, above()) {
			return
		}
	}
}

func (s *tracked) counted() map[string]int64 {
	c := s.count
	return map[string]int64{
		"done": c.doneFiles.Load(), "bytes": c.doneBytes.Load(), "dirs": c.doneDirs.Load(), "reused": c.reusedFiles.Load(),
		"reused bytes": c.reusedBytes.Load(), "new": c.newFiles.Load(), "changed": c.changedFiles.Load(), "deleted": c.deletedFiles.Load(),
		"errors": c.errors.Load(), "total": c.totalFiles.Load(),
	}
}

// equal compares points: byte for byte, or where files were bundled otherwise, by what is in them.
func (s *tracked) equal(want, got Result) {
	s.t.Helper()
	if want.Body.Files != got.Body.Files || want.Body.Bytes != got.Body.Bytes || want.Root.Dirs != got.Root.Dirs {
		s.t.Errorf("files, bytes, dirs: %d %d %d, want %d %d %d", got.Body.Files, got.Body.Bytes, got.Root.Dirs, want.Body.Files, want.Body.Bytes, want.Root.Dirs)
	}
	if want.Root.Paths == got.Root.Paths && want.Root.Inodes == got.Root.Inodes {
		return
	}
	same := cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreFields(fileindex.Entry{}, "Extents", "Map", "Signature")}
	for kind, trees := range map[seal.Kind][2]fileindex.Tree{
		seal.KindNode: {want.Root.Paths, got.Root.Paths}, seal.KindInode: {want.Root.Inodes, got.Root.Inodes},
	} {
		a, b := s.entries(kind, trees[0]), s.entries(kind, trees[1])
		if d := cmp.Diff(a, b, same); d != "" {
			s.t.Errorf("%s tree (-full +narrowed):\n%s", kind, d)
			continue
		}
		for name, e := range a {
			if e.Type == fileindex.File && !cmp.Equal(e.Extents, b[name].Extents) && !bytes.Equal(s.content(e), s.content(b[name])) {
				s.t.Errorf("%s: the content differs", name)
			}
		}
		if len(s.thin) == 0 && !s.loose {
			s.t.Errorf("%s tree: the entries are the same, the tree is not: %+v, want %+v", kind, trees[1], trees[0])
		}
	}
}

func TestNothingChangedTakesNothing(t *testing.T) {
	s := newTracked(t)
	for i := range 300 {
		s.write(fmt.Sprintf("d%02d/e/f%03d", i%30, i), fmt.Appendf(nil, "content %d", i))
	}
	first, _, err := s.take("", false)
	if err != nil {
		t.Fatal(err)
	}
	second, _ := s.both(first)
	if c := s.count; c.readFiles.Load() != 0 || c.newFiles.Load() != 0 {
		t.Errorf("read %d files, %d of them new", c.readFiles.Load(), c.newFiles.Load())
	}
	s.write("d07/e/f007", []byte("other"))
	s.write("d09/e/new/deep/one", []byte("new"))
	s.both(second)
}

func TestAFileIsReadWhoseTimesProveNothing(t *testing.T) {
	s := newTracked(t)
	s.write("a/b", []byte("one"))
	s.write("a/c", []byte("one"))
	s.write("a/d", []byte("one"))
	if err := os.Link(s.path("a/d"), s.path("a/e")); err != nil {
		t.Fatal(err)
	}
	first, _, err := s.take("", false)
	if err != nil {
		t.Fatal(err)
	}
	s.opts.Changed = func(context.Context, *Before) (source.Changed, error) {
		var list []source.Change
		for _, name := range []string{"a/b", "a/d", "a/e"} {
			list = append(list, source.Change{Path: []byte(s.path(name)[1:]), Unsure: name != "a/d"})
		}
		return sorted(list), nil
	}
	_, res, err := s.run(first)
	if err != nil || !res.Narrowed || s.count.readFiles.Load() != 2 {
		t.Errorf("narrowed %t, read %d files, want the file and the inode: %v", res.Narrowed, s.count.readFiles.Load(), err)
	}
}

func TestTheParentTellsTheNamesOfInodes(t *testing.T) {
	s := newTracked(t)
	s.write("a/b", []byte("one"))
	s.write("x", []byte("two"))
	for _, to := range []string{"a/c", "a/z/c", "z"} {
		if err := os.MkdirAll(filepath.Dir(s.path(to)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(s.path("a/b"), s.path(to)); err != nil {
			t.Fatal(err)
		}
	}
	first, _, err := s.take("", false)
	if err != nil {
		t.Fatal(err)
	}
	st := look(t, s.dir)
	linked, alone := st[s.path("a/b")[1:]].Ino, st[s.path("x")[1:]].Ino
	var got []string
	s.opts.Changed = func(ctx context.Context, b *Before) (source.Changed, error) {
		err := b.Find(ctx, []uint64{alone, linked}, func(_ uint64, path []byte) error {
			got = append(got, strings.TrimPrefix("/"+string(path), s.dir+"/"))
			return nil
		})
		return nil, err
	}
	if _, _, err := s.run(first); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a/b", "a/c", "a/z/c", "x", "z"}, got); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
}

func TestWhatCannotBeGoneByIsNot(t *testing.T) {
	s := newTracked(t)
	s.write("a/b", []byte("one"))
	s.write("bad", []byte("never read"))
	s.opts.Hooks.Opened = func(path []byte) {
		if strings.HasSuffix(string(path), "/bad") {
			s.write("bad", nil)
			if err := os.Remove(s.path("bad")); err != nil {
				t.Error(err)
			}
			if err := os.Mkdir(s.path("bad"), 0o755); err != nil {
				t.Error(err)
			}
		}
	}
	first, _, err := s.take("", false)
	s.opts.Hooks = Hooks{}
	if err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]func(){
		"other excludes":  func() { s.opts.Selection.Exclude = []string{"*.o"} },
		"in full":         func() { s.opts.Full = true },
		"nothing changed": func() {},
	} {
		saved := s.opts
		set()
		_, res, err := s.take(first, true)
		if err != nil || res.Narrowed != (name == "nothing changed") {
			t.Errorf("%s: narrowed %t, %v", name, res.Narrowed, err)
		}
		s.opts = saved
	}
	// A tracker that does not know.
	s.opts.Changed = func(context.Context, *Before) (source.Changed, error) { return nil, nil }
	if _, res, err := s.run(first); err != nil || res.Narrowed {
		t.Errorf("narrowed %t, %v", res.Narrowed, err)
	}
}

// TestANarrowedBackupOfADamagedParentLooksAtEverything loses each node of the parent in turn.
func TestANarrowedBackupOfADamagedParentLooksAtEverything(t *testing.T) {
	s := newTracked(t)
	for i := range 2000 {
		s.write(fmt.Sprintf("d%d/f%04d", i%4, i), nil)
	}
	if err := os.Link(s.path("d1/f0001"), s.path("d1/link")); err != nil {
		t.Fatal(err)
	}
	first, res, err := s.take("", false)
	if err != nil {
		t.Fatal(err)
	}
	s.write("d2/f0002", []byte("changed"))
	again := 0
	for _, id := range s.nodes(res.Root) {
		rec := s.store.records[id]
		delete(s.store.records, id)
		_, got, err := s.take(first, true)
		refused := errs.CodeOf(err) == "commit.missing" && res.Root.Paths.Level > 1
		if refused {
			// It lies below a node that was taken over, where only the store looks: with more than one
			// level above the leaves, which chance decides here. In full it is stored again.
			s.opts.Full = true
			_, got, err = s.take(first, false)
			s.opts.Full = false
		}
		if err != nil {
			t.Fatalf("without node %s: %v", id, err)
		}
		if !got.Narrowed && !refused {
			again++
			if !slices.ContainsFunc(s.codes(), func(c string) bool { return strings.Contains(c, "parent.damaged") }) {
				t.Errorf("it looked at everything and did not say why: %q", s.codes())
			}
		}
		if c := s.count; c.doneFiles.Load() != got.Body.Files || c.changedFiles.Load() > 2000 {
			t.Errorf("without node %s: counted %d files of %d", id, c.doneFiles.Load(), got.Body.Files)
		}
		s.same(got)
		s.store.records[id] = rec
	}
	if again == 0 {
		t.Error("no node was missed")
	}
}

// nodes are the ids of all nodes of a root's trees.
func (s *site) nodes(root fileindex.Root) (ids []seal.ID) {
	f := &fetcher{store: s.store, keys: s.store.keys}
	defer f.close()
	var visit func(kind seal.Kind, h seal.H)
	visit = func(kind seal.Kind, h seal.H) {
		ids = append(ids, h.ID())
		content, err := f.Fetch(s.t.Context(), kind, []seal.H{h})
		if err != nil {
			s.t.Fatal(err)
		}
		err = fileindex.Visit(kind, content[0], func(c fileindex.Child) error {
			visit(kind, c.H)
			return nil
		}, func([]byte, *fileindex.Entry) error { return nil })
		if err != nil {
			s.t.Fatal(err)
		}
	}
	root.Trees(func(kind seal.Kind, t fileindex.Tree) { visit(kind, t.H) })
	return ids
}
