package track

import (
	"encoding/json"
	"os"
	"path/filepath"

	"keepward/internal/durable"
)

// Due tells whether this backup of key is to compare everything, because that is done every so many
// times; 0: never. What cannot be read counts as due.
func (t *Trackers) Due(key string, every int) bool {
	if every <= 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.runs()[key]+1 >= every
}

// ran counts a backup of key that went by a tracker; compared: it was one that compared everything.
// mu is held.
func (t *Trackers) ran(key string, compared bool) {
	runs := t.runs()
	if runs[key]++; compared {
		runs[key] = 0
	}
	b, err := json.Marshal(runs)
	if err == nil {
		err = durable.WriteFile(t.runsFile(), b, 0o600)
	}
	if err != nil {
		t.cfg.Log.Warn("the runs up to the next full comparison could not be counted", "error", err)
	}
}

func (t *Trackers) runsFile() string { return filepath.Join(t.cfg.Dir, "runs.json") }

// runs are the backups since the last full comparison, by their key.
func (t *Trackers) runs() map[string]int {
	runs := map[string]int{}
	if b, err := os.ReadFile(t.runsFile()); err == nil && json.Unmarshal(b, &runs) != nil || runs == nil {
		return map[string]int{}
	}
	return runs
}
