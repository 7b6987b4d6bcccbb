package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sync/errgroup"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// A file that refuses to be read is named, everything else goes on, and the session
// says Completed w/ errors.
func TestUnreadableFileIsNamed(t *testing.T) {
	needRoot(t)
	needPrograms(t, "mount", "umount")
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 50, 5<<20, 1))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")

	// Root reads everything; what a driver refuses it cannot: a write-only attribute
	// of the kernel, mounted over a file.
	bad := filepath.Join(src, "d000", "f00007")
	command(t, "mount", "--bind", writeOnlyAttribute(t), bad)
	mounted := true
	umount := func() {
		if mounted {
			mounted = false
			command(t, "umount", bad)
		}
	}
	t.Cleanup(umount)

	f.fails(exitLeftOut, nil, "job", "run", "docs", "--wait", "--full")
	s := f.last("docs", "Completed w/ errors")
	events, err := f.Events(s.Id)
	f.must(err)
	if !slices.ContainsFunc(events, func(e *keepwardv1.Event) bool {
		return e.Code == "file.unreadable" && string(e.Path) == bad && e.Level == "error"
	}) {
		t.Errorf("the log does not name %s:\n%v", bad, events)
	}
	umount()
	restored := below(f.restore("web1", "latest"), src)
	for _, dir := range []string{src, restored} {
		f.must(removeIfThere(filepath.Join(dir, "d000", "f00007")))
	}
	diff, err := site.RsyncDiff(src, restored, "/d000/")
	f.must(err)
	if diff != "" {
		t.Errorf("the rest differs:\n%s", diff)
	}
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// writeOnlyAttribute is a file that even root cannot open for reading.
func writeOnlyAttribute(t *testing.T) string {
	t.Helper()
	for _, pattern := range []string{"/sys/bus/*/drivers/*/unbind", "/sys/bus/*/drivers_probe", "/sys/module/*/uevent"} {
		files, _ := filepath.Glob(pattern) // the pattern is well-formed
		for _, name := range files {
			if f, err := os.Open(name); err == nil {
				f.Close()
			} else if _, err := os.Stat(name); err == nil {
				return name
			}
		}
	}
	leaveOut(t, "no file that root cannot read on this kernel")
	return ""
}

// Files that are written, cut and removed while they are read: the backup ends, and
// every file that stood still is right.
func TestFilesInMotion(t *testing.T) {
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	still, moving := filepath.Join(src, "still"), filepath.Join(src, "moving")
	f.must(site.RandomTree(still, 400, 40<<20, 1))
	f.must(site.RandomTree(moving, 400, 40<<20, 2))
	f.createJob("docs", "web1", []string{src})

	stop := churn(t, moving)
	id := f.start("docs")
	s := f.final(id, "Completed", "Completed w/ warnings", "Completed w/ errors")
	stop()
	t.Logf("the session is %s", s.Status)
	same(t, still, below(f.restore("web1", "latest"), still))
	f.check()
	f.do("job", "run", "docs", "--wait") // now all stands still
	same(t, src, below(f.restore("web1", "latest"), src))
}

// churn appends to, cuts, replaces and removes files until it is told to stop.
func churn(t *testing.T, dir string) (stop func()) {
	t.Helper()
	files, err := site.Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for i := 0; ctx.Err() == nil; i++ {
			if err := disturb(files[i%len(files)], i); err != nil && !os.IsNotExist(err) {
				return err
			}
		}
		return nil
	})
	return func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	}
}

func disturb(path string, i int) error {
	switch i % 4 {
	case 0:
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = fmt.Fprintf(f, "more %d\n", i)
		return err
	case 1:
		return os.Truncate(path, int64(i%1000))
	case 2:
		return os.Remove(path)
	default:
		return os.WriteFile(path, make([]byte, 30<<10), 0o644)
	}
}
