package manager

import (
	"fmt"

	"keepward/internal/errs"
	"keepward/internal/job"
)

// This file is a task that does not wait in the broker's queue for what it lacks, but asks again
// after a time, as the row of its job type has it.

const codeNotToBeHad = "resource.not-to-be-had"

// polls tells whether the task is called running while it asks again and again: it has no attempt
// that works, and holds nothing.
func (t *task) polls() bool { return active(t.row.Status) && t.att.settled() }

// askLater leaves the queue until the time of the next try, or gives up.
func (t *task) askLater(x *turn, s job.Step, why job.Reason) {
	t.steps.tries++
	to := s.StatusFor(why)
	switch {
	case to == job.Failed:
		t.failWaiting(x, failure(errs.Unavailable, codeNotToBeHad, partServer, why.Text()))
		return
	case s.Tries > 0 && t.steps.tries >= s.Tries:
		t.failWaiting(x, failure(errs.Unavailable, codeNotToBeHad, partServer, fmt.Sprintf("given up after %d tries: %s", t.steps.tries, why.Text())))
		return
	}
	t.retryAt = x.now.Add(s.Every)
	t.lacking, x.dirty = false, true
	x.order(order{do: doRelease, task: t}) // its place in the queue: it holds nothing
	if to == t.row.Status {
		t.delay(x, why)
		return
	}
	t.move(x, to, why, why.Text(), bySelf)
}

// askAgain is the next try. A task that was called running meanwhile is not while it asks.
func (t *task) askAgain(x *turn) {
	if t.polls() {
		t.move(x, job.Waiting, job.Reason{}, "", bySelf)
	}
	t.want(x)
}
