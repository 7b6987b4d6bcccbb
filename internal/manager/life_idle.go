package manager

import (
	"strconv"

	"keepward/internal/catalog"
	"keepward/internal/job"
)

// This file is a task of idle time that makes room for another session of its repository.

// onYield has the task stop, between two packs, as soon as something else works on its
// repository or wants to. One that waits for attempts to end holds nothing, and only deletes
// when it goes on: it stays.
func (t *task) onYield(x *turn, session int64) {
	if !t.idle || t.yields || len(t.unsettled) > 0 {
		return
	}
	switch {
	case active(t.row.Status):
		t.yields = true
		x.line(t, levelInfo, partServer, "sweep.yields", "session "+strconv.FormatInt(session, 10)+" wants the repository: it stops; what is left waits for the next idle time")
		t.stop(x, partMover)
	case t.row.Status.Class() == job.Parked:
		t.onKill(x, bySelf)
	}
}

// yielded ends a task that has made room. What it did stays done.
func (t *task) yielded(x *turn) {
	t.att.row.Settled = catalog.SettledEnded
	t.row.Failure = nil
	if r := t.row.Report.GetSweep(); r != nil {
		x.line(t, levelInfo, partServer, "sweep.report", sweepText(r))
	}
	t.move(x, job.Completed, job.Reason{}, "it made room for another session", bySelf)
}
