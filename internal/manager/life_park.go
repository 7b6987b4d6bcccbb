package manager

import (
	"fmt"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/broker"
	"keepward/internal/job"
)

// This file is a task that lets go of what it holds and comes back: for a session of higher
// priority, or because a user wants a pause. It goes on from its checkpoint.

// standing is what the broker must know of the task to choose whom to interrupt.
func (t *task) standing() broker.Standing {
	s := broker.Standing{Preemptable: t.row.Status == job.Running && t.preemptable()}
	if t.att != nil {
		s.Checkpoint = t.att.row.Time
	}
	return s
}

// preemptable tells whether the task may be asked to let go in the phase it is in.
func (t *task) preemptable() bool {
	if t.once != "" || t.byAgent {
		return false
	}
	phase, ok := t.typ.Phase(t.phase())
	if ok && phase.ByAgent {
		row, known := job.AgentPhase(t.where().Agent, job.OperationData, phase.Name)
		return known && row.Preemptable
	}
	for _, a := range t.agents {
		if row, known := job.AgentPhase(a, job.OperationData, phase.Name); known && !row.Preemptable {
			return false
		}
	}
	return ok && phase.Preemptable
}

// phase is the phase that the task is in: the one that its agent has told, or that in which its
// attempts work.
func (t *task) phase() string {
	if _, ok := t.typ.Phase(t.row.Phase); ok {
		return t.row.Phase
	}
	return t.mainPhase()
}

func (t *task) onInterrupt(x *turn, session int64) {
	if t.interruptStep(x, session) {
		return
	}
	switch {
	case t.row.Status == job.RunningUnverified: // it does so when its nodes answer
		t.row.InterruptedFor, x.dirty = session, true
		return
	case t.row.Status != job.Running || !t.preemptable():
		return // it lets go anyway
	}
	t.row.InterruptedFor = session
	t.part(x, job.InterruptPending, "", bySelf)
}

// part begins to let go: both sides are told, and the attempt is settled when they have.
func (t *task) part(x *turn, to job.Status, text, actor string) {
	t.partBecause(x, to, job.Reason{}, text, actor)
}

// partBecause is part with a reason that is shown meanwhile.
func (t *task) partBecause(x *turn, to job.Status, why job.Reason, text, actor string) {
	t.move(x, to, why, text, actor)
	t.parting, t.cutting, t.leaveBy = false, false, x.now.Add(x.set.Leaving)
	if t.att.settled() {
		t.letGo(x)
		return
	}
	t.parting = true
	t.countInterruption(x)
	t.stopBoth(x)
	t.leave(x)
}

func (t *task) onSuspend(x *turn, actor string) {
	switch s := t.row.Status; {
	case s == job.Suspended, s == job.SuspendPending && t.row.SuspendedBy != "":
		return
	case s == job.SuspendPending, s == job.InterruptPending: // it does so once it has let go
		t.row.SuspendedBy = actor
		x.line(t, levelInfo, partServer, "session.suspend", fmt.Sprintf("%s wants a pause: it begins when the task has let go", actor))
	case job.CanMove(s, job.SuspendPending) && (s.Class() == job.Parked || t.preemptable()):
		t.row.SuspendedBy = actor
		t.part(x, job.SuspendPending, "", actor)
	default:
		why := t.whyNotSuspended()
		x.line(t, levelWarning, partServer, "session.not-suspended", fmt.Sprintf("suspending was refused: %s", why))
		x.refused = notSuspended(t.row.Session, why)
	}
}

// whyNotSuspended is the reason why the task cannot be paused now; empty: it can.
func (t *task) whyNotSuspended() string {
	why := whyNotSuspended(t.typ, t.row.Status, t.phase())
	if why == "" && t.row.Status.Class() == job.Active {
		why = t.once
	}
	if why == "" && t.byAgent && t.row.Status.Class() == job.Active {
		why = "its agent has begun it by itself; it can only end or be killed"
	}
	if why == "" && t.row.Status == job.Running && !t.preemptable() {
		why = "what it protects cannot be interrupted; it can only end or be killed"
	}
	return why
}

