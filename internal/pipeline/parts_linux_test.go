package pipeline

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"keepward/internal/repo/fileindex"
	"keepward/internal/source"
)

// partSite is a site with two parts below at, of which the second is read when all else is.
type partSite struct {
	*site
	root string // stands for the root of the parts
	mu   sync.Mutex
	read []string
	// seen is what was read when the second was opened.
	seen []string
}

func newPartSite(t *testing.T, at string) *partSite {
	s := &partSite{site: newSite(t), root: t.TempDir()}
	for _, dir := range []string{"first", "second"} {
		if err := os.MkdirAll(filepath.Join(s.root, at, "x", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.opts.Hooks.Read = func(path []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.read = append(s.read, string(path))
	}
	sel := func(name string) source.Selection {
		return source.Selection{
			Within: true, IncludeTemporary: true, Include: []string{"/" + at + "/x/" + name},
			View: &source.View{Grafts: []source.Graft{{At: "/", From: s.root}}},
		}
	}
	s.opts.PartsAt = at
	s.opts.Parts = []Part{
		{Open: func(context.Context) (source.Selection, error) { return sel("first"), nil }},
		{Rest: true, Strict: true, Open: func(context.Context) (source.Selection, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.seen = append([]string(nil), s.read...)
			return sel("second"), os.WriteFile(filepath.Join(s.root, at, "x", "second", "made"), []byte("at the end"), 0o644)
		}},
	}
	return s
}

func (s *partSite) put(name string, content []byte) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.root, name), content, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func TestPartsStandInTheirPlaceAndTheLastIsReadLast(t *testing.T) {
	for _, at := range []string{"aaa", "~~~"} { // before and behind what is beside them
		t.Run(at, func(t *testing.T) {
			s := newPartSite(t, at)
			fillTree(s.site)
			large := noise(9, 3<<20)
			for i := range 40 {
				s.put(filepath.Join(at, "x", "first", string(rune('a'+i%26))+strings.Repeat("b", i/26)), noise(byte(i), 1000*i))
			}
			s.put(filepath.Join(at, "x", "first", "large"), large)
			if err := os.Link(filepath.Join(s.root, at, "x", "first", "large"), filepath.Join(s.root, at, "x", "first", "too")); err != nil {
				t.Fatal(err)
			}
			s.age()
			name, res := s.backup("")
			n := 0
			for _, p := range s.seen {
				if strings.HasPrefix(p, at+"/x/first/") {
					n++
				}
			}
			if n < 40 {
				t.Errorf("%d files of the first part were read when the second was opened", n)
			}
			tree := s.tree(res)
			for _, path := range []string{at, at + "/x", at + "/x/first", at + "/x/second"} {
				if e := entryOf(tree, path); e == nil || e.Type != fileindex.Dir {
					t.Errorf("the directory %s is not in the tree: %+v", path, e)
				}
			}
			if e := entryOf(tree, at+"/x/first/too"); e == nil || e.Type != fileindex.File || e.Size != int64(len(large)) {
				t.Errorf("another name of a file is no file of its own: %+v", e)
			}
			if e := entryOf(tree, at+"/x/second/made"); e == nil || e.Size != int64(len("at the end")) {
				t.Errorf("what was made at the end: %+v", e)
			}
			s.read = nil
			_, res = s.backup(name)
			if len(s.read) > 2 { // what was made anew, and racy for that
				t.Errorf("without a change were read: %q", s.read)
			}
			if entryOf(s.tree(res), at+"/x/first/large") == nil {
				t.Error("an unchanged file of a part is lost")
			}
		})
	}
}

func entryOf(tree map[string]*fileindex.Entry, path string) *fileindex.Entry {
	for _, e := range tree {
		if bytes.Equal(e.Path, []byte(path)) {
			return e
		}
	}
	return nil
}

func TestAStrictPartThatLacksAFileFailsTheBackup(t *testing.T) {
	s := newPartSite(t, "~~~")
	s.write("file", []byte("beside"))
	open := s.opts.Parts[1].Open
	s.opts.Parts[1].Open = func(ctx context.Context) (source.Selection, error) {
		sel, err := open(ctx)
		sel.Include = append(sel.Include, "/~~~/x/second/missing")
		return sel, err
	}
	if _, _, err := s.run(""); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("the backup went on: %v", err)
	}
}

func TestPartsOfAnotherBackupAreNotTakenForFiles(t *testing.T) {
	s := newPartSite(t, "~~~")
	s.write("file", []byte("beside"))
	s.put("~~~/x/first/f", []byte("content"))
	name, _ := s.backup("")
	s.opts.Parts, s.opts.PartsAt = nil, ""
	_, res := s.backup(name)
	if e := entryOf(s.tree(res), "~~~/x/first/f"); e != nil {
		t.Errorf("what no walk has met is in the tree: %+v", e)
	}
}
