package fsid

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func of(t *testing.T, path string) uint64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return Of(int(f.Fd()))
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func TestNumbersLast(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount file systems")
	}
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) {
			if _, err := exec.LookPath("mkfs." + kind); err != nil {
				t.Skip(err)
			}
			dir := t.TempDir()
			image, mnt := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
			run(t, "truncate", "-s", "512M", image)
			run(t, "mkfs."+kind, "-q", image)
			if err := os.Mkdir(mnt, 0o755); err != nil {
				t.Fatal(err)
			}
			var ids []uint64
			for range 2 {
				run(t, "mount", "-o", "loop", image, mnt)
				t.Cleanup(func() { _ = exec.Command("umount", mnt).Run() }) // where the test went on, it is not mounted any more
				ids = append(ids, of(t, mnt))
				run(t, "umount", mnt)
			}
			if ids[0] != ids[1] || ids[0]>>47 != 1 {
				t.Errorf("numbers %x", ids)
			}
			if s := Salted(ids[0], 3); s == ids[0] || s>>47 != 1 || s == Salted(ids[0], 4) {
				t.Errorf("salted %x", s)
			}
		})
	}
}

func TestWhatHasNoNameHasNoNumber(t *testing.T) {
	if id := of(t, "/proc"); id != 0 {
		t.Errorf("/proc has the number %x", id)
	}
}
