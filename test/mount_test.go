package test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"keepward/internal/treegen"
	"keepward/test/site"
)

// mounted is a running `point mount`.
type mounted struct {
	f    *fleet
	dir  string
	cmd  *exec.Cmd
	over chan struct{} // closed when the command has ended

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and made anew with each line
}

// mount mounts and returns when the command says that it is.
func (f *fleet) mount(args ...string) *mounted {
	f.t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		f.t.Skip("needs root and /dev/fuse")
	}
	dir, err := os.MkdirTemp(filepath.Dir(f.Dir), "mnt")
	f.must(err)
	return f.mountAt(dir, args...)
}

func (f *fleet) mountAt(dir string, args ...string) *mounted {
	f.t.Helper()
	m := &mounted{f: f, dir: dir, over: make(chan struct{}), more: make(chan struct{})}
	m.cmd = f.Command(context.Background(), append([]string{"point", "mount", dir}, args...)...)
	out, err := m.cmd.StderrPipe()
	f.must(err)
	f.must(m.cmd.Start())
	var read sync.WaitGroup
	read.Go(func() { m.read(out) })
	read.Go(func() { m.end() })
	f.t.Cleanup(func() {
		m.stop(syscall.SIGTERM)
		read.Wait()
		_ = exec.Command("umount", "-l", dir).Run() // after a failure only
	})
	m.says(" mounted; ")
	return m
}

func (m *mounted) end() {
	_ = m.cmd.Wait()
	close(m.over)
}

func (m *mounted) read(r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		m.mu.Lock()
		m.lines = append(m.lines, s.Text())
		close(m.more)
		m.more = make(chan struct{})
		m.mu.Unlock()
	}
}

// says waits for a line with a text.
func (m *mounted) says(text string) {
	m.f.t.Helper()
	late := time.After(time.Minute)
	for {
		m.mu.Lock()
		found := slices.ContainsFunc(m.lines, func(l string) bool { return strings.Contains(l, text) })
		more, all := m.more, strings.Join(m.lines, "\n")
		m.mu.Unlock()
		if found {
			return
		}
		select {
		case <-more:
		case <-m.over:
			m.f.t.Fatalf("point mount ended and never said %q:\n%s", text, all)
		case <-late:
			m.f.t.Fatalf("point mount does not say %q:\n%s", text, all)
		}
	}
}

// stop ends the command and waits for it.
func (m *mounted) stop(sig syscall.Signal) {
	m.f.t.Helper()
	_ = m.cmd.Process.Signal(sig)
	select {
	case <-m.over:
	case <-time.After(time.Minute):
		_ = m.cmd.Process.Kill()
		m.f.t.Errorf("point mount did not end at %s", sig)
	}
}

// points are the folders of points, the oldest first.
func (m *mounted) points() []string {
	m.f.t.Helper()
	entries, err := os.ReadDir(m.dir)
	m.f.must(err)
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// sameMounted fails unless rsync reads the same from a mount as from where it was backed up.
func sameMounted(t *testing.T, m, src string) {
	t.Helper()
	// Paths beyond PATH_MAX are more than rsync can walk.
	diff, err := site.RsyncDiff(m, src, "/deep")
	if err != nil {
		t.Fatal(err)
	}
	if diff != "" {
		t.Fatalf("rsync finds differences between %s and %s:\n%s", m, src, firstLines(diff))
	}
}

// Every point of a computer is a folder, and reads as what was backed up: content, metadata, links,
// devices, ACLs and extended attributes.
func TestAMountReadsAsTheSource(t *testing.T) {
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(os.MkdirAll(src, 0o755))
	f.must(site.RandomTree(src, 50, 8<<20, 11))
	_, err := treegen.Zoo(src)
	f.must(err)
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	m := f.mount("--computer", "web1")
	first := m.points()
	if len(first) != 1 {
		t.Fatalf("there are folders %v for one point", first)
	}
	sameMounted(t, filepath.Join(m.dir, first[0], src), src)

	f.must(os.WriteFile(filepath.Join(src, "new"), []byte("new"), 0o640))
	f.run("docs")
	// The list may be two seconds old.
	f.await("folder of the second point", func() bool { return len(m.points()) == 2 })
	if both := m.points(); both[0] != first[0] {
		t.Fatalf("after another backup there are %v, there was %v", both, first)
	}
	if b, err := os.ReadFile(filepath.Join(m.dir, "latest", src, "new")); err != nil || string(b) != "new" {
		t.Errorf("the new file reads %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(m.dir, first[0], src, "new")); !os.IsNotExist(err) {
		t.Errorf("a later file is in the first point: %v", err)
	}
	if err := os.WriteFile(filepath.Join(m.dir, "latest", src, "new"), nil, 0o600); err == nil {
		t.Error("a file in the mount could be written")
	}
	m.stop(syscall.SIGINT)
	if left, err := os.ReadDir(m.dir); err != nil || len(left) > 0 {
		t.Errorf("after Ctrl-C the directory has %v (%v)", left, err)
	}
}

// A point that is deleted while it is mounted is gone, and the command says so; a server that is
// killed and comes back is read from again; and what a killed mount left is cleared away by the next.
func TestAMountOutlivesWhatItReads(t *testing.T) {
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 20, 8<<20, 12))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	f.must(os.WriteFile(filepath.Join(src, "second"), []byte("second"), 0o600))
	f.run("docs")
	m := f.mount("--computer", "web1")
	points := m.points()
	if len(points) != 2 {
		t.Fatalf("there are %v", points)
	}

	list, err := f.Points("web1")
	f.must(err)
	f.do("point", "delete", list[0].GetId(), "--yes")
	f.await("the folder of the deleted point to go", func() bool { return len(m.points()) == 1 })
	m.says("was deleted")
	if left := m.points(); len(left) != 1 || left[0] != points[0] {
		t.Errorf("of %v there are left %v", points, left)
	}
	if _, err := os.Stat(filepath.Join(m.dir, points[1], src, "second")); err == nil {
		t.Error("a file of a deleted point is there")
	}

	f.Procs()[0].Kill()
	f.must(f.Procs()[0].Start())
	f.must(f.WaitOnline(f.store))
	want, err := os.ReadFile(filepath.Join(src, "large0"))
	f.must(err)
	if got, err := os.ReadFile(filepath.Join(m.dir, points[0], src, "large0")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("after a restart of the server %d of %d bytes are read: %v", len(got), len(want), err)
	}

	m.stop(syscall.SIGKILL)
	if _, err := os.ReadDir(m.dir); err == nil {
		t.Error("a mount whose process was killed is listed")
	}
	again := f.mountAt(m.dir, "--computer", "web1", "--point", list[1].GetId())
	again.says("cleared away")
	if got, err := os.ReadFile(filepath.Join(again.dir, src, "large1")); err != nil || len(got) == 0 {
		t.Errorf("the single point: %d bytes, %v", len(got), err)
	}
	again.stop(syscall.SIGTERM)
}
