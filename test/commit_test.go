package test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepward/test/site"
)

// A backup that is ended early in its middle leaves a partial point: it restores whole files and
// says that it is partial, nothing takes it for the latest, and the next backup does not send again
// what it has stored.
func TestABackupThatIsEndedEarlyKeepsWhatItWrote(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	const size = 700 << 20
	f.must(site.RandomTree(src, 64, size, 8))
	f.createJob("docs", "web1", []string{src})
	id := f.start("docs")
	f.must(site.Until(time.Minute, "progress of the backup", func() (bool, error) {
		s, err := f.Session(id)
		return s.GetProgress().GetCounters().GetSentBytes() > size/8 || s.GetEnded() != nil, err
	}))
	f.do("session", "kill", itoa(int(id)), "--commit")
	s := f.final(id, "Committed")
	if movers := site.Movers(f.store); len(movers) > 0 {
		t.Errorf("a session that is over still has a mover: %v", movers)
	}
	point := s.GetTasks()[0].GetPoint()
	f.fails(4, nil, "point", "show", "latest", "--computer", "web1")
	for _, args := range [][]string{{"point", "show", point}, {"point", "list", "--computer", "web1"}} {
		if r := f.do(args...); !strings.Contains(r.Stdout, "partial") {
			t.Errorf("the point does not say that it is partial: %s", r)
		}
	}

	to, err := os.MkdirTemp(filepath.Dir(f.Dir), "restored")
	f.must(err)
	f.fails(3, nil, "restore", "files", "--computer", "web1", "--point", point, "--to", to, "--wait")
	restore := lastSession(f)
	if log := f.sessionLog(restore.GetId()); !strings.Contains(log, "is partial") {
		t.Errorf("the restore does not say that the point is partial:\n%s", log)
	}
	files := sameFiles(t, filepath.Join(to, src), src)
	t.Logf("the partial point holds %d of 68 files", files)
	if files == 0 || files == 68 {
		t.Errorf("the partial point holds %d of 68 files", files)
	}

	whole := f.run("docs")
	sent := whole.GetProgress().GetCounters().GetSentBytes()
	t.Logf("the next backup sent %d MiB of %d", sent>>20, size>>20)
	if sent > size*15/16 {
		t.Errorf("the next backup sent %d bytes: all again", sent)
	}
	f.check()
}

// sameFiles counts the files below a directory, each of which must be as in another one.
func sameFiles(t *testing.T, dir, want string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		got, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		expected, err := os.ReadFile(filepath.Join(want, rel))
		if err == nil && !bytes.Equal(got, expected) {
			t.Errorf("%s differs", rel)
		}
		n++
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return n
}

// What failed in a session is tried again by hand, and only that.
func TestWhatFailedIsRetriedByHand(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	missing := filepath.Join(filepath.Dir(src), "later")
	f.createJob("docs", "web1", []string{missing})
	id := f.start("docs")
	f.final(id, "Failed")
	f.fails(2, []string{"none of its tasks"}, "session", "retry", itoa(int(f.completed(src))))
	f.must(os.Rename(src, missing))
	f.do("session", "retry", itoa(int(id)), "--wait")
	s := f.last("docs", "Completed")
	if s.GetOrigin() != id {
		t.Errorf("the retry names session %d as its origin, want %d", s.GetOrigin(), id)
	}
}

// completed makes a tree and a session that has backed it up.
func (f *fleet) completed(src string) int64 {
	f.t.Helper()
	f.must(site.RandomTree(src, 3, 3<<10, 9))
	f.createJob("good", "web1", []string{src})
	return f.run("good").GetId()
}

// A session that is started suspended waits for its resume, and one job has one session at a time
// where it says so.
func TestStartedSuspendedAndRefusedDuplicates(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 3, 3<<10, 10))
	f.createJob("docs", "web1", []string{src}, "--duplicates", "cancel new")
	id := f.start("docs", "--suspended")
	f.hasStatus(id, "Suspended", time.Minute)
	f.fails(1, []string{"cancel new"}, "job", "run", "docs")
	f.do("session", "resume", itoa(int(id)))
	f.final(id, "Completed")
	f.run("docs")
	f.fails(2, []string{"duplicates"}, "job", "edit", "docs", "--duplicates", "sometimes")
}
