package snapshottest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"keepward/internal/snapshot"
)

// Btrfs mounts a new btrfs of its own subvolume and answers where; a test that cannot have one is
// skipped with the reason.
func Btrfs(t *testing.T) (mount, device string) {
	t.Helper()
	device = Loop(t, "btrfs")
	base := t.TempDir()
	Mount(t, device, base)
	do(t, "btrfs", "subvolume", "create", filepath.Join(base, "@"))
	mount = filepath.Join(t.TempDir(), "mnt")
	must(t, os.Mkdir(mount, 0o755))
	Mount(t, device, mount, "-o", "subvol=@")
	return mount, device
}

// Loop answers a loop device with a new file system.
func Loop(t *testing.T, kind string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount file systems")
	}
	for _, p := range []string{"mkfs." + kind, "losetup", "mount"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip("needs " + p)
		}
	}
	image := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 512<<20))
	do(t, "mkfs."+kind, "-q", image)
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("needs a free loop device: %s", out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { do(t, "losetup", "--detach", device) })
	return device
}

// Mount mounts a device until the end of the test.
func Mount(t *testing.T, device, at string, options ...string) {
	t.Helper()
	do(t, "mount", append(options, device, at)...)
	t.Cleanup(func() { do(t, "umount", "--lazy", at) })
}

// VolumeAt is the volume mounted at a place.
func VolumeAt(t *testing.T, mount string) snapshot.Volume {
	t.Helper()
	list, err := snapshot.Volumes()
	must(t, err)
	for _, v := range list {
		if v.Mount == mount {
			return v
		}
	}
	t.Fatalf("nothing is mounted at %s", mount)
	return snapshot.Volume{}
}

func do(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
