package agent

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"keepward/internal/pipeline"
)

// trails are the trails of tasks whose last attempt made no point. They are kept in a directory
// too, so that the next process knows what one that was killed had done.
type trails struct {
	dir string // empty: nothing is kept
	log *slog.Logger

	mu   sync.Mutex
	list []trail // the task that was begun last is the last
}

type trail struct {
	name string // of its file
	of   *pipeline.Trail
}

const (
	// maxTrails bounds the room: of tasks that were killed nobody tells the agent.
	maxTrails = 8
	// keepTrailEvery is how old what is on the disk may be: that much work is not counted when
	// it is done again after a kill. It is 16 KiB as a rule, 2 MiB at most.
	keepTrailEvery = time.Second
)

// openTrails takes up what an earlier process has left.
func openTrails(dir string, log *slog.Logger) *trails {
	t := &trails{dir: dir, log: log}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return t // there is none yet, and without it nothing is lost but a count
	}
	type file struct {
		name string
		at   time.Time
	}
	var files []file
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			files = append(files, file{e.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.name, b.name)) })
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(dir, f.name))
		if err == nil {
			var of *pipeline.Trail
			if of, err = pipeline.ParseTrail(content); err == nil {
				t.push(trail{f.name, of})
				continue
			}
		}
		t.remove(f.name) // torn, or of another version
	}
	return t
}

// trailName is the file of a task.
func trailName(task string) string {
	sum := sha256.Sum256([]byte(task))
	return hex.EncodeToString(sum[:16])
}

// of answers the trail of a task.
func (t *trails) of(task string) *pipeline.Trail {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := trail{trailName(task), &pipeline.Trail{}}
	if i := t.index(task); i >= 0 {
		found = t.list[i]
		t.list = slices.Delete(t.list, i, i+1)
	}
	t.push(found)
	return found.of
}

// push adds a trail, in the place of the oldest where there is no room.
func (t *trails) push(n trail) {
	if len(t.list) == maxTrails {
		t.remove(t.list[0].name)
		t.list = slices.Delete(t.list, 0, 1)
	}
	t.list = append(t.list, n)
}

// keeper answers a function that keeps the trail of a task, as often as is due.
func (t *trails) keeper(task string, of *pipeline.Trail, count *pipeline.Counters) func() {
	var last time.Time
	return func() {
		if now := time.Now(); now.Sub(last) >= keepTrailEvery {
			last = now
			t.keep(task, of, count)
		}
	}
}

// keep writes the trail of a task as it would be if its attempt ended at once. That it is there
// after a loss of power nobody needs.
func (t *trails) keep(task string, of *pipeline.Trail, count *pipeline.Counters) {
	if t.dir == "" {
		return
	}
	name := filepath.Join(t.dir, trailName(task))
	err := os.MkdirAll(t.dir, 0o700)
	if err == nil {
		err = os.WriteFile(name+".new", of.Marshal(count), 0o600)
	}
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		t.log.Warn("what a backup has done could not be noted", "task", task, "error", err)
	}
}

// forget drops the trail of a task that is done.
func (t *trails) forget(task string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.index(task); i >= 0 {
		t.list = slices.Delete(t.list, i, i+1)
	}
	t.remove(trailName(task))
}

func (t *trails) remove(name string) {
	if t.dir == "" {
		return
	}
	if err := os.Remove(filepath.Join(t.dir, name)); err != nil && !os.IsNotExist(err) {
		t.log.Warn("the note of a backup could not be removed", "file", name, "error", err)
	}
}

func (t *trails) index(task string) int {
	name := trailName(task)
	return slices.IndexFunc(t.list, func(l trail) bool { return l.name == name })
}
