package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"keepward/test/site"
)

// A full disk under the repository fails the session with that reason and nothing
// else: the server stays up, earlier points restore, and with space the next run works.
func TestDiskFull(t *testing.T) {
	needRoot(t)
	needPrograms(t, "mkfs.ext4", "mount", "umount", "losetup")
	disk := smallDisk(t, 120<<20)
	f := newServer(t)
	f.addTransport("store")
	f.addAgent("web1")
	f.createRepository("main", filepath.Join(disk, "repository"))
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 200, 30<<20, 1))
	f.createJob("docs", "web1", []string{src}, "--restart-interval", "1s")
	f.run("docs")
	first := copyTree(t, src)

	ballast := filepath.Join(disk, "ballast")
	f.must(os.WriteFile(ballast, make([]byte, 60<<20), 0o600))
	f.must(os.RemoveAll(src))
	f.must(site.RandomTree(src, 200, 40<<20, 2))
	f.fails(1, []string{"no space"}, "job", "run", "docs", "--wait")
	s := f.last("docs", "Failed")
	if s.GetFailure().GetKind() != "no space" {
		t.Errorf("the failure's kind is %q: %s", s.GetFailure().GetKind(), s.GetFailure().GetMessage())
	}
	f.do("status")
	same(t, first, below(f.restore("web1", "latest"), src))

	f.must(os.Remove(ballast))
	f.run("docs")
	same(t, src, below(f.restore("web1", "latest"), src))
	f.check()
}

// smallDisk is an ext4 of this size on a loop device, mounted.
func smallDisk(t testing.TB, size int64) string {
	t.Helper()
	dir := tempDir(t)
	image, mount := filepath.Join(dir, "disk.img"), filepath.Join(dir, "disk")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(mount, 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.ext4", "-q", "-F", "-m", "0", image)
	command(t, "mount", "-o", "loop", image, mount)
	t.Cleanup(func() { command(t, "umount", "-l", mount) })
	return mount
}

// command runs a program that must succeed.
func command(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
