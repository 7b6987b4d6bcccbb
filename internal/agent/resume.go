package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"keepward/internal/durable"
	"keepward/internal/restore"
)

// restoreMarks remembers restores that have begun and not ended well, one for each directory
// restored to, so that the next attempt knows what to believe of what it finds there.
type restoreMarks struct {
	dir  string
	boot string // of this computer; empty where it cannot be told
}

// restoreMark is one of them.
type restoreMark struct {
	Task string
	// Began is when the first attempt of the task began.
	Began time.Time
	// Boot is the start of the computer under which it was written, since when.
	Boot      string
	BootSince time.Time
	// Doubt are the times of writes that a fall of the computer may have taken.
	DoubtFrom, DoubtTo time.Time
}

// marksKeep is how long a mark is kept that nobody came back to.
const marksKeep = 60 * 24 * time.Hour

func (m *restoreMarks) path(to string) string {
	sum := sha256.Sum256([]byte(to))
	return filepath.Join(m.dir, hex.EncodeToString(sum[:16]))
}

// begin notes that an attempt of task begins to write to a directory, and answers what is
// known of those before it.
func (m *restoreMarks) begin(task, to string, now time.Time) (restore.Earlier, error) {
	var old restoreMark
	b, err := os.ReadFile(m.path(to))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return restore.Earlier{}, err
	}
	if err == nil {
		_ = json.Unmarshal(b, &old) // what cannot be read says nothing
	}
	mark, earlier := next(old, task, m.boot, now)
	m.forgetOld(now)
	b, err = json.Marshal(mark)
	if err != nil {
		return earlier, err
	}
	return earlier, m.write(m.path(to), b)
}

// next is the mark of an attempt that begins where old was left.
func next(old restoreMark, task, boot string, now time.Time) (restoreMark, restore.Earlier) {
	mark := restoreMark{Task: task, Began: now, Boot: boot, BootSince: now}
	if old.Began.IsZero() {
		return mark, restore.Earlier{}
	}
	var e restore.Earlier
	mark.DoubtFrom, mark.DoubtTo = old.DoubtFrom, old.DoubtTo
	if old.Boot == boot {
		mark.BootSince = old.BootSince
	} else {
		mark.DoubtTo = now
		if mark.DoubtFrom.IsZero() {
			mark.DoubtFrom = old.BootSince
		}
	}
	if old.Task == task {
		mark.Began, e.Began = old.Began, old.Began
	}
	e.DoubtFrom, e.DoubtTo = mark.DoubtFrom, mark.DoubtTo
	return mark, e
}

// end forgets a restore that ended well: all of it is on disk.
func (m *restoreMarks) end(to string) error {
	err := os.Remove(m.path(to))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// write replaces a mark; it is durable before anything is restored.
func (m *restoreMarks) write(path string, b []byte) error {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	return durable.WriteFile(path, b, 0o600)
}

// forgetOld removes marks that nobody came back to. It does what it can.
func (m *restoreMarks) forgetOld(now time.Time) {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > marksKeep {
			_ = os.Remove(filepath.Join(m.dir, e.Name()))
		}
	}
}
