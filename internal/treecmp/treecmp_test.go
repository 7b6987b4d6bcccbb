//go:build linux

package treecmp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/treegen"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// twin makes the same small tree in a new directory each time.
func twin(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "keepward-treecmp-")
	must(t, err)
	t.Cleanup(func() { must(t, treegen.Remove(dir)) })
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	for name, content := range map[string]string{"f": "content", "d/inner": "x", "one": "1", "zeros": strings.Repeat("\x00", 64<<10)} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	must(t, os.Link(filepath.Join(dir, "one"), filepath.Join(dir, "two")))
	must(t, os.Symlink("f", filepath.Join(dir, "s")))
	must(t, unix.Mkfifo(filepath.Join(dir, "p"), 0o644))
	must(t, unix.Setxattr(filepath.Join(dir, "f"), "user.a", []byte("1"), 0))
	same := unix.Timespec{Sec: 1_000_000_000, Nsec: 7}
	for _, name := range []string{"f", "d/inner", "one", "zeros", "s", "p", "d", "."} {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, name), []unix.Timespec{same, same}, unix.AT_SYMLINK_NOFOLLOW))
	}
	return dir
}

func TestEveryKindOfDifferenceIsReported(t *testing.T) {
	root := os.Geteuid() == 0
	at := func(dir, name string) string { return filepath.Join(dir, name) }
	touch := func(dir, name string) error {
		same := unix.Timespec{Sec: 1_000_000_000, Nsec: 7}
		return unix.UtimesNanoAt(unix.AT_FDCWD, at(dir, name), []unix.Timespec{same, same}, unix.AT_SYMLINK_NOFOLLOW)
	}
	flag := func(path string, f int) error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		return unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, f)
	}
	for _, c := range []struct {
		name   string
		root   bool
		change func(dir string) error
		want   string // the start of a line
	}{
		{"nothing", false, func(string) error { return nil }, ""},
		{"content of the same size", false, func(d string) error {
			if err := os.WriteFile(at(d, "f"), []byte("CONTENT"), 0o644); err != nil {
				return err
			}
			return touch(d, "f")
		}, "/f: content"},
		{"size", false, func(d string) error { return os.Truncate(at(d, "f"), 3) }, "/f: size 7 / 3"},
		{"mode", false, func(d string) error { return os.Chmod(at(d, "d"), 0o700) }, "/d: mode 0755 / 0700"},
		{"owner of a symlink", true, func(d string) error { return os.Lchown(at(d, "s"), 5, 6) }, "/s: owner 0:0 / 5:6"},
		{"a nanosecond", false, func(d string) error {
			ts := unix.Timespec{Sec: 1_000_000_000, Nsec: 8}
			return unix.UtimesNanoAt(unix.AT_FDCWD, at(d, "p"), []unix.Timespec{ts, ts}, 0)
		}, "/p: mtime"},
		{"missing", false, func(d string) error { return os.Remove(at(d, "d/inner")) }, "/d/inner: only on the left"},
		{"extra", false, func(d string) error { return os.WriteFile(at(d, "d/new\n"), nil, 0o644) }, `/d/new\n: only on the right`},
		{"type", false, func(d string) error {
			if err := os.Remove(at(d, "p")); err != nil {
				return err
			}
			return os.WriteFile(at(d, "p"), nil, 0o644)
		}, "/p: type fifo / file"},
		{"target", false, func(d string) error {
			if err := os.Remove(at(d, "s")); err != nil {
				return err
			}
			return os.Symlink("g", at(d, "s"))
		}, `/s: link to "f" / "g"`},
		{"hard link undone", false, func(d string) error {
			if err := os.Remove(at(d, "two")); err != nil {
				return err
			}
			return os.WriteFile(at(d, "two"), []byte("1"), 0o644)
		}, "/two: hard link of /one on the left only"},
		{"hard link too many", false, func(d string) error {
			if err := os.Remove(at(d, "f")); err != nil {
				return err
			}
			return os.Link(at(d, "d/inner"), at(d, "f"))
		}, "/f: hard link of /d/inner on the right only"},
		{"xattr value", false, func(d string) error { return unix.Setxattr(at(d, "f"), "user.a", []byte("2"), 0) }, `/f: extended attribute "user.a"`},
		{"xattr more", false, func(d string) error { return unix.Setxattr(at(d, "d"), "user.b", nil, 0) }, `/d: extended attribute "user.b" only on the right`},
		{"hole", false, func(d string) error {
			f, err := os.OpenFile(at(d, "zeros"), os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 16<<10, 16<<10)
		}, "/zeros: allocated [0,65536) / [0,16384)[32768,65536)"},
		{"flags", true, func(d string) error { return flag(at(d, "d"), 0x40) }, "/d: file flags 0x0 / 0x40"},
		{"the root itself", false, func(d string) error { return os.Chmod(d, 0o711) }, "/: mode 0755 / 0711"},
	} {
		if c.root && !root {
			continue
		}
		a, b := twin(t), twin(t)
		must(t, c.change(b))
		lines, err := Compare(a, b, Options{})
		must(t, err)
		found := c.want == "" && len(lines) == 0
		for _, l := range lines {
			found = found || c.want != "" && strings.HasPrefix(l, c.want)
		}
		if !found {
			t.Errorf("%s: want %q, got %q", c.name, c.want, lines)
		}
	}
}

func TestWhatIsIgnoredIsNotReported(t *testing.T) {
	a, b := twin(t), twin(t)
	must(t, os.WriteFile(filepath.Join(b, "x.pyc"), nil, 0o644))
	must(t, os.Chtimes(filepath.Join(b, "f"), time.Now(), time.Now()))
	must(t, unix.Setxattr(filepath.Join(b, "d"), "user.skip", nil, 0))
	lines, err := Compare(a, b, Options{Ignore: []string{"*.pyc"}, IgnoreTimes: true, IgnoreXattr: []string{"user.s*"}})
	must(t, err)
	if len(lines) != 0 {
		t.Errorf("%q", lines)
	}
}

func TestZooEqualsItself(t *testing.T) {
	dir := twin(t)
	_, err := treegen.Zoo(dir)
	must(t, err)
	res, err := Each(dir, dir, Options{}, func(line string) { t.Error(line) })
	must(t, err)
	if res.Entries < 3000 || res.Bytes == 0 {
		t.Errorf("%+v", res)
	}
}