func whyNotSuspended(typ job.Type, s job.Status, phase string) string {
	switch p, ok := typ.Phase(phase); {
	case s.Final():
		return "it is over"
	case s == job.SuspendPending, s == job.Suspended, s == job.InterruptPending, s.Class() == job.Parked:
		return ""
	case !job.CanMove(s, job.SuspendPending):
		return fmt.Sprintf("it is %s", s)
	case ok && !p.Preemptable:
		return fmt.Sprintf("its phase %s cannot be paused; it can only end or be killed", phase)
	}
	return ""
}

func (t *task) onResume(x *turn, actor string) {
	switch t.row.Status {
	case job.SuspendPending, job.InterruptPending:
		if t.row.SuspendedBy != "" { // it goes on once it has let go
			t.row.SuspendedBy = ""
			x.line(t, levelInfo, partServer, "session.resume", fmt.Sprintf("%s wants it to go on: it does when the task has let go", actor))
		}
	case job.Suspended:
		t.resume(x, actor)
	}
}

func (t *task) resume(x *turn, actor string) {
	t.row.SuspendedBy = ""
	t.move(x, job.Queued, job.Reason{}, "", actor)
}

// letGo goes on with a leaving task that has let go, or was cut off.
func (t *task) letGo(x *turn) {
	t.letGoOn(x)
	if t.restsUnsettled() {
		t.retryAt = x.now.Add(x.set.Silence)
	}
}

func (t *task) letGoOn(x *turn) {
	if t.row.Status == job.KillPending {
		t.killed(x)
		return
	}
	if t.parting && t.wasDone() {
		t.complete(x)
		return
	}
	if f := t.ownFailure(); f != nil {
		t.row.Failure = f
		t.move(x, job.Failed, job.Reason{}, f.GetMessage(), bySelf)
		return
	}
	if t.row.Status == job.SuspendPending {
		t.suspended(x)
		return
	}
	forSession, rule := t.row.InterruptedFor, t.row.Reason
	t.row.InterruptedFor = 0
	text := ""
	if forSession != 0 {
		text = fmt.Sprintf("for session %d", forSession)
	}
	t.move(x, job.Interrupted, job.Reason{}, text, bySelf)
	if t.row.SuspendedBy != "" {
		t.move(x, job.SuspendPending, job.Reason{}, "", t.row.SuspendedBy)
		t.suspended(x)
		return
	}
	t.move(x, job.Waiting, job.Because(job.NoResources), "", bySelf)
	if heldBy(rule) { // nobody needs what it held: it must not run now
		t.move(x, job.Queued, job.Because(job.Code(rule.GetCode()), rule.GetArgs()...), rule.GetText(), bySelf)
		return
	}
	t.want(x)
}

// wasDone tells whether a task that makes no point had done its work before it let go.
func (t *task) wasDone() bool {
	if t.att == nil || t.makesPoint() || t.att.mover.end.GetOutcome() != outcomeDone {
		return false
	}
	return !t.att.agent.takesPart() || t.att.agent.end.GetOutcome() == outcomeDone
}

func (t *task) suspended(x *turn) {
	by := t.row.SuspendedBy
	t.move(x, job.Suspended, job.Reason{}, "", by)
	if by == "" { // somebody wanted it to go on meanwhile
		t.resume(x, bySelf)
	}
}

// ownFailure is why the task would have failed for good had nobody asked it to let go.
func (t *task) ownFailure() *keepwardv1.Failure {
	if t.att == nil {
		return nil
	}
	for _, p := range []part{partAgent, partMover} {
		if f := failureOf(t.att.side(p).end, p); f != nil && !transient(f) {
			return f
		}
	}
	return nil
}

// countInterruption notes that the attempt ends because the task was asked to let go, which does
// not use up its restarts. In a row are those of which none ran for long: who has run for the
// time of protection begins anew.
func (t *task) countInterruption(x *turn) {
	t.row.Interruptions++
	if t.row.Status != job.InterruptPending || t.row.InterruptedFor == 0 {
		return
	}
	if x.now.Sub(t.att.row.Time) >= x.set.Protected {
		t.row.Preemptions = 0
	}
	t.row.Preemptions++
}

func (t *task) onPriority(x *turn, e evPriority) {
	if t.priority == e.priority {
		return
	}
	x.line(t, levelInfo, partServer, "session.priority", fmt.Sprintf("priority %03d instead of %03d, set by %s", e.priority, t.priority, e.actor))
	t.priority, t.row.Priority = e.priority, e.priority
	x.order(order{do: doReprioritise, task: t})
}
