package site

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A comparison that sees nothing would let every test pass.
func TestRsyncDiffSeesEveryKindOfDifference(t *testing.T) {
	at := time.Unix(1_700_000_000, 123_456_789)
	for _, c := range []struct {
		name   string
		change func(dir string) error
		differ bool
	}{
		{"nothing", func(string) error { return nil }, false},
		{"content of equal size and time", func(dir string) error { return os.WriteFile(filepath.Join(dir, "file"), []byte("texT"), 0o644) }, true},
		{"mode", func(dir string) error { return os.Chmod(filepath.Join(dir, "file"), 0o600) }, true},
		{"missing", func(dir string) error { return os.Remove(filepath.Join(dir, "link")) }, true},
		{"extra", func(dir string) error { return os.WriteFile(filepath.Join(dir, "extra"), nil, 0o644) }, true},
		{"target", func(dir string) error {
			link := filepath.Join(dir, "link")
			if err := os.Remove(link); err != nil {
				return err
			}
			return os.Symlink("elsewhere", link)
		}, true},
		{"excluded", func(dir string) error { return os.WriteFile(filepath.Join(dir, "x.pyc"), nil, 0o644) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := t.TempDir(), t.TempDir()
			for _, dir := range []string{a, b} {
				if err := os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink("file", filepath.Join(dir, "link")); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.change(b); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{filepath.Join(a, "file"), filepath.Join(b, "file"), a, b} {
				if err := os.Chtimes(path, at, at); err != nil {
					t.Fatal(err)
				}
			}
			diff, err := RsyncDiff(a, b, "*.pyc")
			if err != nil {
				t.Fatal(err)
			}
			if (diff != "") != c.differ {
				t.Errorf("rsync says %q", diff)
			}
		})
	}
}

// The trees of tests must be the same when they are made again, or a seed says nothing.
func TestRandomTreeIsItsSeed(t *testing.T) {
	a, b, c := t.TempDir(), t.TempDir(), t.TempDir()
	for dir, seed := range map[string]uint64{a: 1, b: 1, c: 2} {
		if err := RandomTree(dir, 150, 1<<20, seed); err != nil {
			t.Fatal(err)
		}
	}
	size, err := Size(a)
	if err != nil || size < 900<<10 || size > 1200<<10 {
		t.Errorf("the tree has %d bytes, want about 1 MiB: %v", size, err)
	}
	for _, f := range []string{"d001/f00149", "large3"} {
		one, err1 := os.ReadFile(filepath.Join(a, f))
		two, err2 := os.ReadFile(filepath.Join(b, f))
		other, err3 := os.ReadFile(filepath.Join(c, f))
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatal(err1, err2, err3)
		}
		if string(one) != string(two) || string(one) == string(other) {
			t.Errorf("%s does not depend on the seed alone", f)
		}
	}
}
