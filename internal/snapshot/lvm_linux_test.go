package snapshot_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"keepward/internal/errs"
	"keepward/internal/snapshot"
	"keepward/internal/snapshot/snapshottest"
)

func TestMain(m *testing.M) { os.Exit(snapshottest.Main(m.Run)) }

// group is a volume group on a disk of its own.
type group struct {
	t    *testing.T
	name string
	n    int
}

// newGroup makes a group of so many MiB.
func newGroup(t *testing.T, name string, size int64) *group {
	t.Helper()
	// The node may be there where the kernel has none of it.
	f, err := os.Open("/dev/mapper/control")
	if err != nil {
		t.Skipf("needs the device mapper of the kernel (the end to end test of LVM has a machine with one): %v", err)
	}
	_ = f.Close()
	for _, p := range []string{"lvcreate", "losetup", "mount", "mkfs.ext4", "mkfs.xfs"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip("needs " + p)
		}
	}
	image := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size<<20)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Fatalf("losetup: %s", out)
	}
	disk := strings.TrimSpace(string(out))
	do(t, "vgcreate", "--quiet", name, disk)
	t.Cleanup(func() {
		do(t, "vgremove", "--force", "--yes", name)
		do(t, "losetup", "--detach", disk)
	})
	return &group{t: t, name: name}
}

// subject is an empty volume of so many MiB, in a pool if one is named, and its provider.
func (g *group) subject(t *testing.T, pool, kind string, size int) snapshottest.Subject {
	t.Helper()
	g.n++
	lv := fmt.Sprint("data", g.n)
	if pool != "" {
		do(t, "lvcreate", "--quiet", "--yes", "--thin", "--virtualsize", fmt.Sprint(size, "m"), "--name", lv, g.name+"/"+pool)
	} else {
		do(t, "lvcreate", "--quiet", "--yes", "--size", fmt.Sprint(size, "m"), "--name", lv, g.name)
	}
	t.Cleanup(func() { do(t, "lvremove", "--quiet", "--yes", g.name+"/"+lv) })
	device := "/dev/" + g.name + "/" + lv
	do(t, "mkfs."+kind, "-q", device)
	mount := t.TempDir()
	do(t, "mount", device, mount)
	t.Cleanup(func() { do(t, "umount", mount) })
	return snapshottest.Subject{Provider: snapshot.NewLVM(snapshot.RunCommand, t.TempDir(), "/sys"), Volume: snapshottest.VolumeAt(t, mount)}
}

// The contract on real volumes, of both kinds, and with a file system that asks more of who mounts
// a copy of it. A volume serves all of its tests: programs take long on an emulated machine.
func TestLVMContract(t *testing.T) {
	g := newGroup(t, "contract", 1024)
	do(t, "lvcreate", "--quiet", "--yes", "--type", "thin-pool", "--size", "400m", "--name", "pool", g.name)
	for _, c := range []struct {
		pool, fs string
		size     int
	}{{"", "xfs", 320}, {"pool", "ext4", 128}} {
		t.Run(c.pool+" "+c.fs, func(t *testing.T) {
			s := g.subject(t, c.pool, c.fs, c.size)
			snapshottest.Run(t, func(t *testing.T) snapshottest.Subject {
				t.Cleanup(func() { empty(t, s.Volume.Mount) })
				return s
			})
		})
	}
}

func empty(t *testing.T, dir string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	for _, e := range list {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	if err != nil {
		t.Error(err)
	}
}

// A classic snapshot whose room is used up is known to have ended; the volume is unharmed, and the
// snapshot can be removed.
func TestLVMOverflow(t *testing.T) {
	const size = 66 // MiB, of which the snapshot has room for 64
	g := newGroup(t, "overflow", 180)
	s := g.subject(t, "", "ext4", 96)
	file := filepath.Join(s.Volume.Mount, "file")
	fill(t, file, 'a', size)
	if err := s.Provider.Fits(t.Context(), s.Volume); err != nil {
		t.Fatal(err)
	}
	n := snapshot.Name{Owner: "00000000000000aa", ID: "1"}
	snap, err := s.Provider.Create(t.Context(), s.Volume, n, func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	root, done, err := s.Provider.Open(t.Context(), snap)
	if err != nil {
		t.Fatal(err)
	}
	taker := &snapshot.Taker{Providers: []snapshot.Provider{s.Provider}}
	set := &snapshot.Set{Snapshots: []*snapshot.Snapshot{snap}}
	if err := taker.Check(t.Context(), set); err != nil {
		t.Errorf("before: %v", err)
	}
	fill(t, file, 'b', size) // in place, so that all of it is overwritten
	if err := taker.Check(t.Context(), set); errs.CodeOf(err) != "snapshot.overflow" {
		t.Errorf("after: %v", err)
	}
	if err := holds(filepath.Join(root, "file"), 'a', size); !errors.Is(err, unix.EIO) {
		t.Errorf("read of the snapshot: %v", err)
	}
	if err := holds(file, 'b', size); err != nil {
		t.Errorf("the volume itself: %v", err)
	}
	done()
	if err := s.Provider.Remove(t.Context(), s.Volume, n); err != nil {
		t.Error(err)
	}
	if list, err := s.Provider.List(t.Context(), s.Volume, n.Owner); err != nil || len(list) > 0 {
		t.Errorf("left over: %v, %v", list, err)
	}
}

// fill writes so many MiB of a byte, where a file has others already, and empties the cache, so that
// what is read comes from the disk.
func fill(t *testing.T, path string, b byte, size int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	block := bytes.Repeat([]byte{b}, 1<<20)
	for range size {
		if err == nil {
			_, err = f.Write(block)
		}
	}
	if err := errors.Join(err, f.Sync(), f.Close(), os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)); err != nil {
		t.Fatal(err)
	}
}

// holds answers why a file does not hold so many MiB of a byte.
func holds(path string, b byte, size int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	want, got := bytes.Repeat([]byte{b}, 1<<20), make([]byte, 1<<20)
	for i := range size {
		if _, err := io.ReadFull(f, got); err != nil {
			return err
		}
		if !bytes.Equal(want, got) {
			return fmt.Errorf("%s: MiB %d is not %q", path, i, b)
		}
	}
	return nil
}
