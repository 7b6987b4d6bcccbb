package pipeline

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// coldFile makes a file that the system does not hold in memory.
func coldFile(t *testing.T, path string, size int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i>>8) ^ byte(i*7)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	if n := cachedPages(t, path); n > 0 {
		t.Skipf("the system keeps %d pages of a file that was let go", n)
	}
}

func cachedPages(t *testing.T, path string) uint64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var stat unix.Cachestat_t
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{Len: uint64(fi.Size())}, &stat, 0); err != nil {
		t.Skip("the system does not say what it holds in memory: ", err)
	}
	return stat.Cache
}

func TestPageCacheIsLeftAsItWasFound(t *testing.T) {
	s := newSite(t)
	for name, size := range map[string]int{"large": 20 << 20, "kept": 3 << 20, "small": 100 << 10} {
		if err := os.Mkdir(s.path(name), 0o755); err != nil {
			t.Fatal(err)
		}
		coldFile(t, filepath.Join(s.path(name), "file"), size)
	}
	if _, err := os.ReadFile(s.path("kept/file")); err != nil {
		t.Fatal(err)
	}
	s.backup("")
	for name, want := range map[string]uint64{"large": 0, "kept": 3 << 20 >> 12, "small": 0} {
		if got := cachedPages(t, filepath.Join(s.path(name), "file")); got != want {
			t.Errorf("of %s the system holds %d pages, want %d", name, got, want)
		}
	}
}
