package manager

import (
	"slices"
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// backupOf is a backup of one computer by one job.
func backupOf(session int64, s job.Status, reason job.Code) *task {
	t := &task{typ: job.Backup, job: "docs", row: catalog.Task{ID: string(rune('a' + session)), Session: session, Computer: "web1", Repository: theRepo, Status: s}}
	if reason != "" {
		t.row.Reason = &keepwardv1.Reason{Code: string(reason)}
	}
	return t
}

func TestAYoungerBackupPassesAnOlderOneThatARuleKeeps(t *testing.T) {
	b := newBoard()
	old, young := backupOf(1, job.Queued, ""), backupOf(2, job.Queued, "")
	b.add(old)
	b.add(young)
	if got := b.conflict(young); got != 1 {
		t.Errorf("the younger conflicts with %d", got)
	}
	old.row.Reason = &keepwardv1.Reason{Code: string(job.OutsideWindow)}
	if held := b.note(old); len(held) == 0 {
		t.Error("the older is kept by a rule, and nobody is told")
	}
	if got := b.conflict(young); got != 0 {
		t.Errorf("the younger conflicts with %d, which a rule keeps", got)
	}
	b.begin(young)
	if got := b.conflict(old); got != 2 {
		t.Errorf("the older conflicts with %d while the younger runs", got)
	}
	young.row.Status, young.row.Reason = job.Queued, &keepwardv1.Reason{Code: string(job.Throttle)}
	if held := b.note(young); len(held) == 0 {
		t.Error("the younger is back in the queue, and nobody is told")
	}
	if got := b.conflict(old); got != 0 {
		t.Errorf("the older conflicts with %d, which is in the queue", got)
	}
}

func TestTwoBackupsNeverLeaveTheQueueTogether(t *testing.T) {
	b := newBoard()
	old, young := backupOf(1, job.Queued, job.StartTime), backupOf(2, job.Queued, "")
	b.add(old)
	b.add(young)
	b.begin(old) // its time has come; nothing of it is written yet
	if got := b.conflict(young); got != 1 {
		t.Errorf("the younger conflicts with %d while the older begins", got)
	}
}

func TestWhatAClosedWindowStoppedAsksForNothing(t *testing.T) {
	why := job.Because(job.OutsideWindow, "night", "2026-11-02T20:00:00Z")
	for name, c := range map[string]struct {
		reason *keepwardv1.Reason
		status job.Status
		asks   bool
	}{
		"a window":        {&keepwardv1.Reason{Code: string(why.Code), Args: why.Args}, job.Queued, false},
		"another session": {nil, job.Waiting, true},
	} {
		b := backupOf(1, job.InterruptPending, "")
		b.row.Reason = c.reason
		x := &turn{}
		b.letGo(x)
		asked := slices.ContainsFunc(x.orders, func(o order) bool { return o.do == doRequest })
		if b.row.Status != c.status || asked != c.asks {
			t.Errorf("stopped by %s, it is %s and asks for its set: %v", name, b.row.Status, asked)
		}
	}
}
