package snapshot_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"keepward/internal/fsid"
	"keepward/internal/snapshot"
	"keepward/internal/snapshot/snapshottest"
)

func TestBtrfsContract(t *testing.T) {
	snapshottest.Run(t, func(t *testing.T) snapshottest.Subject {
		mount, _ := snapshottest.Btrfs(t)
		return snapshottest.Subject{Provider: snapshot.NewBtrfs(), Volume: snapshottest.VolumeAt(t, mount)}
	})
}

func TestNoneContract(t *testing.T) {
	snapshottest.Run(t, func(t *testing.T) snapshottest.Subject {
		return snapshottest.Subject{Provider: snapshot.NewNone(), Volume: snapshot.Volume{Mount: t.TempDir()}, Live: true}
	})
}

func do(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func device(t *testing.T, path string) uint64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return fsid.Of(int(f.Fd()))
}

// Each subvolume within the one that is mounted has a part of its own, with the number of the live
// one; one that is read-only or that nobody reads is shown where it is.
func TestNestedSubvolumes(t *testing.T) {
	mount, dev := snapshottest.Btrfs(t)
	for _, s := range []string{"one", "one/deep", "dir/two", "skipped", "skipped/below"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(mount, s)), 0o755); err != nil {
			t.Fatal(err)
		}
		do(t, "btrfs", "subvolume", "create", filepath.Join(mount, s))
		if err := os.WriteFile(filepath.Join(mount, s, "file"), []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	do(t, "btrfs", "subvolume", "snapshot", "-r", filepath.Join(mount, "one"), filepath.Join(mount, "frozen"))
	parts := func(at string, wanted func(string) bool) map[string]string {
		p, v := snapshot.NewBtrfs(), snapshottest.VolumeAt(t, at)
		s, err := p.Create(t.Context(), v, snapshot.Name{Owner: "00000000000000aa", ID: "1"}, wanted)
		if err != nil {
			t.Fatal(err)
		}
		root, done, err := p.Open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		out := map[string]string{}
		for _, part := range s.Parts {
			live := filepath.Join(v.Mount, strings.TrimPrefix(part.At, v.Mount))
			if want := device(t, live); part.Device != want {
				t.Errorf("%s has the device %x, live it is %x", part.At, part.Device, want)
			}
			rel := strings.TrimPrefix(strings.TrimPrefix(part.At, v.Mount), "/")
			if part.Live {
				out[rel] = "live"
				continue
			}
			if err := os.WriteFile(filepath.Join(root, part.Path, "x"), nil, 0o644); err != unix.EROFS && !strings.Contains(err.Error(), "read-only") {
				t.Errorf("written into the snapshot of %s: %v", part.At, err)
			}
			b, err := os.ReadFile(filepath.Join(root, part.Path, "file"))
			if err != nil {
				b = nil
			}
			out[rel] = string(b)
		}
		if err := p.Remove(t.Context(), v, s.Name); err != nil {
			t.Error(err)
		}
		return out
	}
	want := map[string]string{"": "", "one": "one", "one/deep": "one/deep", "dir/two": "dir/two", "frozen": "live", "skipped": "live"}
	if d := cmp.Diff(want, parts(mount, func(p string) bool { return filepath.Base(p) != "skipped" })); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	// A directory that is mounted elsewhere has the subvolumes in it.
	bound := t.TempDir()
	snapshottest.Mount(t, filepath.Join(mount, "dir"), bound, "--bind")
	if d := cmp.Diff(map[string]string{"": "", "two": "dir/two"}, parts(bound, func(string) bool { return true })); d != "" {
		t.Errorf("of a directory (-want +got):\n%s", d)
	}
	// The topmost subvolume does not have our own.
	whole := t.TempDir()
	snapshottest.Mount(t, dev, whole, "-o", "subvolid=5")
	want = map[string]string{"": "", "@": "", "@/one": "one", "@/one/deep": "one/deep", "@/dir/two": "dir/two", "@/frozen": "live", "@/skipped": "skipped", "@/skipped/below": "skipped/below"}
	if d := cmp.Diff(want, parts(whole, func(string) bool { return true })); d != "" {
		t.Errorf("of all (-want +got):\n%s", d)
	}
	if left, err := filepath.Glob(filepath.Join(whole, snapshot.BtrfsDir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v %v", left, err)
	}
}

func TestBtrfsSaysWhyNot(t *testing.T) {
	p := snapshot.NewBtrfs()
	for want, v := range map[string]snapshot.Volume{
		"it is no btrfs": {Type: "ext4"}, "the file system is mounted read-only": {Type: "btrfs", ReadOnly: true},
	} {
		if err := p.Fits(t.Context(), v); err == nil || err.Error() != want {
			t.Errorf("%+v: %v, want %s", v, err, want)
		}
	}
	mount, _ := snapshottest.Btrfs(t)
	if err := os.WriteFile(filepath.Join(mount, "swap"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	do(t, "chattr", "+C", filepath.Join(mount, "swap"))
	do(t, "dd", "if=/dev/zero", "of="+filepath.Join(mount, "swap"), "bs=1M", "count=8", "status=none")
	do(t, "mkswap", filepath.Join(mount, "swap"))
	if out, err := exec.Command("swapon", filepath.Join(mount, "swap")).CombinedOutput(); err != nil {
		t.Skipf("no swap here: %s", out)
	}
	defer do(t, "swapoff", filepath.Join(mount, "swap"))
	_, err := p.Create(t.Context(), snapshottest.VolumeAt(t, mount), snapshot.Name{Owner: "00000000000000aa", ID: "1"}, func(string) bool { return true })
	if err == nil || !strings.Contains(err.Error(), "swap file") {
		t.Errorf("with a swap file: %v", err)
	}
}

// Two subvolumes of one file system that are mounted beside each other are two volumes, which do
// not stand in each other's way.
func TestSubvolumesBesideEachOther(t *testing.T) {
	mount, dev := snapshottest.Btrfs(t)
	base := t.TempDir()
	snapshottest.Mount(t, dev, base, "-o", "subvolid=5")
	do(t, "btrfs", "subvolume", "create", filepath.Join(base, "@home"))
	home := filepath.Join(t.TempDir(), "home")
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	snapshottest.Mount(t, dev, home, "-o", "subvol=@home")
	for _, dir := range []string{mount, home} {
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte(dir), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tk := snapshot.NewTaker(t.TempDir())
	p, err := tk.Plan(snapshot.Request{
		Name: snapshot.Name{Owner: "00000000000000aa", ID: "1"}, Include: []string{mount, home}, Wanted: func(string) bool { return true },
		Retry: func(_ snapshot.Volume, _ int, err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	set, err := tk.Take(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	o, err := tk.Open(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	o.Each(func(_ *snapshot.Snapshot, p snapshot.Part, from string) {
		n++
		if b, err := os.ReadFile(filepath.Join(from, "file")); err != nil || string(b) != p.At {
			t.Errorf("%s has %q, %v", p.At, b, err)
		}
	})
	o.Close()
	if n != 2 {
		t.Errorf("%d parts", n)
	}
	// One is kept beyond, and both are gone in the end.
	kept := snapshot.Name{Owner: "00000000000000aa", Kept: "2"}
	if err := tk.Keep(t.Context(), set.Snapshots[0], kept); err != nil {
		t.Fatal(err)
	}
	root, done, err := tk.Former(t.Context(), set.Snapshots[0], kept)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(root, set.Snapshots[0].Parts[0].ID, "file")); err != nil || string(b) != mount {
		t.Errorf("the one that is kept has %q, %v", b, err)
	}
	done()
	tk.Remove(t.Context(), set, func(err error) { t.Error(err) })
	if left, err := filepath.Glob(filepath.Join(base, snapshot.BtrfsDir, "*")); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}
