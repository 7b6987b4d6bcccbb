package test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepward/test/site"
)

// diskFleet is a fleet with its repository on a small disk of its own, and one point.
func diskFleet(t *testing.T, size int64) (f *fleet, disk, src string) {
	t.Helper()
	needRoot(t)
	needPrograms(t, "mkfs.ext4", "mount", "umount", "losetup")
	disk = smallDisk(t, size)
	f = newServer(t)
	f.addTransport("store")
	f.addAgent("web1")
	f.createRepository("main", filepath.Join(disk, "repository"))
	src = filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 20, badBytes, 1))
	f.createJob("docs", "web1", []string{src}, "--restart-interval", "1s")
	f.run("docs")
	return f, disk, src
}

// A repository on a file system that became read-only, as ext4 does after an error of the disk:
// reading goes on, writing fails and says why.
func TestRepositoryThatIsReadOnly(t *testing.T) {
	t.Parallel()
	f, disk, src := diskFleet(t, 64<<20)
	first := copyTree(t, src)
	command(t, "mount", "-o", "remount,ro", disk)
	f.must(os.WriteFile(filepath.Join(src, "more"), []byte("more"), 0o600))
	say := []string{"read-only file system"}
	f.fails(exitFailed, say, "job", "run", "docs", "--wait")
	f.last("docs", "Failed")
	f.fails(exitFailed, say, "repository", "sweep", "main")
	same(t, first, below(f.restore("web1", "latest"), src))
	r, err := f.CLI("repository", "check", "main")
	f.must(err)
	if r.Code != 0 && !strings.Contains(r.Stdout+r.Stderr, say[0]) {
		t.Errorf("the check: %s", r)
	}
	if n := len(points(f)); n != 1 {
		t.Errorf("%d points", n)
	}
	command(t, "mount", "-o", "remount,rw", disk)
	f.mended(src)
}

// A repository on a full disk: sweep and check end with a reason or their work, deleting makes
// room, and nothing that stays is harmed.
func TestUpkeepOfARepositoryThatIsFull(t *testing.T) {
	t.Parallel()
	f, disk, src := diskFleet(t, 64<<20)
	first := f.last("docs", "Completed").Tasks[0].Point
	f.must(os.RemoveAll(src))
	f.must(site.RandomTree(src, 20, badBytes, 2))
	f.run("docs")
	f.do("repository", "edit", "main", "--undelete-grace", "0s")
	f.do("point", "delete", first, "--yes")
	fill(t, filepath.Join(disk, "ballast"))

	second := copyTree(t, src)
	f.must(os.WriteFile(filepath.Join(src, "more"), site.Noise(rand.New(rand.NewPCG(1, 1)), 8<<20), 0o600))
	f.fails(exitFailed, []string{"no space", "free space"}, "job", "run", "docs", "--wait")
	f.last("docs", "Failed")
	same(t, second, below(f.restore("web1", "latest"), src))
	for _, args := range [][]string{{"repository", "check", "main"}, {"repository", "sweep", "main"}} {
		r, err := f.CLI(args...)
		f.must(err)
		if r.Code != 0 && !strings.Contains(r.Stdout+r.Stderr, "no space") {
			t.Errorf("%s", r)
		}
	}
	f.must(os.Remove(filepath.Join(disk, "ballast")))
	f.do("repository", "sweep", "main")
	f.mended(src)
}

// fill leaves nothing free on the disk of a new file.
func fill(t *testing.T, path string) {
	t.Helper()
	_ = exec.Command("dd", "if=/dev/zero", "of="+path, "bs=1M").Run() // ends with an error: it is full
	_ = exec.Command("dd", "if=/dev/zero", "of="+path, "bs=1k", "oflag=append", "conv=notrunc").Run()
}

// A repository whose file system goes away: what runs fails and says so, nothing is written to
// the empty mount point, and with the disk back all goes on.
func TestRepositoryUnmountedUnderUs(t *testing.T) {
	t.Parallel()
	f, disk, src := diskFleet(t, 256<<20)
	first := copyTree(t, src)
	again := func() { command(t, "mount", "-o", "loop", filepath.Join(filepath.Dir(disk), "disk.img"), disk) }

	t.Run("between", func(t *testing.T) {
		f := *f
		f.t = t
		command(t, "umount", "-l", disk)
		say := []string{"there is none", "mount"}
		f.fails(exitFailed, say, "job", "run", "docs", "--wait")
		f.last("docs", "Failed")
		f.fails(exitFailed, say, "restore", "files", "--computer", "web1", "--point", "latest", "--to", t.TempDir(), "--wait")
		f.fails(exitFailed, say, "repository", "check", "main")
		f.fails(exitFailed, say, "repository", "sweep", "main")
		emptyPlace(t, disk)
		again()
		f.mended(src)
	})
	t.Run("during a backup", func(t *testing.T) {
		f := *f
		f.t = t
		first = copyTree(t, src)
		f.must(site.RandomTree(filepath.Join(src, "more"), 200, 60<<20, 3))
		id := f.start("docs")
		_, err := site.WaitMover(f.store, sessionWithin)
		f.must(err)
		f.must(site.Until(time.Minute, "bytes on their way", func() (bool, error) {
			s, err := f.Session(id)
			return s.GetProgress().GetCounters().GetSentBytes() > 0 || s.GetEnded() != nil, err
		}))
		command(t, "umount", "-l", disk)
		s := f.final(id, "Failed", "Completed")
		if s.Status == "Failed" && s.GetFailure().GetMessage() == "" {
			t.Error("failed without a reason")
		}
		emptyPlace(t, disk)
		again()
		if s.Status == "Failed" {
			same(t, first, below(f.restore("web1", "latest"), src))
		}
		f.mended(src)
	})
}

// emptyPlace fails if something was written where the disk should be.
func emptyPlace(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("the mount point holds %v, %v", entries, err)
	}
}
