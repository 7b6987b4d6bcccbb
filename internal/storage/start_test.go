package storage

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/storage/vfs"
)

// starting is a file system that keeps what was asked to be begun.
type starting struct {
	vfs.OS
	ranges *[][2]int64
}

type startingFile struct {
	vfs.File
	ranges *[][2]int64
}

func (s starting) Create(name string) (vfs.File, error) {
	f, err := s.OS.Create(name)
	return startingFile{f, s.ranges}, err
}

func (f startingFile) StartSync(offset, size int64) {
	*f.ranges = append(*f.ranges, [2]int64{offset, size})
}

func TestTheDiskBeginsBeforeTheEnd(t *testing.T) {
	var got [][2]int64
	d := NewDir(starting{ranges: &got}, t.TempDir())
	w, err := d.Create(t.Context(), "packs/a")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := w.Write(make([]byte, startEvery/2+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := [][2]int64{{0, startEvery + 2}, {startEvery + 2, startEvery + 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
