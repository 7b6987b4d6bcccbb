//go:build linux

package restore

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// randomFile is content that nothing compresses, of n bytes.
func randomFile(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = r.Read(b) // never fails
	return b
}

// A large file that is there is changed only where it differs, and only that is fetched.
func TestLargeFilesAreChangedInPlace(t *testing.T) {
	const size = 24 << 20
	src := tempDir(t)
	content := randomFile(size, 1)
	clear(content[9<<20 : 11<<20])
	file := filepath.Join(src, "f")
	must(t, os.WriteFile(file, content, 0o640))
	at := time.Unix(1_700_000_000, 5)
	must(t, os.Chtimes(file, at, at))
	s := newStore()
	name := s.backup(t, src)

	with := func(change func(b []byte)) []byte {
		b := bytes.Clone(content)
		change(b)
		return b
	}
	for _, c := range []struct {
		name    string
		there   []byte
		mode    os.FileMode
		fetched int64 // at most
		inPlace bool
	}{
		{"the same", content, 0o640, 64 << 10, true},
		{"one byte differs", with(func(b []byte) { b[5<<20]++ }), 0o640, 5 << 20, true},
		{"zeros hold data", with(func(b []byte) { b[10<<20] = 1 }), 0o640, 5 << 20, true},
		{"two ends differ", with(func(b []byte) { b[0]++; b[size-1]++ }), 0o640, 9 << 20, true},
		{"shorter", content[:7<<20+11], 0o640, size - 4<<20, true},
		{"longer", append(bytes.Clone(content), content[:2<<20]...), 0o600, 5 << 20, true},
		{"another file", randomFile(size, 2), 0o600, size + 1<<20, true},
		{"open to more people", content, 0o666, size + 1<<20, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := tempDir(t)
			path := filepath.Join(to, "f")
			must(t, os.WriteFile(path, c.there, 0o600))
			must(t, os.Chmod(path, c.mode))
			before := inodeOf(t, path)
			var l log
			n := restoreOK(t, s.options(name, src, to, &l))
			if n.Errors+n.Warnings != 0 {
				t.Errorf("%v", l.events)
			}
			same(t, src, to)
			if n.FetchedBytes > c.fetched {
				t.Errorf("fetched %d bytes, at most %d are needed", n.FetchedBytes, c.fetched)
			}
			if inPlace := inodeOf(t, path) == before; inPlace != c.inPlace {
				t.Errorf("changed in place: %v, want %v", inPlace, c.inPlace)
			}
			const zeros = 2 << 20 // are not fetched
			if c.inPlace && n.SkippedBytes+n.FetchedBytes < size-zeros {
				t.Errorf("%d bytes were right and %d fetched, of %d", n.SkippedBytes, n.FetchedBytes, size)
			}
			if n.SkippedBytes > size {
				t.Errorf("%d bytes of %d were right", n.SkippedBytes, size)
			}
		})
	}
}

// A restore that is stopped in the middle of a file that is there leaves it in between, and
// its time does not say that it is right: the next one goes on.
func TestFileChangedHalfIsNotTakenForFinished(t *testing.T) {
	src := tempDir(t)
	file := filepath.Join(src, "f")
	must(t, os.WriteFile(file, randomFile(24<<20, 1), 0o644))
	at := time.Unix(1_700_000_000, 0)
	must(t, os.Chtimes(file, at, at))
	s := newStore()
	name := s.backup(t, src)

	to := tempDir(t)
	path := filepath.Join(to, "f")
	must(t, os.WriteFile(path, randomFile(24<<20, 2), 0o644))
	var l log
	s.stopAfter(12)
	if _, err := Run(t.Context(), s.options(name, src, to, &l)); err == nil {
		t.Fatal("the restore was to be stopped")
	}
	s.onGet = nil
	got := []byte(read(t, path))
	if bytes.Equal(got, randomFile(24<<20, 2)) || bytes.Equal(got, randomFile(24<<20, 1)) {
		t.Fatal("it was to be stopped in the middle")
	}
	o := s.options(name, src, to, &l)
	n := restoreOK(t, o)
	same(t, src, to)
	if n.FetchedBytes > 22<<20 || n.SkippedBytes == 0 {
		t.Errorf("it began anew: fetched %d bytes, %d were right", n.FetchedBytes, n.SkippedBytes)
	}
}

// tick waits until the clock of the file system has gone on, and answers what it says.
func tick(t testing.TB, after time.Time) time.Time {
	t.Helper()
	for {
		st, err := os.Stat(t.TempDir())
		must(t, err)
		if after.IsZero() || st.ModTime().After(after) {
			return st.ModTime()
		}
	}
}

func inodeOf(t testing.TB, path string) uint64 {
	t.Helper()
	st, err := os.Stat(path)
	must(t, err)
	return st.Sys().(*syscall.Stat_t).Ino
}

// A directory that an earlier attempt made is put right whatever the policy says of what is
// there; one that was there before is left.
func TestDirectoriesOfEarlierAttemptsArePutRight(t *testing.T) {
	src := tree(t, map[string]string{"mine/a": "1", "there/b": "2"})
	at := time.Unix(1_600_000_000, 0)
	for _, dir := range []string{"mine", "there"} {
		must(t, os.Chmod(filepath.Join(src, dir), 0o751))
		must(t, os.Chtimes(filepath.Join(src, dir), at, at))
	}
	s := newStore()
	name := s.backup(t, src)
	to := tempDir(t)
	must(t, os.Mkdir(filepath.Join(to, "there"), 0o700))
	var l log
	o := s.options(name, src, to, &l)
	o.Overwrite, o.Earlier.Began = Never, tick(t, tick(t, time.Time{}))
	must(t, os.Mkdir(filepath.Join(to, "mine"), 0o700))
	restoreOK(t, o)
	for dir, want := range map[string]os.FileMode{"mine": 0o751, "there": 0o700} {
		st, err := os.Stat(filepath.Join(to, dir))
		must(t, err)
		if st.Mode().Perm() != want || st.ModTime().Equal(at) != (dir == "mine") {
			t.Errorf("%s: %v of %v", dir, st.Mode(), st.ModTime())
		}
	}
}
