package manager

import (
	"strconv"

	"keepward/internal/job"
)

// This file is a task in the queue: what keeps it there, and what takes it back.

func (t *task) onQueue(x *turn, e evQueue) {
	why := e.held.Reason
	switch {
	case t.row.Status == job.Waiting && len(t.unsettled) > 0:
		t.goOnWhenSettled(x, e.open)
	case t.row.Status == job.Waiting && !why.Zero():
		t.queueAgain(x, why)
	case t.row.Status == job.Running && e.held.LetGo && t.preemptable():
		t.partBecause(x, job.InterruptPending, why, why.Text(), bySelf)
	case t.row.Status != job.Queued:
	case !why.Zero():
		t.keep(x, why)
	case e.conflict != 0:
		t.keep(x, job.Because(job.Conflict, strconv.FormatInt(e.conflict, 10)))
	default:
		t.move(x, job.Waiting, job.Reason{}, "", bySelf)
		t.want(x)
	}
}

// keep shows why the task stays in the queue. What is shown already is not written again.
func (t *task) keep(x *turn, why job.Reason) {
	if t.row.Reason == nil || t.row.Reason.GetText() != why.Text() {
		t.delay(x, why)
	}
}

// queueAgain puts a task back into the queue that waits for its set, or was given it too late.
func (t *task) queueAgain(x *turn, why job.Reason) {
	if !t.lacking && !t.awaitsAgent() {
		return // it does not want it now: it was given back already, or its former attempt is not settled
	}
	if t.row.Status == job.Pending {
		t.move(x, job.Waiting, job.Reason{}, "what it lacked was released", bySelf)
	}
	t.move(x, job.Queued, why, why.Text(), bySelf)
}

// held tells whether a rule of the queue keeps the task there; no attempt of it can still write.
func (t *task) held() bool {
	return t.row.Status == job.Queued && t.att.settled() && heldBy(t.row.Reason)
}

// begun tells whether the task has left the queue and is not over.
func (t *task) begun() bool {
	switch t.row.Status.Class() {
	case job.Active, job.Leaving:
		return true
	case job.Parked:
		return t.row.Status != job.Queued
	}
	return false
}

// looksAgain tells whether the queue's rules are to be asked after a change of status: when a
// task comes into the queue, waits for its set anew, or is found to run after all.
func looksAgain(before, now job.Status) bool {
	switch now {
	case job.Queued:
		return before != now
	case job.Waiting:
		return before != now && before != job.Queued
	case job.Running:
		return before == job.RunningUnverified
	}
	return false
}
