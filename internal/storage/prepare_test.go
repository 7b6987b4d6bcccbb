package storage_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

func tree(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(p string, _ os.DirEntry, err error) error {
		out = append(out, p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPrepareRefusesAndChangesNothing(t *testing.T) {
	base := t.TempDir()
	mk := func(parts ...string) string {
		p := filepath.Join(append([]string{base}, parts...)...)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, f := range []string{mk("full", "file"), mk("repo", "marker"), mk("plain")} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(base, "repo"), filepath.Join(base, "link")); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, path, code string }{
		{"not empty", "full", "repository.not-empty"},
		{"a repository", "repo", "repository.exists"},
		{"a repository through a link", "link", "repository.exists"},
		{"within a repository", "repo/sub/dir", "repository.nested"},
		{"within a repository through a link", "link/sub", "repository.nested"},
		{"a file", "plain", "repository.path"},
	}
	before := tree(t, base)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, err := storage.OpenDir(filepath.Join(base, test.path))
			if err != nil {
				t.Fatal(err)
			}
			for _, dry := range []bool{true, false} {
				if err := d.Prepare(context.Background(), "marker", dry); errs.CodeOf(err) != test.code {
					t.Errorf("dry %v: %v, want code %s", dry, err, test.code)
				}
			}
		})
	}
	if after := tree(t, base); len(after) != len(before) {
		t.Fatalf("before %v, after %v", before, after)
	}
}

func TestPrepareMakesWhatIsMissing(t *testing.T) {
	base := t.TempDir()
	d, err := storage.OpenDir(filepath.Join(base, "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Prepare(context.Background(), "marker", true); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, base); len(got) != 1 {
		t.Fatalf("a dry run made %v", got)
	}
	if err := d.Prepare(context.Background(), "marker", false); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, base); len(got) != 3 {
		t.Fatalf("there is %v", got)
	}
}

func TestPrepareRefusesAnUnfitFileSystem(t *testing.T) {
	for _, op := range []memfs.Op{memfs.Link, memfs.SyncDir} {
		t.Run(string(op), func(t *testing.T) {
			m := memfs.New()
			d := memDir(t, m)
			m.SetHook(func(o memfs.Op, _ string) error {
				if o == op {
					return syscall.ENOTSUP
				}
				return nil
			})
			err := d.Prepare(context.Background(), "marker", false)
			if errs.CodeOf(err) != "repository.file-system" || errs.HintOf(err) == "" {
				t.Fatalf("error %v", err)
			}
			if entries, _ := m.ReadDir("/r"); len(entries) != 0 {
				t.Fatalf("left: %v", entries)
			}
		})
	}
}
