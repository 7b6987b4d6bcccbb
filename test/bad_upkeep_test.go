package test

import (
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/retention"
	"keepward/test/site"
)

// Rules of retention that cannot be meant are refused, by flags and by files, with the field;
// nothing of the file is applied.
func TestRetentionThatCannotBeMeant(t *testing.T) {
	t.Parallel()
	f, src := newSource(t)
	before := f.do("export").Stdout
	for _, c := range []struct {
		field string
		flags []string
		yaml  string
	}{
		{"retention.keep_last", []string{"--keep-last", "-1"}, "  keep_last: -1\n"},
		{"retention.weekly", []string{"--keep-weekly", "-3"}, "  weekly: -3\n"},
		{"retention.min_points", []string{"--min-points", "3"}, "  min_points: 3\n"},
		{"retention.min_points", []string{"--keep-last", "2", "--min-points", "5"}, "  keep_last: 2\n  min_points: 5\n"},
		{"retention", []string{"--keep-last", "0", "--min-points", "2"}, "  keep_last: 0\n  min_points: 2\n"},
	} {
		f.fails(exitUsage, []string{"retention"}, append([]string{"job", "edit", "docs"}, c.flags...)...)
		path := filepath.Join(f.Dir, "bad.yaml")
		f.must(os.WriteFile(path, []byte(before+"retention:\n"+c.yaml), 0o600))
		if !strings.HasPrefix(lastDocument(before), "kind: job") {
			t.Fatalf("the export does not end with the job:\n%s", before)
		}
		f.fails(exitUsage, []string{c.field, "bad.yaml"}, "apply", "-f", path)
		if after := f.do("export").Stdout; after != before {
			t.Fatalf("%v has changed the configuration:\n%s", c.flags, after)
		}
	}
	f.fails(exitUsage, []string{"grace"}, "repository", "edit", "main", "--undelete-grace", "-1d")
	// Zero is no rule: all is kept.
	f.do("job", "edit", "docs", "--keep-last", "0")
	f.mended(src)
	if n := len(points(f)); n != 2 {
		t.Errorf("%d points are left of 2", n)
	}
}

func lastDocument(yaml string) string {
	all := strings.Split(yaml, "---\n")
	return all[len(all)-1]
}

// A hold on a point that a sweep is about to purge: the hold is refused as long as the point is
// deleted; one that is undeleted and held in time stays, whatever the sweep does.
func TestHoldOnAPointThatIsGoing(t *testing.T) {
	t.Parallel()
	f, src := newSource(t)
	first := f.last("docs", "Completed").Tasks[0].Point
	f.run("docs")
	f.do("repository", "edit", "main", "--undelete-grace", "0s")
	f.do("point", "delete", first, "--yes")
	f.fails(exitDenied, []string{"undelete it first"}, "point", "hold", first)

	var sweep keepwardv1.StartSessionResponse
	f.must(f.Message(&sweep, "repository", "sweep", "main", "--wait=false"))
	back, err := f.CLI("point", "undelete", first)
	f.must(err)
	held, err := f.CLI("point", "hold", first, "--reason", "case 7")
	f.must(err)
	f.final(sweep.Session, "Completed")
	switch {
	case back.Code == 0 && held.Code == 0:
		f.do("repository", "sweep", "main")
		same(t, src, below(f.restore("web1", first), src))
	case back.Code == exitNotFound || back.Code == exitFailed || back.Code == exitDenied: // purged, or just then
		if held.Code == 0 {
			t.Errorf("a hold that holds nothing: %s, %s", back, held)
		}
		if strings.TrimSpace(back.Stderr) == "" {
			t.Errorf("refused without a word: %s", back)
		}
	default:
		t.Errorf("neither held nor gone: %s, %s", back, held)
	}
	f.mended(src)
}

// Two sweeps at once: the second waits for the first, and both end well.
func TestTwoSweepsAtOnce(t *testing.T) {
	t.Parallel()
	f, src := newSource(t)
	f.must(os.RemoveAll(src))
	f.must(site.RandomTree(src, 20, badBytes, 2))
	first := f.last("docs", "Completed").Tasks[0].Point
	f.run("docs")
	f.do("repository", "edit", "main", "--undelete-grace", "0s")
	f.do("point", "delete", first, "--yes")
	var ids []int64
	for range 2 {
		var s keepwardv1.StartSessionResponse
		f.must(f.Message(&s, "repository", "sweep", "main", "--wait=false"))
		ids = append(ids, s.Session)
	}
	for _, id := range ids {
		f.final(id, "Completed")
	}
	f.mended(src)
}

// An index that is rebuilt while a backup's mover writes: it waits for it, and neither harms
// the other.
func TestRebuildOfTheIndexOverALiveMover(t *testing.T) {
	t.Parallel()
	f, src := newSource(t)
	f.must(site.RandomTree(filepath.Join(src, "more"), 200, 40<<20, 2))
	running := f.start("docs")
	_, err := site.WaitMover(f.store, sessionWithin)
	f.must(err)
	f.do("repository", "rebuild-index", "main")
	s, err := f.Session(running)
	f.must(err)
	if s.Ended == nil {
		t.Errorf("the index was rebuilt while session %d was %s", running, s.Status)
	}
	f.final(running, "Completed")
	f.mended(src)
}

// A server whose clock jumps back a year deletes nothing until somebody has said that it is
// right; backups and restores go on.
func TestClockThatJumpsBackAYear(t *testing.T) {
	t.Parallel()
	f, src := newSource(t)
	f.run("docs")
	f.do("job", "edit", "docs", "--keep-last", "1")
	// What it believed before it was stopped is a year ahead of what it finds.
	f.must(f.Server.Stop())
	db, err := catalog.Open(t.Context(), filepath.Join(f.Server.DataDir, "catalog.db"))
	f.must(err)
	ahead, err := json.Marshal(retention.Reading{Wall: time.Now().AddDate(1, 0, 0)})
	f.must(err)
	f.must(db.Write(t.Context(), func(tx *sql.Tx) error { return catalog.SetSetting(t.Context(), tx, "clock.seen", ahead) }))
	f.must(db.Close())
	f.must(f.Server.Start())
	f.must(f.WaitOnline(f.store))
	f.must(f.WaitOnline(f.agent["web1"]))

	before := len(points(f))
	f.run("docs")
	same(t, src, below(f.restore("web1", "latest"), src))
	if r := f.do("job", "retention", "preview", "docs"); strings.Count(r.Stdout, "deleted") == 0 {
		t.Errorf("the test proves nothing: %s", r)
	}
	r, err := f.CLI("status", "-o", "wide")
	f.must(err)
	if !strings.Contains(r.Stdout, "retention and purge are paused") || !strings.Contains(r.Stdout, "keepward job retention resume") {
		t.Errorf("the status: %s", r)
	}
	f.do("repository", "sweep", "main")
	if n := len(points(f)); n != before+1 {
		t.Errorf("%d points are left of %d", n, before+1)
	}
	f.do("job", "retention", "resume")
	f.mended(src)
	f.must(site.Until(pointsWithin, "one point", func() (bool, error) { return len(points(f)) == 1, nil }))
}
