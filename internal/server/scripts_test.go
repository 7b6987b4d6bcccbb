package server

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"keepward/internal/errs"
)

func TestOnlyScriptsOfTheFolderAreFound(t *testing.T) {
	base := t.TempDir()
	dir, outside := filepath.Join(base, "scripts"), filepath.Join(base, "outside")
	err := errors.Join(
		os.MkdirAll(filepath.Join(dir, "sub"), 0o700),
		os.WriteFile(filepath.Join(dir, "good"), nil, 0o700),
		os.WriteFile(filepath.Join(dir, "sub", "good"), nil, 0o700),
		os.WriteFile(outside, nil, 0o700),
		os.Symlink("good", filepath.Join(dir, "inner")),
		os.Symlink(outside, filepath.Join(dir, "outer")),
		os.Symlink(base, filepath.Join(dir, "up")),
		os.Symlink(dir, filepath.Join(base, "linked")),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, code string }{
		{"good", ""},
		{"sub/good", ""},
		{"inner", ""},
		{"outer", "script.not-allowed"},
		{"up/outside", "script.not-allowed"},
		{"../outside", "script.not-allowed"},
		{outside, "script.not-allowed"},
		{"", "script.not-allowed"},
		{".", "script.not-allowed"},
		{"up/scripts", "script.not-allowed"},
		{"gone", "script.missing"},
	} {
		for _, folder := range []string{dir, filepath.Join(base, "linked")} {
			if _, err := scriptFolder(folder).find(c.name); errs.CodeOf(err) != c.code {
				t.Errorf("%q in %s: %v, want %q", c.name, folder, err, c.code)
			}
		}
	}
	if _, err := scriptFolder(filepath.Join(base, "nowhere")).find("good"); errs.CodeOf(err) != "script.missing" {
		t.Errorf("without the folder: %v", err)
	}
}
