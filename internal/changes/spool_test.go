package changes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func aSpool(t testing.TB, limit int64) *spool {
	t.Helper()
	s, err := newSpool(t.TempDir(), id{1}, id{2}, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	return s
}

func put(t testing.TB, s *spool, kind byte, data string) {
	t.Helper()
	if err := s.write(appendRecord(nil, kind, []byte(data))); err != nil {
		t.Fatal(err)
	}
}

func records(t testing.TB, s *spool, from uint64) (out []string) {
	t.Helper()
	err := s.read(s.files, from, s.end, func(_ uint64, kind byte, b []byte) error {
		out = append(out, string(kind)+string(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSpoolGoesOnInMoreFilesAndIsTrimmed(t *testing.T) {
	s := aSpool(t, 2<<20)
	var at []uint64
	for i := range 3000 {
		at = append(at, s.end)
		put(t, s, recordFact, fmt.Sprintf("%04d%s", i, bytes.Repeat([]byte{'x'}, 200)))
	}
	if len(s.files) < 4 {
		t.Fatalf("%d files", len(s.files))
	}
	if got := records(t, s, at[1000]); len(got) != 2000 || got[0][1:5] != "1000" {
		t.Fatalf("%d records", len(got))
	}
	if err := s.trim(at[1500]); err != nil {
		t.Fatal(err)
	}
	if s.floor == 0 || s.floor > at[1500] || s.why != Trimmed {
		t.Errorf("floor %d, %s; asked for %d", s.floor, s.why, at[1500])
	}
	if got := records(t, s, at[1500]); len(got) != 1500 {
		t.Errorf("%d records", len(got))
	}
	if left, err := spoolFiles(s.dir); err != nil || len(left) != len(s.files) {
		t.Errorf("%d files on disk, %d known, %v", len(left), len(s.files), err)
	}
}

func TestSpoolKeepsToItsLimit(t *testing.T) {
	s := aSpool(t, 1<<20)
	for range 20000 {
		put(t, s, recordFact, string(bytes.Repeat([]byte{'x'}, 200)))
	}
	var size int64
	for _, f := range s.files {
		st, err := os.Stat(s.path(f.base))
		if err != nil {
			t.Fatal(err)
		}
		size += st.Size()
	}
	if size > 1<<20+2*s.perFile {
		t.Errorf("%d bytes", size)
	}
	if s.why != Trimmed || s.floor == 0 {
		t.Errorf("floor %d, %s", s.floor, s.why)
	}
}

// A process may end in the middle of a write, at any byte.
func TestSpoolCutsOffATornEnd(t *testing.T) {
	s := aSpool(t, 1<<20)
	put(t, s, recordFact, "one")
	put(t, s, recordFact, "two")
	good := s.end
	put(t, s, recordHandover, "")
	path := s.path(0)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := spoolHeader; n <= len(whole); n++ {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		r, ended, err := recoverSpool(s.dir, id{2}, 1<<20)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if ended != (n == len(whole)) {
			t.Errorf("%d bytes: ended in order: %v", n, ended)
		}
		want := min(good, uint64(n-spoolHeader))
		if r.end > uint64(n-spoolHeader) || !ended && want == good && r.end != good {
			t.Errorf("%d bytes: the end is %d", n, r.end)
		}
		put(t, r, recordFact, "three")
		if got := records(t, r, 0); got[len(got)-1] != "fthree" {
			t.Errorf("%d bytes: %q", n, got)
		}
		_ = r.close()
		if err := os.RemoveAll(r.path(r.files[len(r.files)-1].base)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSpoolFindsDamage(t *testing.T) {
	s := aSpool(t, 1<<20)
	at := s.end
	put(t, s, recordMark, string((&id{7})[:]))
	put(t, s, recordFact, "one")
	put(t, s, recordHandover, "")
	if err := s.marked(s.files, at, id{7}); err != nil {
		t.Error(err)
	}
	if err := s.marked(s.files, at, id{8}); !errors.Is(err, errSpool) {
		t.Error(err)
	}
	whole, err := os.ReadFile(s.path(0))
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 0x40
		if err := os.WriteFile(s.path(0), b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, ended, err := recoverSpool(s.dir, id{2}, 1<<20)
		if err == nil && ended {
			t.Errorf("byte %d: nothing was noticed", i)
		}
		if i >= spoolHeader {
			if err := s.read(s.files, 0, s.end, func(uint64, byte, []byte) error { return nil }); !errors.Is(err, errSpool) {
				t.Errorf("byte %d: %v", i, err)
			}
		}
	}
	if _, _, err := recoverSpool(s.dir, id{3}, 1<<20); !errors.Is(err, errSpool) {
		t.Errorf("another boot: %v", err)
	}
}

// What cannot be written is a gap, and later positions are good again.
func TestSpoolThatCannotWrite(t *testing.T) {
	s := aSpool(t, 1<<20)
	put(t, s, recordFact, "one")
	before := s.end
	if err := s.cur.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.write(appendRecord(nil, recordFact, []byte("two"))); err == nil {
		t.Fatal("written into a closed file")
	}
	if err := os.Mkdir(filepath.Join(s.dir, "away"), 0o700); err != nil {
		t.Fatal(err)
	}
	dir := s.dir
	s.dir = filepath.Join(dir, "nowhere")
	s.lost(SpoolLost)
	s.dir = dir
	if s.floor <= before || s.why != SpoolLost {
		t.Fatalf("floor %d, %s, behind %d", s.floor, s.why, before)
	}
	at := s.end
	put(t, s, recordFact, "three")
	if got := records(t, s, at); len(got) != 1 || got[0] != "fthree" {
		t.Error(got)
	}
	if err := s.read(s.files, 0, s.end, func(uint64, byte, []byte) error { return nil }); !errors.Is(err, errSpool) {
		t.Errorf("over the gap: %v", err)
	}
}

func FuzzSpoolFile(f *testing.F) {
	s := &spool{dir: f.TempDir(), journal: id{1}, boot: id{2}, limit: 1 << 20, perFile: 1 << 20}
	put(f, s, recordMark, string((&id{7})[:]))
	put(f, s, recordFact, "one")
	put(f, s, recordLost, string(Overflow))
	whole, err := os.ReadFile(s.path(0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "0000000000000000.spool"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, _, err := recoverSpool(dir, id{2}, 1<<20)
		if err != nil {
			return
		}
		if r.end > uint64(len(b)) {
			t.Fatalf("the end is %d of %d bytes", r.end, len(b))
		}
		_ = records(t, r, 0)
	})
}
