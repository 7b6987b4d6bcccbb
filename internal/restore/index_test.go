//go:build linux

package restore

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// pointOf makes a restore point of entries without content, in the order of the index: such
// as no backup makes, or in nodes that are the same in every run.
func (s *store) pointOf(t *testing.T, es []fileindex.Entry) string {
	t.Helper()
	ctx := t.Context()
	hasher := s.keys.NewHasher()
	b := fileindex.NewBuilder(seal.KindNode, hasher, saver{t, s})
	for i := range es {
		must(t, b.Add(ctx, &es[i]))
	}
	paths, err := b.Finish(ctx)
	must(t, err)
	root := fileindex.Root{Paths: paths}
	h, err := root.Save(ctx, hasher, saver{t, s})
	must(t, err)
	s.attempt[0]++
	body, err := point.SealBody(s.keys.ComputerKey, s.keys.RepositoryID, s.attempt, point.Body{Root: h})
	must(t, err)
	must(t, s.Commit(ctx, point.Draft{Type: point.Complete, RootID: h.ID(), Body: body}))
	return s.attempt.String()
}

// saver puts what a Builder makes into the store.
type saver struct {
	t *testing.T
	s *store
}

func (v saver) Save(ctx context.Context, c fileindex.Chunk) error {
	sl, err := seal.NewSealer(v.s.keys, seal.CompressFast)
	must(v.t, err)
	var refs []seal.ID
	for _, h := range c.Refs {
		refs = append(refs, h.ID())
	}
	rec, err := sl.Seal(nil, c.Kind, c.H, refs, c.Content)
	must(v.t, err)
	return v.s.Put(ctx, rec)
}

// node is a node of a point's path tree.
type node struct {
	level int // 0: the topmost
	id    seal.ID
	below map[string]bool // the paths of the entries below it
}

// pathNodes are the nodes of a point's path tree.
func (s *store) pathNodes(t *testing.T, name string) []node {
	t.Helper()
	p, err := point.Parse(s.points[name])
	must(t, err)
	body, err := point.OpenBody(s.keys.ComputerKey, &p)
	must(t, err)
	n, err := newNodes(s, s.keys)
	must(t, err)
	defer n.close()
	root, err := fileindex.FetchRoot(t.Context(), n, body.Root)
	must(t, err)
	var out []node
	var visit func(h seal.H, level int) map[string]bool
	visit = func(h seal.H, level int) map[string]bool {
		got, err := n.Fetch(t.Context(), seal.KindNode, []seal.H{h})
		must(t, err)
		below := map[string]bool{}
		must(t, fileindex.Visit(seal.KindNode, got[0], func(c fileindex.Child) error {
			for p := range visit(c.H, level+1) {
				below[p] = true
			}
			return nil
		}, func(_ []byte, e *fileindex.Entry) error {
			below[string(e.Path)] = true
			return nil
		}))
		out = append(out, node{level, h.ID(), below})
		return below
	}
	visit(root.Paths.H, 0)
	return out
}

// filesBelow are what is below dir and no directory.
func filesBelow(t *testing.T, dir string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			out[strings.TrimPrefix(path, dir+"/")] = true
		}
		return err
	}))
	return out
}

func TestDamagedFileIndexCostsOnlyThatPartOfIt(t *testing.T) {
	entry := func(typ fileindex.Type, path string) fileindex.Entry {
		return fileindex.Entry{Path: []byte(path), Type: typ, Mode: 0o755, UID: uint64(os.Getuid()), GID: uint64(os.Getgid())}
	}
	es := []fileindex.Entry{entry(fileindex.Dir, "")}
	var files []string
	for d := range 12 {
		es = append(es, entry(fileindex.Dir, fmt.Sprintf("d%02d", d)))
		for f := range 100 {
			files = append(files, fmt.Sprintf("d%02d/f%03d", d, f))
			es = append(es, entry(fileindex.File, files[len(files)-1]))
		}
	}
	s := newStore()
	name := s.pointOf(t, es)
	nodes := s.pathNodes(t, name)
	if len(nodes) < 5 {
		t.Fatalf("the tree has %d nodes: it proves nothing", len(nodes))
	}
	const extra = "d05/extra"
	for i, lost := range nodes {
		rec := s.records[lost.id]
		delete(s.records, lost.id)
		var l log
		to := tree(t, map[string]string{extra: "x"})
		o := Options{Store: s, Keys: s.keys, Point: name, To: to, NoSync: true, DeleteExtra: true, Event: l.add}
		res, err := Run(t.Context(), o)
		s.records[lost.id] = rec
		if err != nil || len(l.paths("restore.index-damaged")) != 1 || res.Counters.Errors != 1 {
			t.Errorf("node %d, level %d: %v, %v, %d errors", i, lost.level, err, l.codes(), res.Counters.Errors)
		}
		want := map[string]bool{}
		for _, f := range files {
			if !lost.below[f] {
				want[f] = true
			}
		}
		got := filesBelow(t, to)
		if lost.below["d05"] || lost.below["d05/f000"] || lost.below["d05/f099"] {
			if !got[extra] {
				t.Errorf("node %d: %s was deleted, though what belongs beside it is not known", i, extra)
			}
		}
		delete(got, extra)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("node %d, level %d, with %d entries: %s", i, lost.level, len(lost.below), d)
		}
	}
}
