package manager

import (
	"fmt"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// This file is a task that is ended early and keeps what is written: its agent takes in no more and
// makes a partial point of what is complete. Where the agent cannot, the last checkpoint becomes
// that point.

// byLimit is who ends a session that has run for too long.
const byLimit = "the limit of running time"

const codeNothingKept = "session.nothing-kept"

// onCommit ends the task and keeps what its attempt has written. An attempt that is settled has
// either its point, or was cut off and can have none any more.
func (t *task) onCommit(x *turn, actor string) {
	if t.row.Status == job.KillPending {
		t.onKill(x, actor) // how it ends was said before
		return
	}
	if t.row.KillCommits = t.makesPoint() && !t.att.settled(); !t.row.KillCommits {
		x.line(t, levelWarning, partServer, codeNothingKept, "nothing of it can be kept: no attempt of it was at work")
	}
	t.onKill(x, actor)
}

// onOverdue ends a task whose session has run for too long.
func (t *task) onOverdue(x *turn, e evOverdue) {
	if t.row.Status == job.KillPending {
		return
	}
	x.line(t, levelWarning, partServer, "session.overdue", fmt.Sprintf("the session has run for %s, which is the limit", e.limit.Round(time.Second)))
	if e.commit && t.makesPoint() {
		t.onCommit(x, byLimit)
	} else {
		t.onKill(x, byLimit)
	}
}

// keeps tells whether the task is being ended and shall keep what is written.
func (t *task) keeps() bool { return t.row.Status == job.KillPending && t.row.KillCommits }

// mayBringPoint tells whether the attempt of a task that keeps what is written may still come to a
// point by its own work. Its mover alone brings none.
func (t *task) mayBringPoint() bool {
	mover, agent := &t.att.mover, &t.att.agent
	return agent.asked || agent.expected() || agent.end.GetCommitted() && mover.expected()
}

// partial tells whether the point that the attempt has made holds only what was written when it was
// ended.
func (t *task) partial() bool {
	return t.makesPoint() && (t.att.partial || t.att.mover.end.GetPoint().GetPartial())
}

// ended is the status of a task whose work came to something.
func (t *task) ended(errors, warnings int64) job.Status {
	switch {
	case !t.partial():
		return job.Ended(errors, warnings)
	case job.CanMove(t.row.Status, job.Committed):
		return job.Committed
	}
	return job.CompletedWithErrors
}

// notKept says why a task that should keep what is written has no point.
func (t *task) notKept(x *turn) {
	switch {
	case !t.row.KillCommits:
	case t.att.settled():
		text := "nothing is kept: the agent made no point, and there was no checkpoint yet"
		if f := failureOf(t.att.agent.end, partAgent); f != nil {
			text += "; the agent said: " + f.GetMessage()
		}
		x.line(t, levelWarning, partServer, codeNothingKept, text)
	default:
		x.line(t, levelWarning, partServer, codeNothingKept, "whether anything is kept shows when "+t.arbiter().node.String()+" is back")
	}
}

// lastCounters are what is known of an attempt whose ends did not come.
func (t *task) lastCounters() *keepwardv1.Counters {
	c := mergeCounters(t.att.agent.end.GetCounters(), t.att.mover.end.GetCounters())
	if c == nil && t.partial() {
		c = mergeProgress(t.progress).GetCounters()
	}
	return c
}
