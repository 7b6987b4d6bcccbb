package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

const (
	// retentionBytes is what each state of the source holds: enough that its going shows in the
	// size of the repository.
	retentionBytes = 24 << 20
	pointsWithin   = 30 * time.Second
)

// history is a computer's source in several states, each with its point and a copy.
type history struct {
	*fleet
	src    string
	ids    []string // of the points, the oldest first
	copies []string
}

// newHistory backs up n states of a source that have no content in common.
func newHistory(t *testing.T, n int) *history {
	t.Helper()
	h := &history{fleet: newFleet(t, "web1"), src: filepath.Join(tempDir(t), "src")}
	h.createJob("docs", "web1", []string{h.src})
	for range n {
		h.next()
	}
	return h
}

// next changes all of the source and backs it up.
func (h *history) next() {
	h.t.Helper()
	h.must(os.RemoveAll(h.src))
	h.must(site.RandomTree(h.src, 300, retentionBytes, uint64(len(h.ids)+1)))
	kept := filepath.Join(h.Dir, "state"+strconv.Itoa(len(h.ids)))
	if out, err := exec.Command("cp", "-a", h.src, kept).CombinedOutput(); err != nil {
		h.t.Fatalf("copy: %v\n%s", err, out)
	}
	s := h.run("docs")
	h.ids, h.copies = append(h.ids, s.Tasks[0].Point), append(h.copies, kept)
}

// restores proves that a point is what the source was.
func (h *history) restores(n int) {
	h.t.Helper()
	same(h.t, h.copies[n], below(h.restore("web1", h.ids[n]), h.src))
}

// size is what the repository takes on its disk.
func (h *history) size() int64 {
	h.t.Helper()
	out, err := exec.Command("du", "-s", "--block-size=1", h.repo).Output()
	h.must(err)
	n, err := strconv.ParseInt(strings.Fields(string(out))[0], 10, 64)
	h.must(err)
	return n
}

// sweep sweeps to the end, and answers the session.
func (h *history) sweep() *keepwardv1.Session {
	h.t.Helper()
	h.do("repository", "sweep", "main")
	list, err := h.Sessions()
	h.must(err)
	for _, s := range list {
		if s.Type == "sweep" {
			return h.final(s.Id, "Completed")
		}
	}
	h.t.Fatal("there is no session of a sweep")
	return nil
}

func TestDeletedPointsGiveTheirSpaceBackAndNothingElse(t *testing.T) {
	t.Parallel()
	needPrograms(t, "du", "cp", "rsync")
	h := newHistory(t, 4)
	full := h.size()

	h.do("point", "delete", h.ids[0], h.ids[1], "--yes", "--reason", "wrong paths")
	h.fails(4, []string{"deleted", "point undelete"}, "restore", "files", "--computer", "web1", "--point", h.ids[0], "--to", h.Dir, "--wait")
	if got := points(h.fleet); len(got) != 2 || got[h.ids[0]] {
		t.Errorf("the list shows %v", got)
	}
	if r := h.do("point", "list", "--deleted", "-o", "wide"); !strings.Contains(r.Stdout, h.ids[0]) || !strings.Contains(r.Stdout, "wrong paths") {
		t.Errorf("the list with the deleted ones:\n%s", r.Stdout)
	}
	if s := h.sweep(); s.GetReport().GetSweep().GetPurgedPoints() != 0 {
		t.Errorf("purged within the grace time: %v", s.GetReport())
	}
	h.do("point", "undelete", h.ids[1])
	h.restores(1)

	h.do("point", "hold", h.ids[2], "--reason", "case 7")
	h.fails(5, []string{"on hold", "point release"}, "point", "delete", h.ids[2], "--yes")
	h.fails(5, []string{"undelete it first"}, "point", "hold", h.ids[0])

	// A backup runs while the rest of the work is done: it loses nothing and stops nothing.
	other := filepath.Join(tempDir(t), "other")
	h.must(site.RandomTree(other, 2000, 3*retentionBytes, 99))
	h.createJob("more", "web1", []string{other})
	running := h.start("more")
	h.do("repository", "edit", "main", "--undelete-grace", "0s")
	report := h.sweep().GetReport().GetSweep()
	h.final(running, "Completed")
	if report.GetPurgedPoints() != 1 || !report.GetDone() {
		t.Errorf("the sweep reports %v", report)
	}
	same(t, other, below(h.restore("web1", h.last("more", "Completed").Tasks[0].Point), other))
	added, err := site.Size(other)
	h.must(err)
	if now := h.size() - added; now > full-retentionBytes*4/5 {
		t.Errorf("the repository took %d bytes with four states, and takes %d without one of them and without what came since", full, now)
	}
	h.fails(4, []string{"purged"}, "point", "undelete", h.ids[0])
	for n := 1; n < 4; n++ {
		h.restores(n)
	}
	h.check()
}

