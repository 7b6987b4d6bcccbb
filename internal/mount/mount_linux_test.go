package mount

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/errs"
	"keepward/internal/treecmp"
	"keepward/internal/treegen"
)

func same(t *testing.T, want, got string) {
	t.Helper()
	var lines []string
	res, err := treecmp.Each(want, got, treecmp.Options{IgnoreFlags: true}, func(line string) { lines = append(lines, line) })
	must(t, err)
	if len(lines) > 0 || res.Entries < 2 {
		t.Fatalf("%d entries are compared, and differ:\n%s", res.Entries, strings.Join(lines[:min(len(lines), 20)], "\n"))
	}
}

// names are what a folder holds, in the order in which the kernel tells them.
func names(t *testing.T, dir string) []string {
	t.Helper()
	d, err := os.Open(dir)
	must(t, err)
	defer func() { must(t, d.Close()) }()
	list, err := d.Readdirnames(-1)
	must(t, err)
	return list
}

func TestEveryPointIsAFolderThatReadsAsTheSource(t *testing.T) {
	h := newHost(t)
	src := tempDir(t)
	if _, err := treegen.Zoo(src); err != nil {
		t.Fatal(err)
	}
	must(t, os.WriteFile(filepath.Join(src, "links", "gone-later"), nil, 0o600))
	h.backup(src)
	m := h.mount(Options{})
	if got := names(t, m.dir); !slices.Equal(got, []string{"2026-11-01T23-00-00", "latest"}) {
		t.Fatalf("there are %v", got)
	}
	same(t, src, filepath.Join(m.dir, "latest", src))

	must(t, os.Remove(filepath.Join(src, "links", "gone-later")))
	h.backup(src)
	both := h.mount(Options{})
	if got := names(t, both.dir); !slices.Equal(got, []string{"2026-11-01T23-00-00", "2026-11-02T00-00-00", "latest"}) {
		t.Fatalf("there are %v", got)
	}
	if _, err := os.Stat(filepath.Join(both.dir, "2026-11-01T23-00-00", src, "links", "gone-later")); err != nil {
		t.Errorf("what was removed after the first point: %v", err)
	}
	if _, err := os.Stat(filepath.Join(both.dir, "latest", src, "links", "gone-later")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was removed before the second point: %v", err)
	}
	if err := os.WriteFile(filepath.Join(both.dir, "latest", src, "x"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("write: %v", err)
	}
	if told := append(m.told(), both.told()...); len(told) > 0 {
		t.Errorf("nothing was wrong, and it said %q", told)
	}
}

func TestOneFileReadsAlikeInAnyOrder(t *testing.T) {
	h := newHost(t)
	src := tempDir(t)
	path := filepath.Join(src, "f")
	want := make([]byte, 23<<20)
	for i := range want {
		want[i] = byte(i>>12 ^ i*7)
	}
	clear(want[9<<20 : 12<<20])
	f, err := os.Create(path)
	must(t, err)
	_, err = f.Write(want[:9<<20])
	must(t, err)
	_, err = f.WriteAt(want[12<<20:], 12<<20)
	must(t, err)
	must(t, f.Close())
	h.backup(src)
	m := h.mount(Options{Memory: 8 << 20}) // less than the file
	got, err := os.Open(filepath.Join(m.dir, "latest", path))
	must(t, err)
	defer func() { must(t, got.Close()) }()
	buf := make([]byte, 300<<10)
	for _, at := range []int64{22 << 20, 0, 5<<20 + 3, 300<<10 + 5<<20 + 3, 12<<20 - 5, 9<<20 - 5, 23<<20 - 10, 1 << 20} {
		n, err := got.ReadAt(buf, at)
		if err != nil && (!errors.Is(err, io.EOF) || at+int64(n) != int64(len(want))) || string(buf[:n]) != string(want[at:at+int64(n)]) {
			t.Errorf("at %d: %d bytes, %v", at, n, err)
		}
	}
	all, err := io.ReadAll(got)
	if err != nil || string(all) != string(want) {
		t.Errorf("read through: %d of %d bytes, %v", len(all), len(want), err)
	}
}

func TestALargeFolderIsListedInPages(t *testing.T) {
	h := newHost(t)
	src := tempDir(t)
	const files = 7000 // many times what one page holds
	want := make([]string, files)
	for i := range want {
		want[i] = fmt.Sprintf("a-name-that-takes-some-room-%05d", i)
		must(t, os.WriteFile(filepath.Join(src, want[i]), nil, 0o600))
	}
	// Directories with something in them must be stepped over.
	for i := range 20 {
		want = append(want, fmt.Sprintf("a-name-that-takes-some-room-%05d.d", i*300))
		must(t, os.MkdirAll(filepath.Join(src, want[len(want)-1], "below"), 0o700))
	}
	slices.Sort(want)
	h.backup(src)
	m := h.mount(Options{})
	got := names(t, filepath.Join(m.dir, "latest", src))
	if !slices.Equal(got, want) {
		t.Errorf("%d of %d names are listed", len(got), len(want))
	}
}

func TestAPointThatIsDeletedIsStale(t *testing.T) {
	h := newHost(t)
	src := tempDir(t)
	for _, name := range []string{"a", "b"} {
		must(t, os.WriteFile(filepath.Join(src, name), fmt.Appendf(nil, "%0300000d", len(name)), 0o600))
	}
	h.backup(src)
	p := h.backup(src)
	m := h.mount(Options{})
	latest, err := os.Readlink(filepath.Join(m.dir, "latest"))
	must(t, err)
	dir := filepath.Join(m.dir, latest, src)
	open, err := os.Open(filepath.Join(dir, "b"))
	must(t, err)
	defer func() { must(t, open.Close()) }()

	h.set(func() { h.deleted[p.ID] = true })
	if _, err := os.ReadFile(filepath.Join(dir, "a")); !errors.Is(err, unix.ESTALE) && !errors.Is(err, unix.ENOENT) {
		t.Errorf("read a file of a deleted point: %v", err)
	}
	if _, err := open.Read(make([]byte, 10)); !errors.Is(err, unix.ESTALE) {
		t.Errorf("go on reading a file of a deleted point: %v", err)
	}
	if told := strings.Join(m.told(), "\n"); !strings.Contains(told, p.ID) || !strings.Contains(told, "deleted") {
		t.Errorf("it said %q", told)
	}
	if got := names(t, m.dir); !slices.Equal(got, []string{"2026-11-01T23-00-00", "latest"}) {
		t.Errorf("there still are %v", got)
	}
	if _, err := os.ReadFile(filepath.Join(m.dir, "2026-11-01T23-00-00", src, "a")); err != nil {
		t.Errorf("the other point: %v", err)
	}
	if len(m.told()) != 1 {
		t.Errorf("it said more than once that the point is deleted: %q", m.told())
	}
}

func TestAStoreThatIsAwayIsAnErrorAndNoMore(t *testing.T) {
	h := newHost(t)
	src := tempDir(t)
	for i := range 3 {
		must(t, os.WriteFile(filepath.Join(src, fmt.Sprint(i)), fmt.Appendf(nil, "%0300000d", i), 0o600))
	}
	h.backup(src)
	m := h.mount(Options{Patience: 200 * time.Millisecond})
	dir := filepath.Join(m.dir, "latest", src)
	if _, err := os.ReadFile(filepath.Join(dir, "0")); err != nil {
		t.Fatal(err)
	}
	h.set(func() { h.away = errs.New(errs.Unavailable, "server.unreachable", "nobody is there") })
	if _, err := os.ReadFile(filepath.Join(dir, "1")); !errors.Is(err, unix.EIO) {
		t.Errorf("while the store is away: %v", err)
	}
	calls := 0
	h.set(func() { calls = h.calls })
	if _, err := os.ReadFile(filepath.Join(dir, "2")); !errors.Is(err, unix.EIO) {
		t.Errorf("while the store is known to be away: %v", err)
	}
	h.set(func() { calls = h.calls - calls })
	if calls == 0 || calls > 6 { // the kernel asks again for the page it needs
		t.Errorf("a store that is known to be away was asked %d times", calls)
	}
	h.set(func() { h.away = nil })
	for i := range 3 {
		if b, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i))); err != nil || len(b) != 300000 {
			t.Errorf("once the store is back: %d bytes, %v", len(b), err)
		}
	}
	if told := m.told(); len(told) != 2 || !strings.Contains(told[0], "nobody is there") || !strings.Contains(told[1], "again") {
		t.Errorf("it said %q", told)
	}
}

