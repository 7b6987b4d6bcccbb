package manager

import (
	"fmt"
	"slices"
	"time"

	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// This file is a task that keeps its first set while it waits for its second, and one that lets go
// without a status for it. The rows of job.Reservations say how often and how long. What is released
// between two tries for a second set is granted at once all the same.

// steps is what a task knows of its tries. It is gone after a start of the server: then it holds
// nothing, and begins with its first step.
type steps struct {
	first bool      // it keeps its first set and waits for its second
	tries int       // for the second
	at    time.Time // of the next try; zero: none is due
	quiet bool      // it lets go, and shows it only when it has
}

// keepsFirst takes a first set that is to be kept while the second is waited for, and tells
// whether it was one.
func (t *task) keepsFirst(x *turn, e evGranted) bool {
	t.choose(x, e.holds)
	if t.steps.first || len(t.secondSet()) == 0 {
		return false
	}
	t.steps = steps{first: true}
	t.holds = true
	x.line(t, levelInfo, partServer, "task.first-set", "it holds its first set, and asks for its second")
	x.order(order{do: doRequestMore, task: t})
	return true
}

// enter brings a task that has its set to Running; one that asked from there is there.
func (t *task) enter(x *turn) {
	if t.row.Status == job.Running {
		t.setReason(job.Reason{})
		x.dirty = true
		return
	}
	t.move(x, job.Running, job.Reason{}, "", bySelf)
}

// secondDelayed parks a task that keeps its first set until the next try for its second.
func (t *task) secondDelayed(x *turn, why job.Reason) {
	step := t.typ.Reservation().B
	switch {
	case slices.Contains(step.LetsGo, why.Code):
		t.beginAgain(x, why, why.Text()+": it lets go of its first set", step.Every)
	case t.row.Status == job.Pending:
		t.delay(x, why)
	case step.Tries > 0 && t.steps.tries >= step.Tries:
		t.triesUsedUp(x, why, step.Then)
	default:
		t.steps.at = x.now.Add(step.Every)
		t.move(x, job.Pending, why, why.Text(), bySelf)
	}
}

// beginAgain lets go of the first set; after a while the task begins with its first step.
func (t *task) beginAgain(x *turn, why job.Reason, text string, after time.Duration) {
	t.steps = steps{}
	t.row.RestartAt = x.now.Add(after)
	if t.row.Status == job.Pending {
		t.giveBack(x, false)
		t.delay(x, why)
		return
	}
	t.move(x, job.Pending, why, text, bySelf)
}

func (t *task) triesUsedUp(x *turn, why job.Reason, then job.Status) {
	text := fmt.Sprintf("%s; all %d tries are used up", why.Text(), t.steps.tries)
	t.row.Attempts++
	if then == job.Failed || t.row.Attempts-t.row.Interruptions >= t.limit {
		t.failWaiting(x, failure(errs.Unavailable, codeNotToBeHad, partServer, text))
		return
	}
	t.row.RestartAt = x.now.Add(t.interval)
	t.beginAgain(x, t.restartReason(), text, t.interval)
}

// tickSteps makes the try that is due, and tells whether one was.
func (t *task) tickSteps(x *turn, due func(time.Time) bool) bool {
	if !due(t.steps.at) {
		return false
	}
	t.steps.at = time.Time{}
	t.tryAgain(x)
	return true
}

func (t *task) tryAgain(x *turn) {
	switch {
	case t.steps.quiet:
		t.steps.quiet = false
		t.fail(x, failure(errs.Cancelled, codeStopped, partMover, "the mover did not let go in time"))
	case t.steps.first:
		t.steps.tries++
		if t.row.Status == job.Pending {
			t.move(x, job.Waiting, job.Reason{}, "it asks for its second set again", bySelf)
		}
		t.move(x, job.Running, job.Reason{}, fmt.Sprintf("try %d of %d for its second set", t.steps.tries, t.typ.Reservation().B.Tries), bySelf)
		x.order(order{do: doRequestMore, task: t})
	}
}

// interruptStep answers an interruption of a task that waits for its second set, whatever its
// flags, or of one that shows it only when it has let go; it tells whether it was one of these.
func (t *task) interruptStep(x *turn, session int64) bool {
	switch {
	case t.steps.quiet:
		return true
	case t.steps.first:
		t.row.InterruptedFor = session
		if session != 0 {
			t.row.Preemptions++
		}
		t.part(x, job.InterruptPending, "", bySelf)
		return true
	case t.typ.LetsGoQuietly() && t.row.Status == job.Running && t.preemptable():
		t.row.InterruptedFor = session
		t.steps.quiet, t.steps.at = true, x.now.Add(x.set.Leaving)
		x.dirty = true
		t.stopBoth(x)
		return true
	}
	return false
}

// lettingGo tells whether a mover's end is that of a task that was told to let go.
func (t *task) lettingGo() bool {
	f := failureOf(t.att.mover.end, partMover)
	return t.steps.quiet && f != nil && transient(f)
}

// letGoQuietly brings a task that has let go from Running to Waiting.
func (t *task) letGoQuietly(x *turn) {
	t.att.row.Settled = catalog.SettledEnded
	text := "it has let go"
	if t.row.InterruptedFor != 0 {
		text = fmt.Sprintf("it has let go for session %d", t.row.InterruptedFor)
		t.row.Preemptions++
	}
	t.row.Interruptions++
	t.row.InterruptedFor, t.steps = 0, steps{}
	if t.row.Status == job.RunningUnverified {
		t.move(x, job.Running, job.Reason{}, "", bySelf)
	}
	t.move(x, job.Waiting, job.Because(job.NoResources), text, bySelf)
	t.want(x)
}
