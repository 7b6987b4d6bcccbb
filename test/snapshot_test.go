package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"keepward/internal/snapshot"
)

// snapshotDisk is a fleet whose job "docs" reads a subvolume, with another one within it, of a
// btrfs of its own, mounted at disk.
func snapshotDisk(t *testing.T, args ...string) (f *fleet, disk, src string) {
	t.Helper()
	needRoot(t)
	needPrograms(t, "mkfs.btrfs", "btrfs", "mount", "umount", "losetup")
	dir := tempDir(t)
	image := filepath.Join(dir, "disk.img")
	disk = filepath.Join(dir, "disk")
	src = filepath.Join(disk, "data")
	for _, err := range []error{os.WriteFile(image, nil, 0o600), os.Truncate(image, 1<<30), os.Mkdir(disk, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	command(t, "mkfs.btrfs", "-q", image)
	command(t, "mount", "-o", "loop", image, disk)
	t.Cleanup(func() { command(t, "umount", "-l", disk) })
	command(t, "btrfs", "subvolume", "create", src)
	command(t, "btrfs", "subvolume", "create", filepath.Join(src, "inner"))
	f = newFleet(t, "web1")
	f.createJob("docs", "web1", []string{src}, args...)
	return f, disk, src
}

// snapshots are those on a disk that belong to a transfer.
func snapshots(t *testing.T, disk string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(disk, snapshot.BtrfsDir, "*-run-*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// counterFiles are the files that a writer goes through again and again, in the order of their
// names, writing the number of its round into each.
const counterFiles = 400

func counterFile(dir string, i int) string {
	return filepath.Join(dir, fmt.Sprintf("d%d", i/50), fmt.Sprintf("f%03d", i))
}

// countOn writes one round; a file is never seen half written.
func countOn(dir string, round int) error {
	for i := range counterFiles {
		name := counterFile(dir, i)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name+".new", []byte(strconv.Itoa(round)), 0o644); err != nil {
			return err
		}
		if err := os.Rename(name+".new", name); err != nil {
			return err
		}
	}
	return nil
}

// oneMoment checks that files show a state that there was: the first of them have the number of a
// round, the others that of the round before.
func oneMoment(t *testing.T, dir string) (first int) {
	t.Helper()
	before := 0
	for i := range counterFiles {
		b, err := os.ReadFile(counterFile(dir, i))
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(string(b))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first, before = n, n
		}
		if n > before || n < first-1 {
			t.Errorf("file %d is of round %d, those before of round %d, the first of %d: no moment had that", i, n, before, first)
			return first
		}
		before = n
	}
	return first
}

// While a program rewrites hundreds of files all the time, each restore point holds the state of
// one moment of them.
func TestABackupIsTheStateOfOneMoment(t *testing.T) {
	f, disk, src := snapshotDisk(t)
	f.must(countOn(src, 0))
	f.must(os.WriteFile(filepath.Join(src, "inner", "file"), []byte("nested"), 0o600))
	stop, stopped := make(chan struct{}), make(chan error, 1) // one answer, read at the end
	rounds := make(chan int)
	go func() {
		for n := 1; ; n++ {
			if err := countOn(src, n); err != nil {
				stopped <- err
				return
			}
			select {
			case rounds <- n: // whoever wants to see a round go by
			case <-stop:
				stopped <- nil
				return
			default:
			}
		}
	}()
	for range 4 {
		f.run("docs")
		for range 2 {
			select {
			case <-rounds: // the next backup has something new
			case err := <-stopped:
				t.Fatal(err)
			}
		}
	}
	close(stop)
	f.must(<-stopped)
	last := -1
	for id := range points(f) {
		to := f.restore("web1", id)
		if n := oneMoment(t, below(to, src)); n == last {
			t.Errorf("two points are of round %d", n)
		}
		if b, err := os.ReadFile(filepath.Join(below(to, src), "inner", "file")); err != nil || string(b) != "nested" {
			t.Errorf("the subvolume within has %q, %v", b, err)
		}
	}
	log := f.sessionLog(f.last("docs", "Completed").Id)
	if !strings.Contains(log, "is read from a btrfs snapshot of 3 parts") {
		t.Errorf("the log does not say what was read:\n%s", log)
	}
	if left := snapshots(t, disk); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
	// At rest it is what stands there, nothing of it is read again, and nothing of ours is in it.
	f.run("docs")
	s := f.run("docs")
	if n := s.GetProgress().GetCounters().GetReadFiles(); n != 0 {
		t.Errorf("%d files were read though none changed", n)
	}
	same(t, src, below(f.restore("web1", "latest"), src))
	// Without a snapshot neither.
	f.do("job", "edit", "docs", "--live")
	s = f.run("docs")
	if n := s.GetProgress().GetCounters().GetReadFiles(); n != 0 {
		t.Errorf("%d files were read of the live file system though none changed", n)
	}
}

// An agent that is killed while it reads a snapshot leaves it; its next start removes it.
func TestTheSnapshotOfAKilledAgentIsRemoved(t *testing.T) {
	scripts := tempDir(t)
	taken, goOn := filepath.Join(scripts, "taken"), filepath.Join(scripts, "go-on")
	thaw := filepath.Join(scripts, "thaw")
	// It runs when the snapshot is there and nothing is read yet.
	if err := os.WriteFile(thaw, []byte("#!/bin/sh\ntouch "+taken+"\nwhile [ ! -e "+goOn+" ]; do sleep 0.1; done\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, disk, src := snapshotDisk(t, "--post-thaw", thaw, "--restart-interval", "1h")
	f.must(os.WriteFile(filepath.Join(src, "file"), []byte("then"), 0o600))
	id := f.start("docs")
	f.await("the snapshot", func() bool { _, err := os.Stat(taken); return err == nil })
	if got := snapshots(t, disk); len(got) != 1 {
		t.Fatalf("while it is read there is %v", got)
	}
	f.agent["web1"].Kill()
	if got := snapshots(t, disk); len(got) != 1 {
		t.Fatalf("after the kill there is %v", got)
	}
	f.must(os.WriteFile(goOn, nil, 0o600))
	f.must(f.agent["web1"].Start())
	if got := snapshots(t, disk); len(got) != 0 {
		t.Errorf("after the start there is %v", got)
	}
	f.do("session", "kill", itoa(int(id)))
	f.final(id, "Killed")
	f.run("docs")
	if got := snapshots(t, disk); len(got) != 0 {
		t.Errorf("after a backup there is %v", got)
	}
}

// What changes between snapshot and reading is not in the point.
func TestTheSnapshotIsTakenBeforeTheThaw(t *testing.T) {
	scripts := tempDir(t)
	f, _, src := snapshotDisk(t)
	file := filepath.Join(src, "file")
	f.must(os.WriteFile(file, []byte("frozen"), 0o600))
	thaw := filepath.Join(scripts, "thaw")
	f.must(os.WriteFile(thaw, []byte("#!/bin/sh\necho thawed >"+file+"\nrm -r "+filepath.Join(src, "inner")+"/*\n"), 0o755))
	f.must(os.WriteFile(filepath.Join(src, "inner", "gone"), []byte("x"), 0o600))
	f.do("job", "edit", "docs", "--post-thaw", thaw)
	f.run("docs")
	to := below(f.restore("web1", "latest"), src)
	if b, err := os.ReadFile(filepath.Join(to, "file")); err != nil || string(b) != "frozen" {
		t.Errorf("the point has %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(to, "inner", "gone")); err != nil {
		t.Error(err)
	}
}

func TestTheLogSaysWhyThereIsNoSnapshot(t *testing.T) {
	needRoot(t)
	needPrograms(t, "mkfs.ext4", "mount", "umount", "losetup")
	disk := smallDisk(t, 32<<20)
	f := newFleet(t, "web1")
	f.must(os.WriteFile(filepath.Join(disk, "file"), []byte("x"), 0o600))
	f.createJob("docs", "web1", []string{disk})
	log := f.sessionLog(f.run("docs").Id)
	if want := disk + " (ext4, /dev/loop"; !strings.Contains(log, want) || !strings.Contains(log, "is read as it is, without a snapshot: ext4 has no snapshots of its own") {
		t.Errorf("the log has nothing of %s:\n%s", want, log)
	}
}

// await waits for something that is sure to come.
func (f *fleet) await(what string, ok func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(sessionWithin); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("no %s within %s", what, sessionWithin)
		}
	}
}
