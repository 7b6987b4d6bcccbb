package mariadb

import (
	"os"
	"path/filepath"
	"testing"

	"keepward/internal/app"
)

// TestLinksOfAPointLeadNowhere: it may have been made by a computer that is not to be trusted, and is
// restored by root.
func TestLinksOfAPointLeadNowhere(t *testing.T) {
	for _, name := range []string{"files/data", "more"} {
		dir, out := laid(t, t.TempDir(), about{}), t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "files", "data"), 0o755); err != nil {
			t.Fatal(err)
		}
		there, path := filepath.Join(out, "there"), filepath.Join(dir, name)
		if err := os.Rename(path, there); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(there, logDir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(there, path); err != nil {
			t.Fatal(err)
		}
		err := Kind{}.Recover(t.Context(), &app.Recovery{Dir: dir, Phase: func(string) {}, Event: func(string, string, string) {}})
		if err == nil {
			t.Errorf("%s: it was followed", name)
		}
		if _, err := os.Stat(filepath.Join(there, logDir)); err != nil {
			t.Errorf("%s: what lies elsewhere is removed: %v", name, err)
		}
	}
}
