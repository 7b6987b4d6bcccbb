//go:build linux

package restore

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"keepward/internal/errs"
	"keepward/internal/pipeline"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/source"
	"keepward/internal/treecmp"
	"keepward/internal/treegen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a repository in memory for a backup and for restores.
type store struct {
	keys *seal.Keys

	mu      sync.Mutex
	attempt point.Attempt
	records map[seal.ID][]byte
	points  map[string][]byte
	gets    map[seal.ID]int
	// onGet is called with every id fetched, without the lock; an error is the answer.
	onGet func(id seal.ID) error
}

func newStore() *store {
	// Fixed keys: where files are cut must not change from run to run.
	m := seal.Master{Secret: seal.Secret{1, 2, 3}}
	return &store{keys: m.TaskKeys([16]byte{1}, "web1"), records: map[seal.ID][]byte{}, points: map[string][]byte{}, gets: map[seal.ID]int{}}
}

func (s *store) Have(_ context.Context, hs []seal.H) ([]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]bool, len(hs))
	for i, h := range hs {
		_, out[i] = s.records[h.ID()]
	}
	return out, nil
}

func (s *store) Put(_ context.Context, record []byte) error {
	r, err := seal.ParseRecord(bytes.Clone(record))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[r.ID] = r.Bytes()
	return nil
}

func (s *store) Get(ctx context.Context, ids []seal.ID, fn func(int, []byte) error) error {
	for i, id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.onGet != nil {
			if err := s.onGet(id); err != nil {
				return err
			}
		}
		s.mu.Lock()
		rec, ok := s.records[id]
		s.gets[id]++
		s.mu.Unlock()
		if !ok {
			return errs.New(errs.NotFound, "chunk.missing", "get %s: it is not there", id)
		}
		// A store's memory is its own again after fn: keeping it must show.
		lent := bytes.Clone(rec)
		err := fn(i, lent)
		clear(lent)
		if err != nil {
			return err
		}
	}
	return nil
}

// stopAfter lets n chunks be fetched and then breaks.
func (s *store) stopAfter(n int64) {
	var got atomic.Int64
	s.onGet = func(seal.ID) error {
		if got.Add(1) > n {
			return errs.New(errs.Unavailable, "mover.lost", "the mover is gone")
		}
		return nil
	}
}

func (s *store) Point(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.points[name]
	if !ok {
		return nil, errs.New(errs.NotFound, "point.not-found", "restore point %s is not there", name)
	}
	return p, nil
}

func (s *store) Checkpoint(context.Context, point.Draft) error { return nil }

func (s *store) Commit(_ context.Context, d point.Draft) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.points[s.attempt.String()] = point.Encode(s.keys.RepositoryID, s.attempt, d, nil)
	return nil
}

// backup makes a restore point of dirs and answers its name.
func (s *store) backup(t testing.TB, dirs ...string) string {
	t.Helper()
	s.attempt[0]++
	_, err := pipeline.Run(t.Context(), s, pipeline.Options{
		Attempt: s.attempt, Keys: s.keys, Selection: source.Selection{Include: dirs},
		Event: func(e pipeline.Event) { t.Logf("backup: %s %s %q", e.Code, e.Text, e.Path) },
	})
	if err != nil {
		t.Fatalf("backup: %v", err)
	}
	return s.attempt.String()
}

// tempDir is a directory whose removal copes with anything that a zoo holds.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "keepward-restore-")
	if err != nil {
		t.Fatal(err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := treegen.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// tree makes files below a new directory: content by path; a path that ends with a slash is
// a directory.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := tempDir(t)
	fill(t, dir, files)
	return dir
}

func fill(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if name[len(name)-1] == '/' {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o644))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// log collects the events of a restore.
type log struct{ events []Event }

func (l *log) add(e Event) {
	e.Path = bytes.Clone(e.Path)
	l.events = append(l.events, e)
}

func (l *log) codes() map[string]int {
	m := map[string]int{}
	for _, e := range l.events {
		m[e.Level+" "+e.Code]++
	}
	return m
}

// paths are those of the events with this code.
func (l *log) paths(code string) []string {
	var out []string
	for _, e := range l.events {
		if e.Code == code {
			out = append(out, string(e.Path))
		}
	}
	return out
}

// options restore the directory src of the point itself to the directory to.
func (s *store) options(name, src, to string, l *log) Options {
	return Options{Store: s, Keys: s.keys, Point: name, Paths: [][]byte{[]byte(src)}, To: to, Strip: true, NoSync: true, Event: l.add}
}

func restoreOK(t testing.TB, o Options) Snapshot {
	t.Helper()
	res, err := Run(t.Context(), o)
	if err != nil {
		t.Fatalf("restore: %v", err)
	}
	return res.Counters
}

func same(t testing.TB, want, got string) {
	t.Helper()
	diffs, err := treecmp.Compare(want, got, treecmp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range diffs {
		if i == 20 {
			t.Errorf("and %d more differences", len(diffs)-i)
			break
		}
		t.Errorf("%.300s", d)
	}
}

func read(t testing.TB, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
