package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/restore"
)

// An attempt knows since when its restore runs, whatever ended the ones before it, and which
// writes a fall of the computer may have taken: those since the start that fell.
func TestRestoreKnowsWhatCameBefore(t *testing.T) {
	at := func(n int) time.Time { return time.Unix(1_700_000_000, 0).UTC().Add(time.Duration(n) * time.Hour) }
	dir := filepath.Join(t.TempDir(), "restores")
	for i, c := range []struct {
		task, to, boot string
		end            bool // the attempt ends well
		want           restore.Earlier
	}{
		{"a", "/x", "1", false, restore.Earlier{}},
		{"b", "/y", "1", true, restore.Earlier{}}, // another directory
		{"a", "/x", "1", false, restore.Earlier{Began: at(0)}},
		{"a", "/x", "2", false, restore.Earlier{Began: at(0), DoubtFrom: at(0), DoubtTo: at(3)}},
		{"a", "/x", "2", false, restore.Earlier{Began: at(0), DoubtFrom: at(0), DoubtTo: at(3)}},
		{"c", "/x", "3", true, restore.Earlier{DoubtFrom: at(0), DoubtTo: at(5)}}, // another restore goes on there
		{"c", "/x", "3", false, restore.Earlier{}},
		{"b", "/y", "3", false, restore.Earlier{}},
	} {
		m := restoreMarks{dir: dir, boot: c.boot}
		got, err := m.begin(c.task, c.to, at(i))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("attempt %d: %s", i, d)
		}
		if c.end {
			if err := m.end(c.to); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestMarksThatNobodyCameBackToGo(t *testing.T) {
	m := restoreMarks{dir: filepath.Join(t.TempDir(), "restores"), boot: "1"}
	now := time.Now()
	m.forgetOld(now) // there may be none
	for _, to := range []string{"/old", "/new"} {
		if _, err := m.begin("a", to, now); err != nil {
			t.Fatal(err)
		}
	}
	long := now.Add(-marksKeep - time.Hour)
	if err := os.Chtimes(m.path("/old"), long, long); err != nil {
		t.Fatal(err)
	}
	m.forgetOld(now)
	if _, err := os.Stat(m.path("/old")); !os.IsNotExist(err) {
		t.Errorf("the old one is there: %v", err)
	}
	if _, err := os.Stat(m.path("/new")); err != nil {
		t.Errorf("the new one: %v", err)
	}
}
