package pipeline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a tree on disk and a repository in memory.
type site struct {
	t      *testing.T
	dir    string
	store  *memStore
	events []Event
	count  *Counters
	opts   Options
	runs   byte
	lastH  seal.H
	last   []byte
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir, store: newMemStore(testKeys())}
	s.opts = s.options()
	return s
}

func (s *site) options() Options {
	return Options{
		Keys: s.store.keys, Compression: seal.CompressZstd, Workers: 3,
		Selection: source.Selection{Include: []string{s.dir}},
		Event: func(e Event) {
			e.Path = bytes.Clone(e.Path)
			s.events = append(s.events, e)
		},
	}
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name string, content []byte) {
	s.t.Helper()
	p := s.path(name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(p, content, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// age makes every file old enough not to be racy.
func (s *site) age() { s.opts.Clock = func() time.Time { return time.Now().Add(time.Hour) } }

// run makes a backup against parent and answers its name.
func (s *site) run(parent string) (string, Result, error) { return s.runOn(s.store, parent) }

// runOn is run with something before the store.
func (s *site) runOn(store Store, parent string) (string, Result, error) {
	s.runs++
	s.opts.Attempt = point.Attempt{s.runs}
	s.store.attempt = s.opts.Attempt
	s.opts.Parent = parent
	s.events = nil
	s.count = &Counters{}
	s.opts.Counters = s.count
	res, err := Run(context.Background(), store, s.opts)
	return s.opts.Attempt.String(), res, err
}

func (s *site) backup(parent string) (string, Result) {
	s.t.Helper()
	name, res, err := s.run(parent)
	if err != nil {
		s.t.Fatalf("backup: %v", err)
	}
	return name, res
}

func (s *site) codes() []string {
	var out []string
	for _, e := range s.events {
		out = append(out, string(e.Level)+" "+e.Code+" "+strings.TrimPrefix("/"+string(e.Path), s.dir+"/"))
	}
	slices.Sort(out)
	return out
}

// tree reads a point back: entries by their path below the site's directory.
func (s *site) tree(res Result) map[string]*fileindex.Entry {
	s.t.Helper()
	return s.entries(seal.KindNode, res.Root.Paths)
}

// own is tree without the directories above the site's.
func (s *site) own(res Result) map[string]*fileindex.Entry {
	s.t.Helper()
	tree := s.tree(res)
	maps.DeleteFunc(tree, func(name string, _ *fileindex.Entry) bool { return strings.HasPrefix(name, "/") })
	return tree
}

func (s *site) entries(kind seal.Kind, t fileindex.Tree) map[string]*fileindex.Entry {
	s.t.Helper()
	f := &fetcher{store: s.store, keys: s.store.keys}
	defer f.close()
	c := fileindex.NewCursor(f, kind, t)
	defer c.Close()
	out := make(map[string]*fileindex.Entry)
	for {
		key, err := c.PeekKey(context.Background())
		if err != nil {
			s.t.Fatal(err)
		}
		key = bytes.Clone(key)
		e, err := c.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			s.t.Fatal(err)
		}
		name := string(key)
		if kind == seal.KindNode {
			name = strings.TrimPrefix("/"+string(e.Path), s.dir+"/")
		}
		out[name] = e.Clone()
	}
}

// chunk opens a chunk; the last one is remembered, since neighbours share bundles.
func (s *site) chunk(kind seal.Kind, h seal.H) []byte {
	s.t.Helper()
	if s.lastH != h {
		f := &fetcher{store: s.store, keys: s.store.keys}
		defer f.close()
		c, err := f.Fetch(context.Background(), kind, []seal.H{h})
		if err != nil {
			s.t.Fatal(err)
		}
		s.lastH, s.last = h, c[0]
	}
	return s.last
}

// content puts a file together from its extents.
func (s *site) content(e *fileindex.Entry) []byte {
	s.t.Helper()
	var out []byte
	f := &fetcher{store: s.store, keys: s.store.keys}
	defer f.close()
	err := fileindex.ForEachExtent(context.Background(), f, e, func(_ int64, x fileindex.Extent) error {
		switch x.Kind {
		case fileindex.Hole, fileindex.Zeros:
			out = append(out, make([]byte, x.Len)...)
		case fileindex.InChunk:
			out = append(out, s.chunk(seal.KindData, x.H)[x.Offset:int64(x.Offset)+x.Len]...)
		case fileindex.InBundle:
			b, err := seal.ParseBundle(s.chunk(seal.KindBundle, x.H))
			if err != nil {
				return err
			}
			if m := b.Member(int(x.Member)); int64(len(m)) != x.Len {
				s.t.Errorf("%s: extent of %d bytes, member of %d", e.Path, x.Len, len(m))
			} else {
				out = append(out, m...)
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatalf("content of %s: %v", e.Path, err)
	}
	return out
}

// same compares the stored contents of all regular files with the disk.
func (s *site) same(res Result) {
	s.t.Helper()
	tree := s.tree(res)
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		e := tree[name]
		if e.Type != fileindex.File || strings.HasPrefix(name, "/") {
			continue
		}
		want, err := os.ReadFile(s.path(name))
		if err != nil {
			s.t.Fatal(err)
		}
		if !bytes.Equal(s.content(e), want) {
			s.t.Errorf("%s: the stored content differs", name)
		}
	}
}
