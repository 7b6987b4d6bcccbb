//go:build linux

package mount

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"keepward/internal/errs"
	"keepward/internal/pipeline"
	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/source"
	"keepward/internal/storage"
	"keepward/internal/treegen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 11, 1, 22, 0, 0, 0, time.UTC)

// host is a repository on a directory, and a Store that reads it. What goes wrong can be set.
type host struct {
	t      testing.TB
	r      *repo.Repository
	master seal.Master

	mu      sync.Mutex
	list    []Point
	deleted map[string]bool
	away    error // what every call fails with; nil: nothing is wrong
	records int   // that were asked for
	calls   int
	// held, where it is set, is waited for by Records.
	held chan struct{}
}

func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{t: t, master: seal.Master{Secret: seal.NewSecret()}, deleted: map[string]bool{}}
	cfg := repo.Config{
		ID: [16]byte{7, 7, 1}, Created: epoch, ChunkMin: 256 << 10, ChunkNormal: 1 << 20, ChunkMax: 4 << 20,
		NodeOdds: 256, NodeCap: 192 << 10, BundleOdds: 32, BundleCap: 512 << 10,
	}
	cfg.Check = h.master.Check(cfg.ID)
	wrapped, err := repo.WrapMaster(cfg.ID, repo.NewRecovery(cfg.ID), h.master)
	must(t, err)
	b, err := storage.OpenDir(filepath.Join(tempDir(t), "repository"))
	must(t, err)
	must(t, repo.Create(t.Context(), b, cfg, []repo.KeyObject{wrapped}, repo.Owner{Term: 1, Server: []byte("server")}))
	h.r, err = repo.Open(t.Context(), b)
	must(t, err)
	t.Cleanup(func() { must(t, h.r.Close()) })
	return h
}

// writer is a pipeline.Store straight on the repository.
type writer struct {
	*repo.Writer
	h     *host
	issue []byte
}

func (w writer) Put(_ context.Context, rec []byte) error {
	_, err := w.Writer.Put(rec)
	return err
}

func (w writer) Get(ctx context.Context, ids []seal.ID, fn func(int, []byte) error) error {
	for i, id := range ids {
		rec, err := w.h.r.Read(ctx, id, nil)
		if err == nil {
			err = fn(i, rec.Bytes())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w writer) Point(ctx context.Context, name string) ([]byte, error) {
	a, err := point.ParseAttempt(name)
	if err != nil {
		return nil, err
	}
	return w.h.r.Point(ctx, a)
}

func (w writer) Commit(ctx context.Context, d point.Draft) error {
	return w.Writer.Commit(ctx, d, w.issue)
}

func (w writer) Checkpoint(ctx context.Context, d point.Draft) error {
	return w.Writer.Checkpoint(ctx, d, w.issue)
}

// backup makes the next point, an hour after the one before.
func (h *host) backup(dirs ...string) Point {
	h.t.Helper()
	id, n := h.r.Config().ID, len(h.list)+1
	attempt, at := point.Attempt{0xab, 0xcd, byte(n)}, epoch.Add(time.Duration(n)*time.Hour)
	issue, err := point.SealIssue(h.master.IssueKey(), id, attempt, point.Issue{Computer: "web1", Job: "docs", Session: int64(n), Time: at, Full: true})
	must(h.t, err)
	keys := h.master.TaskKeys(id, "web1")
	w, err := h.r.NewWriter(context.Background(), repo.WriterOptions{Attempt: attempt, Owner: h.master.ComputersKey().Owner("web1"), Keys: keys})
	must(h.t, err)
	o := pipeline.Options{Attempt: attempt, Keys: keys, Selection: source.Selection{Include: dirs}}
	if n > 1 {
		o.Parent = h.list[n-2].ID
	}
	_, err = pipeline.Run(h.t.Context(), writer{w, h, issue}, o)
	must(h.t, err)
	p := Point{ID: attempt.String(), Repository: "main", Time: at}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, p)
	return p
}

func (h *host) Points(context.Context) ([]Point, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	var there []Point
	for _, p := range h.list {
		if !h.deleted[p.ID] {
			there = append(there, p)
		}
	}
	return there, h.away
}

func (h *host) Keys(context.Context, string) (*seal.Keys, error) {
	return h.master.TaskKeys(h.r.Config().ID, "web1"), h.away
}

// ask is what every question about a point begins with.
func (h *host) ask(name string, records int) (held chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	h.records += records
	if h.deleted[name] {
		return nil, errs.New(errs.NotFound, "point.deleted", "restore point %s is deleted", name)
	}
	return h.held, h.away
}

func (h *host) Object(ctx context.Context, name string) ([]byte, error) {
	if _, err := h.ask(name, 0); err != nil {
		return nil, err
	}
	return writer{h: h}.Point(ctx, name)
}

func (h *host) Records(ctx context.Context, name string, ids []seal.ID, fn func(int, []byte, error)) error {
	held, err := h.ask(name, len(ids))
	if err != nil {
		return err
	}
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for i, id := range ids {
		rec, err := h.r.Read(ctx, id, nil)
		fn(i, rec.Bytes(), err)
	}
	return nil
}

// set changes what goes wrong.
func (h *host) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "keepward-mount-")
	must(t, err)
	t.Cleanup(func() { must(t, treegen.Remove(dir)) })
	return dir
}

// mountedAt is a mount that the test ends.
type mountedAt struct {
	dir  string
	end  func() error // once
	told func() []string
}

func (h *host) mount(o Options) mountedAt {
	h.t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		h.t.Skip("needs root and /dev/fuse")
	}
	m := mountedAt{dir: tempDir(h.t)}
	var mu sync.Mutex
	var lines []string
	o.Store, o.Computer, o.Zone = h, "web1", time.UTC
	o.Tell = func(text string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, text)
	}
	m.told = func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string{}, lines...)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, over := make(chan struct{}), make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { over <- Run(ctx, m.dir, o, func() { close(ready) }) })
	m.end = sync.OnceValue(func() error {
		cancel()
		wg.Wait()
		return <-over
	})
	h.t.Cleanup(func() { must(h.t, m.end()) })
	// A call to the kernel that this process would have to answer, and does not, hangs past any
	// timeout of the test: it is cut off.
	late := time.AfterFunc(2*time.Minute, func() { _ = detach(m.dir) })
	h.t.Cleanup(func() { late.Stop() })
	select {
	case <-ready:
	case err := <-over:
		over <- nil
		h.t.Fatal(err)
	}
	return m
}
