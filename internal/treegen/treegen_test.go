//go:build linux

package treegen

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// contents are the regular files of a tree.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		m[relative(dir, path)] = string(b)
		return err
	}))
	return m
}

func TestZooIsWholeAndCanBeRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "zoo")
	must(t, os.Mkdir(dir, 0o755))
	missing, err := Zoo(dir)
	must(t, err)
	if os.Geteuid() == 0 && len(missing) > 0 {
		t.Logf("this file system has no %v", missing)
	}
	must(t, Remove(dir))
	if _, err := os.Lstat(dir); err == nil {
		t.Error("it is still there")
	}
	must(t, Remove(dir))
}

func TestSmallMakesTheNumberAskedFor(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	must(t, Small(a, 450))
	must(t, Small(b, 450))
	files := contents(t, a)
	if len(files) != 450 {
		t.Errorf("%d files", len(files))
	}
	for name, c := range files {
		if len(c) > 2048 {
			t.Errorf("%s has %d bytes", name, len(c))
		}
	}
	if d := cmp.Diff(files, contents(t, b)); d != "" {
		t.Error("the same arguments made another tree")
	}
}

func TestBenchCopiesDifferAndStillCompress(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	r := source(1, 1)
	for _, n := range []string{"a", "b", "c"} {
		must(t, os.WriteFile(filepath.Join(from, n), text(r, nil, 40000), 0o644))
	}
	m, err := Bench(to, BenchOptions{From: []string{from}, Files: 9, Bytes: 9 * 40000, Seed: 1})
	must(t, err)
	if m.Files != 9 || m.Bytes != 9*40000 {
		t.Errorf("%+v", m)
	}
	enc, err := zstd.NewWriter(nil)
	must(t, err)
	shared := map[string]int{}
	for name, c := range contents(t, to) {
		for at := 0; at+4096 <= len(c); at += 4096 {
			shared[c[at:at+4096]]++
		}
		plain, err := os.ReadFile(filepath.Join(from, filepath.Base(name)))
		must(t, err)
		before, after := len(enc.EncodeAll(plain, nil)), len(enc.EncodeAll([]byte(c), nil))
		if bytes.Equal(plain, []byte(c)) || after > before*12/10 {
			t.Errorf("%s: compresses to %d, its original to %d", name, after, before)
		}
	}
	for _, n := range shared {
		if n > 1 {
			t.Error("two copies share 4 KiB")
			break
		}
	}
}

func TestMutateDoesWhatItSays(t *testing.T) {
	dir := t.TempDir()
	must(t, Small(dir, 1000))
	before := contents(t, dir)
	m, err := Mutate(dir, 0.05, 3)
	must(t, err)
	after := contents(t, dir)
	if len(m.Changed) != 50 || len(m.Deleted) != 10 || len(m.Renamed) != 10 || len(m.Added) != 10 || len(m.Chmodded) != 10 {
		t.Errorf("%+v", m)
	}
	for _, n := range m.Changed {
		if before[n] == after[n] {
			t.Errorf("%s has not changed", n)
		}
		delete(before, n)
		delete(after, n)
	}
	for _, n := range m.Deleted {
		delete(before, n)
	}
	for from, to := range m.Renamed {
		before[to] = before[from]
		delete(before, from)
	}
	for _, n := range m.Added {
		delete(after, n)
	}
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("something else changed: %s", d)
	}
}

func TestBigFilesAreAsTheySay(t *testing.T) {
	dir := t.TempDir()
	image, db := filepath.Join(dir, "image"), filepath.Join(dir, "db")
	const size = 32 << 20
	must(t, VMImage(image, size, 1))
	must(t, Database(db, 4<<20, 1))
	before, err := os.ReadFile(db)
	must(t, err)
	must(t, RewritePages(db, 0.05, 1))
	after, err := os.ReadFile(db)
	must(t, err)
	changed := 0
	for at := 0; at < len(after); at += Page {
		if !bytes.Equal(before[at:at+Page], after[at:at+Page]) {
			changed++
		}
	}
	if len(after) != 4<<20 || changed < 10 || changed > 26 {
		t.Errorf("%d bytes, %d pages of 512 changed", len(after), changed)
	}
	st, err := os.Stat(image)
	must(t, err)
	if st.Size() != size {
		t.Errorf("the image has %d bytes", st.Size())
	}
}
