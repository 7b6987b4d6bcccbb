package storage

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"keepward/internal/storage/vfs/memfs"
)

func TestOnlyWhatWasLeftLongAgoIsDust(t *testing.T) {
	d, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := d.Dust(t.Context()); n != 0 || err != nil {
		t.Fatalf("a folder that is not there: %d, %v", n, err)
	}
	if err := d.Put(t.Context(), "points/a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, age := range map[string]time.Duration{"old": dustAge + time.Hour, "young": dustAge - time.Hour, "ahead": -1000 * time.Hour} {
		file := filepath.Join(d.Path(), tmpDir, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	long := now.Add(-10 * dustAge)
	if err := os.Chtimes(filepath.Join(d.Path(), "points", "a"), long, long); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Dust(t.Context()); n != 1 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	left, err := os.ReadDir(filepath.Join(d.Path(), tmpDir))
	if err != nil || len(left) != 2 || left[0].Name() != "ahead" || left[1].Name() != "young" {
		t.Errorf("left are %v, %v", left, err)
	}
	if _, err := d.Get(t.Context(), "points/a", 10); err != nil {
		t.Error(err)
	}
}

func TestAFileSystemWithoutTimesHasNoDust(t *testing.T) {
	d := NewDir(memfs.New(), "/r")
	if n, err := d.Dust(t.Context()); n != 0 || err != nil {
		t.Error(n, err)
	}
}
