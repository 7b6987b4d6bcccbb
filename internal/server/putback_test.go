package server

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"keepward/internal/catalog"
	"keepward/internal/errs"
)

// backedUp is what a restore point of a server holds, below the path that it had there.
func backedUp(t *testing.T) (from, site string) {
	t.Helper()
	from = t.TempDir()
	site = filepath.Join(from, "var", "lib", "keepward", ownDir, siteDir)
	if err := os.MkdirAll(site, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range keyFiles {
		if err := os.WriteFile(filepath.Join(site, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), catalogFile)
	db, err := catalog.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := catalog.Copy(context.Background(), path, filepath.Join(site, catalogFile)); err != nil {
		t.Fatal(err)
	}
	return from, site
}

func TestAServerIsPutBack(t *testing.T) {
	from, _ := backedUp(t)
	dir := t.TempDir()
	if err := PutBack(t.Context(), from, dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range keyFiles {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != name {
			t.Errorf("%s holds %q (%v)", name, b, err)
		}
	}
	if err := catalog.Proven(t.Context(), filepath.Join(dir, catalogFile)); err != nil {
		t.Error(err)
	}
	again, _ := backedUp(t)
	if err := PutBack(t.Context(), again, dir); errs.CodeOf(err) != "server-backup.occupied" {
		t.Errorf("a server was put back over another: %v", err)
	}
}

func TestWhatIsNotWholeIsNotPutBack(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(site string) error
		kind   errs.Kind
	}{
		{"no catalog", func(site string) error { return os.Remove(filepath.Join(site, catalogFile)) }, errs.Corrupt},
		{"a catalog that is none", func(site string) error {
			return os.WriteFile(filepath.Join(site, catalogFile), []byte("no database at all, though it is long enough to have a header in it: 100 bytes are what that takes"), 0o600)
		}, errs.Corrupt},
		{"no key", func(site string) error { return os.Remove(filepath.Join(site, secretFile)) }, errs.Corrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from, site := backedUp(t)
			if err := tt.damage(site); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := PutBack(t.Context(), from, dir); errs.KindOf(err) != tt.kind {
				t.Errorf("%v, want %s", err, tt.kind)
			}
			if _, err := os.Stat(filepath.Join(dir, catalogFile)); err == nil {
				t.Error("there is a catalog all the same")
			}
		})
	}
}
