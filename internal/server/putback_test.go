package server

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
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
	if err := PutBack(t.Context(), from, dir, Return{}); err != nil {
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
	if term := termOf(t, dir); term != 0 {
		t.Errorf("nobody wanted a term, and it is %d", term)
	}
	again, _ := backedUp(t)
	if err := PutBack(t.Context(), again, dir, Return{}); errs.CodeOf(err) != "server-backup.occupied" {
		t.Errorf("a server was put back over another: %v", err)
	}
}

func termOf(t *testing.T, dir string) uint64 {
	t.Helper()
	db, err := catalog.Open(t.Context(), filepath.Join(dir, catalogFile))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	term, err := catalog.Term(t.Context(), db.Read())
	if err != nil {
		t.Fatal(err)
	}
	return term
}

func TestAServerComesBackAboveTheFormerOne(t *testing.T) {
	from, _ := backedUp(t)
	dir := t.TempDir()
	if err := PutBack(t.Context(), from, dir, Return{Above: 41}); err != nil {
		t.Fatal(err)
	}
	if term := termOf(t, dir); term != 41 {
		t.Errorf("the next start begins above %d, want 41", term)
	}
}

// What a repository has got since the backup is read once, as soon as the repository is there.
func TestAServerThatIsPutBackReadsWhatWasMadeSince(t *testing.T) {
	old := loseServer(t)
	path := filepath.Join(old.dir, catalogFile)
	if err := (Return{}).prepare(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	s := start(t, old.dir)
	s.joinTransport(old.f)
	db, err := catalog.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	waitFor(t, func() bool {
		left, err := returned(t.Context(), db.Read())
		if err != nil {
			t.Fatal(err)
		}
		return len(left) == 0
	})
	c := must(s.computers().GetComputer(t.Context(), connect.NewRequest(&keepwardv1.GetComputerRequest{Name: "web7"})))(t)
	if len(c.Points) != 2 {
		t.Errorf("the points are %v", c.Points)
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
		{"a catalog with a bad page", func(site string) error {
			f, err := os.OpenFile(filepath.Join(site, catalogFile), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			size, err := f.Seek(0, io.SeekEnd)
			if err != nil {
				return err
			}
			_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, 4096), size-4096)
			return err
		}, errs.Corrupt},
		{"no key", func(site string) error { return os.Remove(filepath.Join(site, secretFile)) }, errs.Corrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from, site := backedUp(t)
			if err := tt.damage(site); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := PutBack(t.Context(), from, dir, Return{}); errs.KindOf(err) != tt.kind {
				t.Errorf("%v, want %s", err, tt.kind)
			}
			if _, err := os.Stat(filepath.Join(dir, catalogFile)); err == nil {
				t.Error("there is a catalog all the same")
			}
		})
	}
}
