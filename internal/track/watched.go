package track

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"keepward/internal/durable"
	"keepward/internal/snapshot"
)

// watched is a line of the list of volumes that have a journal: a process that starts watches them
// from its start on, not only from its first backup.
type watched struct {
	Mount string    `json:"mount"`
	Until time.Time `json:"until"`
}

func (t *Trackers) list() string { return filepath.Join(t.cfg.Dir, "watched.json") }

// note writes the list; mu is held. Without it the next process begins later, no more.
func (t *Trackers) note() {
	list := []watched{}
	for _, j := range t.journals {
		list = append(list, watched{j.volume.Mount, j.until})
	}
	b, err := json.Marshal(list)
	if err == nil {
		err = durable.WriteFile(t.list(), b, 0o600)
	}
	if err != nil {
		t.cfg.Log.Warn("which volumes are watched could not be noted", "error", err)
	}
}

// takeUp watches what the process before has watched. What it wrote down is of no use any more:
// nobody was told what happened in between.
func (t *Trackers) takeUp() {
	if err := os.RemoveAll(filepath.Join(t.cfg.Dir, "journals")); err != nil {
		t.cfg.Log.Warn("old journals of changes could not be removed", "error", err)
	}
	b, err := os.ReadFile(t.list())
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var list []watched
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	mounts, verr := snapshot.Visible()
	if err = errors.Join(err, verr); err != nil {
		t.cfg.Log.Warn("which volumes are to be watched cannot be told; each is from its next backup on", "error", err)
		return
	}
	for _, w := range list {
		if t.cfg.Now().After(w.Until) {
			continue
		}
		for _, v := range mounts {
			if v.Mount != w.Mount || !journaled[v.Type] {
				continue
			}
			if _, err := t.watch(v, w.Until); err != nil {
				t.cfg.Log.Warn("what changes on a volume cannot be watched", "volume", v.Mount, "error", err)
			}
		}
	}
}
