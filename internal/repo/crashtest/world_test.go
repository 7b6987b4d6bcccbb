package crashtest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

const (
	root     = "/r"
	packSize = 2500
)

// world is a repository's surroundings: a disk, the server's keys, and a note of what was
// begun and acknowledged when.
type world struct {
	site *repotest.Site
	disk *memfs.FS
	// process is a new process's view of the disk.
	process func() *memfs.FS
	// number is one that no attempt has yet.
	number func() int
	*journal
	// lives are attempts that were begun and have not ended.
	lives map[point.Attempt]*life
	// bundled are backups whose files share bundles, which others may have as their parent.
	bundled map[point.Attempt]*repotest.Backup
}

// journal is what was begun and acknowledged, in order.
type journal struct {
	mu  sync.Mutex
	log []event
}

// life is an attempt on its way.
type life struct {
	backup repotest.Backup
	r      *repo.Repository
	w      *repo.Writer
}

func newWorld(disk *memfs.FS) *world {
	return &world{site: repotest.NewSite(), disk: disk, process: disk.Process, number: unused, journal: &journal{}, lives: map[point.Attempt]*life{}, bundled: map[point.Attempt]*repotest.Backup{}}
}

var lastNumber atomic.Int64

// unused is a number above those that histories use.
func unused() int { return 1000 + int(lastNumber.Add(1)) }

// step is a part of a history. Its error ends the history.
type step func(ctx context.Context, w *world) error

// note records what may be found from now on.
func (w *world) note(apply func(*expectation)) {
	calls := w.disk.Calls()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, event{calls, apply})
}

// found is what may be found now.
func (w *world) found() expectation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return expect(w.log, w.disk.Calls())
}

func (w *world) noteWant(a point.Attempt, change func(*want)) {
	w.note(func(e *expectation) { e.set(a, change) })
}

// backend is the repository's place as a new process sees it.
func (w *world) backend() *storage.Dir { return storage.NewDir(w.process(), root) }

func (w *world) open(ctx context.Context) (*repo.Repository, error) {
	return repo.Open(ctx, w.backend())
}

// with runs f on the repository, opened by a process of its own.
func (w *world) with(ctx context.Context, f func(*repo.Repository) error) error {
	r, err := w.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(r), r.Close())
}

// run runs steps until one fails.
func (w *world) run(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := s(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// end lets go of what a history that stopped left open.
func (w *world) end() {
	for a, l := range w.lives {
		l.w.Abort()
		_ = l.r.Close() // the history is over
		delete(w.lives, a)
	}
}

func create(ctx context.Context, w *world) error {
	key, err := w.site.KeyObject()
	if err != nil {
		return err
	}
	w.note(func(e *expectation) { e.created |= yes })
	err = repo.Create(ctx, w.backend(), w.site.Config(), []repo.KeyObject{key}, repo.Owner{Term: 1, Server: []byte("server-1")})
	if err == nil {
		w.note(func(e *expectation) { e.created = yes })
	}
	return err
}
