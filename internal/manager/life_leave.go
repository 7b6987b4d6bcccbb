package manager

import (
	"fmt"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// This file is a task that leaves: an attempt failed or was killed, both nodes are told to
// stop, the attempt is settled, and then it is decided how the task goes on.

// fail gives the attempt up. The first failure is kept; the ends of the other side are
// waited for a moment, since a failure often shows first as its echo.
func (t *task) fail(x *turn, f *keepwardv1.Failure) {
	t.att.row.Failure = f
	t.row.InterruptedFor = 0 // it was to let go of this attempt: the next is none of that session's business
	x.line(t, levelError, part(f.GetPart()), "attempt.failed", f.GetMessage())
	t.move(x, job.Cleanup, job.Reason{}, "", bySelf)
	t.att.gather, t.leaveBy = x.now.Add(x.set.Gather), x.now.Add(x.set.Leaving)
	t.stopBoth(x)
	t.leave(x)
}

func (t *task) stopBoth(x *turn) {
	if t.byServer() && t.att.mover.asked {
		x.order(order{do: doStopAge, task: t})
	}
	t.stop(x, partAgent)
	t.stop(x, partMover)
}

// stop tells a side to end, where there is something to tell and somebody to hear it.
func (t *task) stop(x *turn, p part) {
	switch {
	case !t.att.side(p).expected():
	case t.keeps() && p == partMover: // it commits what its agent brings to an end
	default:
		x.order(order{do: doStop, task: t, attempt: t.att, part: p, reason: t.stopReason(), commit: t.keeps()})
	}
}

func (t *task) stopReason() string {
	switch {
	case t.row.KilledBy != "":
		return "killed by " + t.row.KilledBy
	case t.row.Status == job.SuspendPending:
		return "suspended by " + t.row.SuspendedBy
	case t.row.Status == job.InterruptPending && t.row.InterruptedFor != 0:
		return fmt.Sprintf("interrupted for session %d", t.row.InterruptedFor)
	case t.row.Status == job.InterruptPending && t.row.Reason != nil:
		return "stopped: " + t.row.Reason.GetText()
	case t.row.Status == job.InterruptPending:
		return "interrupted: its wait had closed a circle"
	case t.att.row.Failure != nil:
		return t.att.row.Failure.GetMessage()
	case t.yields && t.typ == job.IndexRestore:
		return "nobody asks it anything any more"
	case t.yields:
		return "another session wants the repository"
	}
	return "the task is done"
}

func (t *task) onStopped(x *turn, e evStopped) {
	if !t.current(e.attempt) {
		return
	}
	if e.gone {
		t.att.side(e.part).gone = true
		if t.browseGone(x) {
			return
		}
	}
	if leaving(t.row.Status) {
		t.leave(x)
	}
}

// leave goes on with a leaving task: when nobody is expected to say more, or the time for it
// is over, the attempt is settled.
func (t *task) leave(x *turn) {
	if t.committed() && t.keeps() && t.att.agent.expected() && x.now.Before(t.leaveBy) {
		return // it ends by itself, and its report says what was left out
	}
	if t.committed() {
		t.complete(x)
		return
	}
	until := t.leaveBy
	if t.row.Status == job.Cleanup {
		until = t.att.gather
	}
	open := false
	for _, s := range t.att.sides() {
		open = open || s.asked || s.expected()
	}
	if t.keeps() {
		open = t.mayBringPoint()
	}
	if open && x.now.Before(until) || t.settling {
		return
	}
	if t.arbiter().offline.IsZero() {
		t.settle(x)
		return
	}
	if t.row.Status == job.Cleanup {
		t.decide(x) // it is settled when its node is back, before the next attempt
	}
}

func (t *task) onSettled(x *turn, e evSettled) {
	if !t.current(e.attempt) {
		return
	}
	t.settling, x.dirty = false, true
	switch {
	case e.committed:
		t.att.partial = e.partial
		t.complete(x)
		return
	case e.failure == nil:
		t.att.row.Settled, t.att.row.Checkpointed = catalog.SettledEnded, e.checkpoint
		if t.makesPoint() {
			t.att.row.Settled = catalog.SettledFenced
		}
	default:
		x.line(t, levelWarning, partServer, "attempt.unsettled", e.failure.GetMessage())
	}
	switch t.row.Status {
	case job.Cleanup:
		t.decide(x)
	case job.KillPending, job.SuspendPending, job.InterruptPending:
		if e.failure == nil || t.cutting {
			t.letGo(x)
		} else {
			t.retryAt = x.now.Add(x.set.Again)
		}
	case job.Waiting:
		t.settledWaiting(x, e.failure)
	case job.Pending, job.Suspended, job.Queued:
		if e.failure != nil {
			t.retryAt = x.now.Add(x.set.Silence)
		}
	}
}

// restsUnsettled tells whether the task was cut off and wants nothing now, but its attempt may still
// write. It is settled all the same: others may wait for that.
func (t *task) restsUnsettled() bool {
	return (t.row.Status == job.Suspended || t.row.Status == job.Queued) && !t.att.settled()
}

// settledWaiting goes on with a task that could not ask for its set before.
func (t *task) settledWaiting(x *turn, f *keepwardv1.Failure) {
	switch {
	case f == nil:
		t.want(x)
	case transient(f):
		t.delay(x, job.Because(job.RepositoryOffline, t.row.Repository))
		t.retryAt = x.now.Add(x.set.Silence)
	default:
		t.failWaiting(x, f)
	}
}

// decide says how a task goes on whose attempt was given up.
func (t *task) decide(x *turn) {
	cause := t.cause()
	phase, known := t.typ.Phase(t.mainPhase())
	switch {
	case t.spared(): // the mover has noticed first
		t.endSpared(x)
	case !transient(cause), known && !phase.Restartable:
		t.row.Failure = cause
		t.move(x, job.Failed, job.Reason{}, cause.GetMessage(), bySelf)
	case t.row.Attempts-t.row.Interruptions >= t.limit:
		t.row.Failure = cause
		t.move(x, job.Failed, job.Reason{}, fmt.Sprintf("%s; all %d attempts are used up", cause.GetMessage(), t.limit), bySelf)
	default:
		t.pend(x, cause)
	}
}

// cause is the failure to report: the first one, unless it is the mere echo of what the
// other side said later.
func (t *task) cause() *keepwardv1.Failure {
	first := t.att.row.Failure
	if first == nil {
		first = failure(errs.Unavailable, codeHeartbeatLost, partServer, "the server was started anew while the task was being given up")
	}
	if !transient(first) {
		return first
	}
	for _, p := range []part{partMover, partAgent} {
		if f := failureOf(t.att.side(p).end, p); f != nil && !transient(f) {
			return f
		}
	}
	return first
}

// transient tells whether a failure may be gone at the next attempt: something was away, in
// use, or told to stop. All others will be the same again.
func transient(f *keepwardv1.Failure) bool {
	switch errs.Kind(f.GetKind()) {
	case errs.Unavailable, errs.Cancelled, errs.Busy:
		return true
	}
	return false
}

func (t *task) onKill(x *turn, actor string) {
	if t.row.Status == job.KillPending {
		if actor != t.row.KilledBy {
			x.line(t, levelInfo, partServer, "session.kill", fmt.Sprintf("%s wants it to end too: it ends as %s has asked for", actor, t.row.KilledBy))
		}
		return
	}
	t.row.KilledBy, t.cutting = actor, false
	t.move(x, job.KillPending, job.Reason{}, "", actor)
	t.leaveBy = x.now.Add(x.set.Leaving)
	if t.att.settled() {
		t.killed(x)
		return
	}
	t.stopBoth(x)
	t.leave(x)
}

// cutOff ends the patience with a task that does not let go: its attempt is fenced, if its
// transport is there, and it is over either way.
func (t *task) cutOff(x *turn) {
	if t.cutting || !t.arbiter().offline.IsZero() {
		t.letGo(x)
		return
	}
	t.cutting, t.leaveBy = true, x.now.Add(2*x.set.Order) // a stop and a fence, one call each
	t.settle(x)
}

// killed ends a killed task. An attempt that could not be settled is settled later, when its
// transport is back.
func (t *task) killed(x *turn) {
	t.notKept(x)
	t.move(x, job.Killed, job.Reason{}, "", t.row.KilledBy)
}

// afterlife is what a task that is over may still learn: that an attempt which could not be
// settled has committed. Its status stays; its point is restorable and is kept.
func (t *task) afterlife(x *turn, ev any) {
	var id string
	committed, settled, partial := false, false, false
	switch e := ev.(type) {
	case evEnd:
		id, committed = e.attempt, t.makesPoint() && e.part == partMover && e.end.GetCommitted()
		partial = e.end.GetPoint().GetPartial()
	case evSettled:
		id, committed, settled, partial = e.attempt, e.committed, e.failure == nil, e.partial
	}
	if !t.current(id) || !committed && !settled {
		return
	}
	t.att.partial = partial
	x.dirty = true
	t.att.row.Settled = catalog.SettledFenced
	if !committed {
		return
	}
	t.att.row.Settled, t.row.Point = catalog.SettledCommitted, t.att.row.ID
	x.point = t.pointRow(x.now, t.row.Errors)
	x.line(t, levelWarning, partServer, "point.late", "the attempt had made its restore point "+t.att.row.ID+" before it was cut off: the point is kept")
}

// lateDeadline is the next moment at which a leaving task must be looked at.
func (t *task) lateDeadline() time.Time {
	if t.row.Status == job.Cleanup && !t.settling {
		return t.att.gather
	}
	return t.leaveBy
}
