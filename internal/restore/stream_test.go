//go:build linux

package restore

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// counting counts what it is given, up to a failure.
type counting struct {
	bytes.Buffer
	most int // 0: all
}

var errFull = errors.New("it takes no more")

func (c *counting) Write(p []byte) (int, error) {
	if c.most > 0 && c.Len()+len(p) > c.most {
		return 0, errFull
	}
	return c.Buffer.Write(p)
}

func TestAFileIsStreamedAsItWas(t *testing.T) {
	dir := tempDir(t)
	files := map[string][]byte{"empty": {}, "small": []byte("some text"), "zeros": make([]byte, 1<<20), "large": make([]byte, 30<<20)}
	_, _ = rand.NewChaCha8([32]byte{1}).Read(files["large"])
	clear(files["large"][5<<20 : 9<<20])
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must(t, os.Link(filepath.Join(dir, "small"), filepath.Join(dir, "other-name")))
	files["other-name"] = files["small"]
	s := newStore()
	name := s.backup(t, dir)
	stream := func(path string, to *counting) (int64, error) {
		return Stream(t.Context(), Options{Store: s, Keys: s.keys, Point: name, Paths: [][]byte{[]byte(filepath.Join(dir, path))}}, to)
	}
	for path, content := range files {
		to := &counting{}
		if n, err := stream(path, to); err != nil || n != int64(len(content)) || !bytes.Equal(to.Bytes(), content) {
			t.Errorf("%s: %d bytes, %v", path, n, err)
		}
	}
	if _, err := stream("large", &counting{most: 10 << 20}); !errors.Is(err, errFull) {
		t.Errorf("ended with %v", err)
	}
	if _, err := stream("nothing", &counting{}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("what is not there: %v", err)
	}
	if _, err := stream("", &counting{}); errs.CodeOf(err) != "restore.no-file" {
		t.Errorf("a directory: %v", err)
	}
	// A chunk that cannot be read ends it before the end.
	bad, gone := errs.New(errs.Corrupt, "chunk.damaged", "damaged"), 0
	s.onGet = func(seal.ID) error {
		if gone++; gone > 12 {
			return bad
		}
		return nil
	}
	to := &counting{}
	if n, err := stream("large", to); errs.CodeOf(err) != "chunk.damaged" || n == int64(len(files["large"])) {
		t.Errorf("%d bytes, %v", n, err)
	}
}
