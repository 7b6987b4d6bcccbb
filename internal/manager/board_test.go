package manager

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// No two tasks that conflict may both be free to start, and something must always be.
func TestBoardLetsNoConflictThroughAndNeverSticks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBoard()
		var live []*task
		for i := range rapid.IntRange(1, 20).Draw(rt, "tasks") {
			task := &task{
				typ: rapid.SampledFrom([]job.Type{job.Backup, job.Backup, job.RebuildIndex, job.Verify, job.Retention, job.Sweep}).Draw(rt, "type"),
				job: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "job"),
				row: catalog.Task{
					ID: fmt.Sprint(i), Session: int64(i + 1), Computer: rapid.SampledFrom([]string{"c", "d"}).Draw(rt, "computer"),
					Repository: rapid.SampledFrom([]string{"r", "s"}).Draw(rt, "repository"),
				},
			}
			b.add(task)
			live = append(live, task)
		}
		for len(live) > 0 {
			var free []*task
			for _, task := range live {
				if b.conflict(task) == 0 {
					free = append(free, task)
				}
			}
			if len(free) == 0 {
				rt.Fatalf("%d tasks live and none may start", len(live))
			}
			for i, a := range free {
				for _, c := range free[i+1:] {
					if conflicting(a, c) {
						rt.Fatalf("%s and %s may both start", a.row.ID, c.row.ID)
					}
				}
			}
			gone := free[rapid.IntRange(0, len(free)-1).Draw(rt, "ends")]
			b.remove(gone)
			for i, task := range live {
				if task == gone {
					live = append(live[:i:i], live[i+1:]...)
					break
				}
			}
		}
	})
}

func conflicting(a, b *task) bool {
	sameRepository := a.row.Repository == b.row.Repository
	switch {
	case a.typ == job.Backup && b.typ == job.Backup:
		return a.job == b.job && a.row.Computer == b.row.Computer
	case a.typ == job.RebuildIndex:
		return sameRepository && writes(b)
	case b.typ == job.RebuildIndex:
		return sameRepository && writes(a)
	case a.typ == b.typ:
		return sameRepository && (a.typ == job.Retention || a.typ == job.Sweep)
	}
	return false
}

func writes(t *task) bool {
	return t.typ == job.Backup || t.typ == job.Sweep || t.typ == job.RebuildIndex
}

func TestOnlyABackupThatIsAwayIsPassedByARebuild(t *testing.T) {
	offline := &keepwardv1.Reason{Code: string(job.AgentOffline)}
	for name, tt := range map[string]struct {
		change func(backup *task)
		want   int64
	}{
		"away":                      {func(*task) {}, 0},
		"in use elsewhere":          {func(b *task) { b.row.Reason = &keepwardv1.Reason{Code: string(job.ClientBusy)} }, 1},
		"runs":                      {func(b *task) { b.row.Status, b.holds = job.Running, true }, 1},
		"silent":                    {func(b *task) { b.row.Status, b.holds = job.RunningUnverified, true }, 1},
		"its attempt may still end": {func(b *task) { b.att = &attempt{} }, 1},
		"its attempt is settled":    {func(b *task) { b.att = &attempt{row: catalog.Attempt{Settled: catalog.SettledEnded}} }, 0},
	} {
		b := newBoard()
		backup := &task{typ: job.Backup, row: catalog.Task{ID: "1", Session: 1, Repository: "r", Status: job.Waiting, Reason: offline}}
		rebuild := &task{typ: job.RebuildIndex, row: catalog.Task{ID: "2", Session: 2, Repository: "r"}}
		b.add(backup)
		b.add(rebuild)
		tt.change(backup)
		b.note(backup)
		if got := b.conflict(rebuild); got != tt.want {
			t.Errorf("%s: the rebuild waits for session %d, want %d", name, got, tt.want)
		}
	}
}

func TestASweepWaitsForTheRetentionBeforeItAndNotTheOtherWay(t *testing.T) {
	b := newBoard()
	at := func(id int64, typ job.Type) *task {
		return &task{typ: typ, row: catalog.Task{ID: fmt.Sprint(id), Session: id, Repository: "r"}}
	}
	first, sweep, second, third := at(1, job.Retention), at(2, job.Sweep), at(3, job.Retention), at(4, job.Sweep)
	for _, t := range []*task{first, sweep, second, third} {
		b.add(t)
	}
	for _, tt := range []struct {
		task *task
		want int64
	}{{first, 0}, {sweep, 1}, {second, 1}, {third, 3}} {
		if got := b.conflict(tt.task); got != tt.want {
			t.Errorf("session %s waits for %d, want %d", tt.task.row.ID, got, tt.want)
		}
	}
	if got := fmt.Sprint(b.remove(first)); got != "[2 3 4]" {
		t.Errorf("the end of the first frees %s", got)
	}
	if got := b.conflict(sweep); got != 0 {
		t.Errorf("the sweep waits for %d", got)
	}
}

func TestBoardNamesWhomAnEndMayFree(t *testing.T) {
	b := newBoard()
	backup := func(id int64) *task {
		return &task{typ: job.Backup, job: "j", row: catalog.Task{ID: fmt.Sprint(id), Session: id, Computer: "c", Repository: "r"}}
	}
	first, second := backup(1), backup(2)
	rebuild := &task{typ: job.RebuildIndex, row: catalog.Task{ID: "3", Session: 3, Repository: "r"}}
	for _, t := range []*task{first, second, rebuild} {
		b.add(t)
	}
	if got := fmt.Sprint(b.remove(first)); got != "[2 3]" {
		t.Errorf("the end of the first frees %s, want [2 3]", got)
	}
	if got := b.conflict(rebuild); got != 2 {
		t.Errorf("the rebuild waits for session %d, want 2", got)
	}
}

func TestLeavingOutKeepsTheOrderOfTheOthers(t *testing.T) {
	for n := range 7 {
		for i := range n {
			var list, want []int
			for k := range n {
				list = append(list, k)
				if k != i {
					want = append(want, k)
				}
			}
			if got := leaveOut(list, i); !slices.Equal(got, want) {
				t.Errorf("of %d without the one at %d: %v", n, i, got)
			}
		}
	}
}
