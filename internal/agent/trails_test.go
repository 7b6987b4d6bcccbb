package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"keepward/internal/pipeline"
)

func noTrails(t *testing.T) *trails {
	t.Helper()
	return openTrails(filepath.Join(t.TempDir(), "trails"), slog.New(slog.DiscardHandler))
}

func TestATaskKeepsItsTrailUntilItIsDone(t *testing.T) {
	all := noTrails(t)
	first := all.of("a")
	all.of("b")
	if all.of("a") != first {
		t.Error("the second attempt has another trail")
	}
	all.forget("a")
	all.forget("a") // nothing is wrong with that
	if all.of("a") == first {
		t.Error("the trail of a task that is done is still there")
	}
}

func TestTrailsOfTasksThatNobodyComesBackToGo(t *testing.T) {
	all := noTrails(t)
	oldest, old := all.of("oldest"), all.of("old")
	all.keep("oldest", oldest, &pipeline.Counters{})
	for i := range maxTrails - 2 {
		all.of(strconv.Itoa(i))
	}
	if all.of("old") != old {
		t.Error("there was room for it")
	}
	all.of("one more")
	if all.of("old") != old {
		t.Error("a task that was begun again is not the oldest")
	}
	if all.of("oldest") == oldest || len(all.list) > maxTrails {
		t.Errorf("%d trails are kept", len(all.list))
	}
	if left := len(filesIn(t, all.dir)); left != 0 {
		t.Errorf("%d files are left", left)
	}
}

// A process that was killed leaves its trails to the next.
func TestTrailsAreThereAfterAKill(t *testing.T) {
	all := noTrails(t)
	count := &pipeline.Counters{}
	for i, task := range []string{"torn", "1/web1", "done"} {
		note := all.keeper(task, all.of(task), count)
		note()
		note() // too soon
		at := time.Unix(int64(1_700_000_000+i), 0)
		if err := os.Chtimes(filepath.Join(all.dir, trailName(task)), at, at); err != nil {
			t.Fatal(err)
		}
	}
	all.forget("done")
	if err := os.Truncate(filepath.Join(all.dir, trailName("torn")), 7); err != nil {
		t.Fatal(err)
	}
	next := openTrails(all.dir, all.log)
	if len(next.list) != 1 || next.index("1/web1") != 0 {
		t.Errorf("the next process has %+v", next.list)
	}
	if left := filesIn(t, all.dir); len(left) != 1 {
		t.Errorf("files %v are left, one is good", left)
	}
}

func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
