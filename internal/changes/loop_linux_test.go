package changes

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// volume is a file system on a loop device, mounted for one test.
type volume struct {
	dir    string // where it is mounted
	device string
}

// newVolume makes a file system of a kind (btrfs, ext4, xfs) in a sparse file; the test is
// skipped, with the reason, where that cannot be.
func newVolume(t testing.TB, kind string, size int64, mkfs ...string) *volume {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loop devices need root")
	}
	for _, tool := range []string{"losetup", "mkfs." + kind} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	// In memory where that is possible: a snapshot waits for the disk many times.
	if shm, err := os.MkdirTemp("/dev/shm", "changes-*"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(shm) })
		image = filepath.Join(shm, "image")
	}
	f, err := os.Create(image)
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs."+kind, append(mkfs, "-q", image)...).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.%s: %v\n%s", kind, err, out)
	}
	out, err := exec.Command("losetup", "-f", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device is free: %v: %s", err, out)
	}
	v := &volume{dir: filepath.Join(dir, "mnt"), device: strings.TrimSpace(string(out))}
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "-d", v.device).CombinedOutput(); err != nil {
			t.Errorf("losetup -d: %v: %s", err, out)
		}
	})
	if err := os.Mkdir(v.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	v.mount(t, kind)
	t.Cleanup(func() { v.unmount(t) })
	return v
}

func (v *volume) mount(t testing.TB, kind string) {
	t.Helper()
	// Reading a file for comparison must not change it.
	if err := unix.Mount(v.device, v.dir, kind, unix.MS_NOATIME, ""); err != nil {
		t.Skipf("mount %s on %s: %v", kind, v.device, err)
	}
}

// unmount waits a little: what this process starts has its files between fork and exec, and so has
// the volume in use for that moment.
func (v *volume) unmount(t testing.TB) {
	t.Helper()
	err := unix.Unmount(v.dir, 0)
	for end := time.Now().Add(5 * time.Second); err == unix.EBUSY && time.Now().Before(end); err = unix.Unmount(v.dir, 0) {
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil && err != unix.EINVAL {
		t.Errorf("unmount %s: %v", v.dir, err)
		_ = unix.Unmount(v.dir, unix.MNT_DETACH)
	}
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
