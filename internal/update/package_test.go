package update

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"keepward/internal/errs"
	"keepward/internal/pki"
)

func authority(t *testing.T) *pki.Authority {
	t.Helper()
	a, err := pki.Open(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// packageOf is one for the platform of the test.
func packageOf(content []byte, version string) Package {
	sum := sha256.Sum256(content)
	return Package{OS: runtime.GOOS, Arch: runtime.GOARCH, Version: version, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
}

func TestOnlyWhatTheOwnAuthoritySignedIsTaken(t *testing.T) {
	own, other := authority(t), authority(t)
	p := packageOf([]byte("program"), "1.2.3")
	sign := func(a *pki.Authority, p Package) []byte {
		s, err := a.Sign(p.Statement())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	good := sign(own, p)
	if err := p.Verify(own.Certificate, good); err != nil {
		t.Fatal(err)
	}
	altered := func(change func(*Package)) Package { q := p; change(&q); return q }
	for name, c := range map[string]struct {
		p    Package
		s    []byte
		code string
	}{
		"another authority": {p, sign(other, p), "package.signature"},
		"no signature":      {p, nil, "package.signature"},
		"cut signature":     {p, good[:len(good)-1], "package.signature"},
		"another version":   {altered(func(q *Package) { q.Version = "1.2.4" }), good, "package.signature"},
		"another platform":  {altered(func(q *Package) { q.Arch = "mips" }), good, "package.signature"},
		"another size":      {altered(func(q *Package) { q.Size++ }), good, "package.signature"},
		"another digest":    {altered(func(q *Package) { q.SHA256 = strings.Repeat("0", 64) }), good, "package.signature"},
		"a line in it":      {altered(func(q *Package) { q.Version = "1\nsize 1" }), good, "package.version"},
		"too large":         {altered(func(q *Package) { q.Size = SizeMost + 1 }), good, "package.size"},
	} {
		if err := c.p.Verify(own.Certificate, c.s); errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sourceOf sends content in parts.
func sourceOf(content []byte, part int) Source {
	return func(_ context.Context, _ string, offset int64) ([]byte, error) {
		rest := content[min(offset, int64(len(content))):]
		return rest[:min(part, len(rest))], nil
	}
}

func plenty(string) (int64, error) { return 1 << 40, nil }

func TestWhatDoesNotComeWholeIsNotKept(t *testing.T) {
	content := bytes.Repeat([]byte("keepward"), 1000)
	p := packageOf(content, "1.2.3")
	wrong := bytes.Clone(content)
	wrong[4000] ^= 1
	for name, c := range map[string]struct {
		from Source
		free func(string) (int64, error)
		code string
		kept bool
	}{
		"whole":      {sourceOf(content, 999), plenty, "", true},
		"truncated":  {sourceOf(content[:5000], 999), plenty, "update.truncated", true}, // it goes on from there
		"altered":    {sourceOf(wrong, 999), plenty, "update.digest", false},
		"more of it": {func(context.Context, string, int64) ([]byte, error) { return make([]byte, p.Size+1), nil }, plenty, "update.oversize", true},
		"disk full":  {sourceOf(content, 999), func(string) (int64, error) { return p.Size, nil }, "update.room", true},
	} {
		dir := t.TempDir()
		path, err := fetch(t.Context(), dir, p, c.free, c.from, func(int64) {})
		if errs.CodeOf(err) != c.code || (err == nil) != (path != "") {
			t.Errorf("%s: %q, %v", name, path, err)
		}
		if name == "disk full" && errs.KindOf(err) != errs.NoSpace {
			t.Errorf("%s: of kind %q", name, errs.KindOf(err))
		}
		if _, err := os.Stat(filepath.Join(dir, p.SHA256+partSuffix)); (err == nil) != c.kept {
			t.Errorf("%s: what came is there: %v", name, err == nil)
		}
	}
}

func TestADownloadGoesOnWhereItWasCutOff(t *testing.T) {
	content := bytes.Repeat([]byte("keepward"), 1000)
	p, dir := packageOf(content, "1.2.3"), t.TempDir()
	lost := errs.New(errs.Unavailable, "link.lost", "gone")
	sent := 0
	from := func(ctx context.Context, sum string, offset int64) ([]byte, error) {
		if sent == 5000 {
			sent++
			return nil, lost
		}
		b, err := sourceOf(content, 1000)(ctx, sum, offset)
		sent += len(b)
		return b, err
	}
	if err := os.WriteFile(filepath.Join(dir, "00"+partSuffix), []byte("of another one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(t.Context(), dir, p, plenty, from, func(int64) {}); !errors.Is(err, lost) {
		t.Fatalf("the first time: %v", err)
	}
	first := int64(-1)
	path, err := fetch(t.Context(), dir, p, plenty, from, func(have int64) {
		if first < 0 {
			first = have
		}
	})
	if err != nil || first == 0 {
		t.Fatalf("it goes on from %d: %v", first, err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes came: %v", len(got), err)
	}
	if list, _ := filepath.Glob(filepath.Join(dir, "*"+partSuffix)); len(list) != 1 {
		t.Errorf("there are %v", list)
	}
}

func TestAFullDiskInTheMiddleIsSaid(t *testing.T) {
	if errs.KindOf(syscall.ENOSPC) != errs.NoSpace {
		t.Fatal("a full disk is of another kind")
	}
	p := packageOf([]byte("x"), "1")
	if err := room(func(string) (int64, error) { return spare, nil }, "/x", p.Size); errs.KindOf(err) != errs.NoSpace {
		t.Errorf("room for one byte too few: %v", err)
	}
	if err := room(func(string) (int64, error) { return spare + 1, nil }, "/x", p.Size); err != nil {
		t.Errorf("room for just enough: %v", err)
	}
}

func homeIn(t *testing.T, content string) home {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keepward")
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return home{path, st}
}

func TestAProgramTakesThePlaceOfAnotherThatIsKept(t *testing.T) {
	h := homeIn(t, "old")
	from := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(from, []byte("newer"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.stage(from, packageOf([]byte("wrong"), "1")); errs.CodeOf(err) != "update.digest" {
		t.Fatalf("what was altered on the disk is laid beside: %v", err)
	}
	if _, err := os.Stat(h.staged()); err == nil {
		t.Error("and is left there")
	}
	if err := h.stage(from, packageOf([]byte("newer"), "1")); err != nil {
		t.Fatal(err)
	}
	if err := h.replace(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{h.path: "newer", h.previous(): "old"} {
		got, err := os.ReadFile(path)
		st, _ := os.Stat(path)
		if err != nil || string(got) != want || st.Mode().Perm() != 0o755 {
			t.Errorf("%s is %q, %v: %v", path, got, st.Mode(), err)
		}
	}
	if !h.replaced() {
		t.Error("it is not seen that another file has the place")
	}
}

func TestWhatAPackageOfTheSystemOwnsIsLeftAlone(t *testing.T) {
	for path, want := range map[string]bool{
		"/usr/bin/keepward": true, "/usr/sbin/keepward": true, "/bin/keepward": true, "/nix/store/x/bin/keepward": true,
		filepath.Join(t.TempDir(), "nowhere", "keepward"): true, // nothing can be written there
		filepath.Join(t.TempDir(), "keepward"):            false,
	} {
		why := home{path: path}.managed()
		if (why != "") != want || want && !strings.HasPrefix(why, "managed by the package, not updated by itself") {
			t.Errorf("%s: %q", path, why)
		}
	}
}

func TestAProgramSaysWhatItIs(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Inspect(f, st.Size(), "1.2.3")
	if err != nil || p.Platform() != runtime.GOOS+"/"+runtime.GOARCH || p.Version != "1.2.3" {
		t.Errorf("%+v: %v", p, err)
	}
	if want, _ := digest(path); p.SHA256 != want {
		t.Errorf("its digest is %s, not %s", p.SHA256, want)
	}
	if _, err := Inspect(f, st.Size(), ""); errs.CodeOf(err) != "package.program" {
		t.Errorf("another program: %v", err)
	}
	if _, err := Inspect(strings.NewReader("#!/bin/sh"), 9, "1.2.3"); errs.CodeOf(err) != "package.program" {
		t.Errorf("no program: %v", err)
	}
}

func TestTheMarkOfAVersionIsFoundWhereverItLies(t *testing.T) {
	at := "{keepward:" // in two parts, so that this program has no mark
	for _, offset := range []int{0, 1, 1<<20 - 40, 1<<20 - 5, 1 << 20, 3<<20 + 17} {
		b := bytes.Repeat([]byte("{keep"), (4<<20)/5)
		copy(b[offset:], at+"v1.2.3-4-gabc}")
		found, err := scan(bytes.NewReader(b))
		if err != nil || len(found) != 1 || found[0] != "v1.2.3-4-gabc" {
			t.Errorf("at %d: %v, %v", offset, found, err)
		}
	}
	for _, none := range []string{"", at, at + "}", at + strings.Repeat("1", 65) + "}", at + "1 2}"} {
		if found, err := scan(strings.NewReader(none)); err != nil || len(found) > 0 {
			t.Errorf("%q: %v, %v", none, found, err)
		}
	}
}