func TestASweepThatIsKilledIsEndedByTheNext(t *testing.T) {
	t.Parallel()
	needPrograms(t, "du", "cp", "rsync")
	h := newHistory(t, 3)
	full := h.size()
	h.do("repository", "edit", "main", "--undelete-grace", "0s")
	h.do("point", "delete", h.ids[0], h.ids[1], "--yes")

	for range 5 { // at moments that come as they come
		var made keepwardv1.StartSessionResponse
		h.must(h.Message(&made, "repository", "sweep", "main", "--wait=false"))
		if m, err := site.WaitMover(h.store, 5*time.Second); err == nil {
			m.Kill()
		}
		h.must(site.Until(pointsWithin, "the end of the sweep's attempt", func() (bool, error) {
			s, err := h.Session(made.Session)
			return err == nil && s.Status != "Running" && s.Status != "Cleanup", err
		}))
		if s, err := h.Session(made.Session); err == nil && !site.Final(s.Status) {
			h.do("session", "kill", strconv.FormatInt(made.Session, 10))
		}
		h.final(made.Session, "Killed", "Completed")
	}
	if s := h.sweep(); !s.GetReport().GetSweep().GetDone() {
		t.Errorf("the last sweep reports %v", s.GetReport())
	}
	if now := h.size(); now > full-retentionBytes*8/5 {
		t.Errorf("the repository took %d bytes with three states, and takes %d with one", full, now)
	}
	if r := h.do("point", "list", "--deleted"); strings.Contains(r.Stdout, h.ids[0][:12]) || strings.Contains(r.Stdout, h.ids[1][:12]) {
		t.Errorf("purged points are still listed:\n%s", r.Stdout)
	}
	h.restores(2)
	h.check()
	h.next()
	h.restores(3)
}

func TestRetentionKeepsWhatTheJobSaysAndTellsWhy(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 10, 1<<20, 1))
	f.createJob("docs", "web1", []string{src})
	if r := f.do("job", "show", "docs"); !strings.Contains(r.Stdout, "keep everything") {
		t.Errorf("a job without rules says:\n%s", r.Stdout)
	}
	for range 4 {
		f.run("docs")
	}
	r := f.do("job", "retention", "preview", "docs", "--keep-last", "2")
	if strings.Count(r.Stdout, "deleted") != 2 || !strings.Contains(r.Stdout, "newest 2: number 2") {
		t.Errorf("the preview:\n%s", r.Stdout)
	}
	if len(points(f)) != 4 {
		t.Error("a preview has deleted something")
	}
	for _, bad := range [][]string{{"--keep-last", "-1"}, {"--min-points", "3"}, {"--keep-last", "2", "--min-points", "5"}} {
		f.fails(2, []string{"retention"}, append([]string{"job", "edit", "docs"}, bad...)...)
		f.fails(2, []string{"retention"}, append([]string{"job", "retention", "preview", "docs"}, bad...)...)
	}
	f.do("job", "edit", "docs", "--keep-last", "2")
	f.run("docs")
	f.must(site.Until(pointsWithin, "two points", func() (bool, error) { return len(points(f)) == 2, nil }))
	if r := f.do("point", "show", "latest", "--computer", "web1"); !strings.Contains(r.Stdout, "newest 2: number 1") {
		t.Errorf("the latest point says:\n%s", r.Stdout)
	}
	f.do("apply", "-f", exported(f))
	if r := f.do("job", "show", "docs"); !strings.Contains(r.Stdout, "keep the newest 2") {
		t.Errorf("after an export and an apply the job says:\n%s", r.Stdout)
	}
}

// exported is the site's configuration in a file.
func exported(f *fleet) string {
	f.t.Helper()
	path := filepath.Join(f.Dir, "site.yaml")
	f.must(os.WriteFile(path, []byte(f.do("export").Stdout), 0o600))
	return path
}