// A reader that waits for the store keeps nobody from ending the mount, and can be interrupted.
func TestAMountEndsWhileSomebodyReads(t *testing.T) {
	h := newHost(t)
	src := tempDir(t)
	must(t, os.WriteFile(filepath.Join(src, "f"), fmt.Appendf(nil, "%0300000d", 1), 0o600))
	h.backup(src)
	m := h.mount(Options{})
	f, err := os.Open(filepath.Join(m.dir, "latest", src, "f"))
	must(t, err)
	defer func() { _ = f.Close() }()
	held := make(chan struct{})
	h.set(func() { h.held = held })
	read := make(chan error, 1)
	go func() {
		_, err := f.Read(make([]byte, 1))
		read <- err
	}()
	for asked := false; !asked; { // until the read has reached the store
		h.set(func() { asked = h.records > 0 && h.held != nil })
		time.Sleep(time.Millisecond)
	}
	must(t, m.end())
	if err := <-read; err == nil {
		t.Error("the read succeeded")
	}
	close(held)
}

func TestWhatCannotBeMountedAt(t *testing.T) {
	h := newHost(t)
	src := tempDir(t)
	must(t, os.WriteFile(filepath.Join(src, "f"), nil, 0o600))
	h.backup(src)
	m := h.mount(Options{})
	for _, c := range []struct{ name, dir, code string }{
		{"a mount", m.dir, "mount.mounted"},
		{"a directory that is not empty", src, "mount.not-empty"},
		{"a file", filepath.Join(src, "f"), "mount.directory"},
		{"nothing", filepath.Join(src, "nothing"), "mount.directory"},
	} {
		err := Run(t.Context(), c.dir, Options{Store: h, Computer: "web1"}, func() { t.Errorf("%s is mounted at", c.name) })
		if errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	h.set(func() { h.deleted[h.list[0].ID] = true })
	if err := Run(t.Context(), tempDir(t), Options{Store: h, Computer: "web1"}, nil); errs.CodeOf(err) != "point.unknown" {
		t.Errorf("no points: %v", err)
	}
}

func TestTheTableOfMountsIsRead(t *testing.T) {
	for line, want := range map[string][2]string{
		`36 35 98:0 / /mnt/a\040b rw,noatime shared:1 - fuse.keepward keepward:web1 ro`: {"/mnt/a b", "fuse.keepward"},
		`36 35 98:0 / /mnt\134x rw - ext4 /dev/sda1 rw`:                                 {`/mnt\x`, "ext4"},
		`36 35 98:0 / /mnt`: {},
		``:                  {},
	} {
		if at, kind := mountOf(line); at != want[0] || kind != want[1] {
			t.Errorf("%q is %q of type %q", line, at, kind)
		}
	}
}
