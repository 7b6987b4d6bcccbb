// Package track knows how to tell, for each volume of a computer, what has changed on it since an
// earlier backup: by a journal that runs in the agent, or by two snapshots. It joins what the
// trackers of single volumes say (package changes) to one row of changes for a backup, and what
// they need for the next one to the token that the restore point keeps.
//
// It is not for finding out what changed on a volume, which changes does, nor for taking
// snapshots or keeping them, nor for deciding whether a backup goes by what it is told.
package track

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"keepward/internal/changes"
	"keepward/internal/snapshot"
)

// Config is what Trackers are made of.
type Config struct {
	// Dir is a directory of their own, for the journals and the list of the volumes that have one.
	Dir string
	Log *slog.Logger
	// TrustHidden has processes that must not be looked into count as such that write to no volume
	// without being seen. Where there are some, nothing can be told without it.
	TrustHidden bool
	// Now is what time it is; nil: time.Now.
	Now func() time.Time
}

// Trackers are those of a computer. Their methods may be called by several goroutines.
type Trackers struct {
	cfg  Config
	life context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	journals map[string]*journal // by the place where the volume is mounted
}

// journal watches a volume.
type journal struct {
	watcher
	volume snapshot.Volume
	until  time.Time
	// tokens are those of the points that the next backups are made on, by what Request.Key says.
	tokens map[string][]byte
	gone   chan struct{} // closed when nobody reads events any more
}

// watcher is a changes.Journal.
type watcher interface {
	changes.Tracker
	// Watching tells whether the volume is the one that it was opened for, and is watched.
	Watching() bool
	Serve(ctx context.Context) error
	Keep(tokens [][]byte) error
	Close() error
}

// tickEvery is how often it is looked for what is not needed any more.
const tickEvery = time.Hour

// Open begins to watch the volumes that backups went by lately.
func Open(cfg Config) *Trackers {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	t := &Trackers{cfg: cfg, journals: map[string]*journal{}}
	t.life, t.stop = context.WithCancel(context.Background())
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		cfg.Log.Warn("what tells which files change has no directory; each backup compares every file", "error", err)
	}
	t.takeUp()
	t.work.Go(func() {
		tick := time.NewTicker(tickEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				t.expire()
			case <-t.life.Done():
				return
			}
		}
	})
	return t
}

// Close ends all watching. Points that were made lose their trackers with it.
func (t *Trackers) Close() {
	t.mu.Lock()
	t.closed = true
	for _, j := range t.journals {
		t.end(j)
	}
	t.mu.Unlock()
	t.stop()
	t.work.Wait()
}

// end ends a journal; mu is held.
func (t *Trackers) end(j *journal) {
	delete(t.journals, j.volume.Mount)
	if err := j.Close(); err != nil {
		t.cfg.Log.Warn("a journal of changes did not end in order", "volume", j.volume.Mount, "error", err)
	}
	<-j.gone
	// What is left in the directory is overwritten by the next one.
	if err := os.RemoveAll(t.spool(j.volume.Mount)); err != nil {
		t.cfg.Log.Warn("the journal of changes of a volume could not be removed", "volume", j.volume.Mount, "error", err)
	}
}

// spool is the directory of a journal.
func (t *Trackers) spool(mount string) string {
	h := sha256.Sum256([]byte(mount))
	return filepath.Join(t.cfg.Dir, "journals", hex.EncodeToString(h[:8]))
}

// errClosed is why nothing is watched when the agent goes down.
var errClosed = errors.New("the agent is going down")

// journaled are the types of file systems of which it is proved that a journal misses nothing.
var journaled = map[string]bool{"ext4": true, "xfs": true}

// watch answers the journal of a volume, a new one if there is none that is good.
func (t *Trackers) watch(v snapshot.Volume, until time.Time) (*journal, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errClosed
	}
	if j := t.journals[v.Mount]; j != nil {
		if j.volume.Device == v.Device && j.volume.Root == v.Root && j.Watching() {
			j.until = later(j.until, until)
			return j, nil
		}
		t.end(j)
	}
	dir := t.spool(v.Mount)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	w, err := openJournal(v.Mount, dir, t.cfg.TrustHidden)
	if err != nil {
		_ = os.RemoveAll(dir) // it is empty
		return nil, err
	}
	j := &journal{watcher: w, volume: v, until: until, tokens: map[string][]byte{}, gone: make(chan struct{})}
	t.journals[v.Mount] = j
	t.work.Go(func() {
		defer close(j.gone)
		if err := w.Serve(t.life); err != nil && t.life.Err() == nil {
			t.cfg.Log.Warn("what changes on a volume is not told any more; its next backup compares every file", "volume", v.Mount, "error", err)
		}
	})
	return j, nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// expire ends the journals that no backup went by for a time.
func (t *Trackers) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, some := t.cfg.Now(), false
	for _, j := range t.journals {
		if now.After(j.until) {
			t.end(j)
			some = true
		}
	}
	if some {
		t.note()
	}
}
