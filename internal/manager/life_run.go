package manager

import (
	"cmp"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/repo/point"
)

// This file is a task that runs: orders, ends, and what they add up to.

// The outcomes of an attempt's end on the wire.
const (
	outcomeDone    = "done"
	outcomeFailed  = "failed"
	outcomeAborted = "aborted"
)

// Codes of failures that the manager finds itself; docs/errors.md lists them.
const (
	codeHeartbeatLost = "node.heartbeat-lost"
	codeNodeSilent    = "node.silent"
	codeNodeLostTask  = "node.lost-task"
	codeEndMissing    = "attempt.end-missing"
	codeNotCommitted  = "attempt.not-committed"
	codeStopped       = "attempt.stopped"
	codeDamaged       = "repository.damaged"

	codeServerRestarted = CodeServerRestarted
)

// leftCodes are the failures by which a node says that its own process went away: its return,
// not the restart interval, is what the next attempt waits for.
var leftCodes = map[string]bool{"agent.restarted": true, "agent.stopping": true}

func active(s job.Status) bool  { return s.Class() == job.Active }
func leaving(s job.Status) bool { return s.Class() == job.Leaving }

func (t *task) onOrdered(x *turn, e evOrdered) {
	if !t.current(e.attempt) {
		return
	}
	s := t.att.side(e.part)
	s.asked = false
	if e.failure != nil {
		if active(t.row.Status) {
			t.fail(x, withPart(e.failure, e.part))
		} else {
			t.leave(x)
		}
		return
	}
	s.ordered = true // not worth a write of its own: the node's heartbeat says so again
	switch {
	case leaving(t.row.Status): // the stop came while the order was on its way
		t.stop(x, e.part)
		t.leave(x)
	case active(t.row.Status) && (t.yields || t.steps.quiet):
		t.stop(x, e.part)
	case active(t.row.Status) && e.part == partMover && t.att.agent.takesPart():
		t.att.agent.asked = true
		x.order(order{do: doStartAgent, task: t, attempt: t.att, endpoint: e.endpoint, keys: e.keys})
	}
}

// onEnd keeps the first end of each side; a second one says nothing new.
func (t *task) onEnd(x *turn, e evEnd) {
	if !t.current(e.attempt) || t.att.side(e.part).end != nil {
		return
	}
	s := t.att.side(e.part)
	s.end, s.ordered = e.end, true
	if e.part == partMover && t.byAgent {
		t.row.Started, _ = t.opened(x.now)
	}
	s.away = s.away || leftCodes[e.end.GetFailure().GetCode()]
	if e.part == partMover {
		t.att.row.MoverEnd = e.end
	} else {
		t.att.row.AgentEnd = e.end
	}
	if e.end.GetCounters() != nil {
		t.onProgress(x, evProgress{attempt: e.attempt, part: e.part, progress: &keepwardv1.Progress{
			Phase: t.progress[e.part].GetPhase(), Counters: e.end.GetCounters(),
		}})
	}
	x.dirty = true
	if e.end.GetOutcome() != outcomeDone {
		t.takeSwept(x, e.end.GetSweep()) // what it did by then is done
	}
	switch {
	case active(t.row.Status):
		t.judge(x)
	case leaving(t.row.Status):
		t.leave(x)
	case t.committed():
		t.complete(x)
	}
}

// committed tells whether the mover has said that the point is durable. What the agent
// repeats of it is not enough: it heard it from the mover.
func (t *task) committed() bool { return t.makesPoint() && t.att.mover.end.GetCommitted() }

// judge looks at the ends that a running attempt has so far.
func (t *task) judge(x *turn) {
	mover, agent := t.att.mover.end, t.att.agent.end
	switch {
	case t.yields && mover.GetOutcome() == outcomeAborted:
		t.yielded(x)
	case t.lettingGo():
		t.letGoQuietly(x)
	case t.committed():
		if agent != nil || t.att.agent.gone {
			t.complete(x)
			return
		}
		t.row.Phase = job.PhaseFinish
		t.awaitOther(x)
	case t.spared():
		t.endSpared(x)
	case agent != nil && agent.GetOutcome() != outcomeDone:
		t.fail(x, failureOf(agent, partAgent))
	case mover != nil && mover.GetOutcome() != outcomeDone && !t.restored():
		t.fail(x, failureOf(mover, partMover))
	case t.makesPoint() && mover != nil:
		t.fail(x, failure(errs.Internal, codeNotCommitted, partMover, "the mover ended without making the restore point durable"))
	case t.makesPoint(), agent == nil && t.att.agent.takesPart():
		t.awaitOther(x)
	case mover == nil && t.att.mover.takesPart() && !t.att.mover.gone:
		// All is restored. What the mover found amiss as it read is said before its end, which
		// comes as soon as the agent has left, or when its transport is back.
		t.awaitOther(x)
	default:
		t.complete(x)
	}
}

// restored tells whether the agent has written all that it was to restore: nothing that happens
// to the mover afterwards takes that back.
func (t *task) restored() bool {
	return !t.makesPoint() && t.att.agent.takesPart() && t.att.agent.end.GetOutcome() == outcomeDone
}

func (t *task) awaitOther(x *turn) {
	if t.att.other.IsZero() {
		t.att.other = x.now.Add(x.set.OtherEnd)
	}
}

// otherMissing decides an attempt whose second end has not come.
func (t *task) otherMissing(x *turn) {
	if t.committed() || t.restored() {
		t.complete(x)
		return
	}
	p := partMover
	if t.att.mover.end != nil {
		p = partAgent
	}
	t.fail(x, failure(errs.Unavailable, codeEndMissing, p, "the end of the task at "+t.att.side(p).node.String()+" was not reported"))
}

// failureOf is why an end was not a good one; an end that was told to stop is a failure too.
func failureOf(end *keepwardv1.AttemptEnd, p part) *keepwardv1.Failure {
	switch {
	case end == nil || end.GetOutcome() == outcomeDone:
		return nil
	case end.GetFailure() != nil:
		return withPart(end.GetFailure(), p)
	case end.GetOutcome() == outcomeAborted:
		return failure(errs.Cancelled, codeStopped, p, "the "+string(p)+" was stopped")
	}
	return failure(errs.Internal, "", p, "the "+string(p)+" failed and did not say why")
}

// complete ends a task that has done its work. It is only called when the point exists, or
// when the task makes none.
func (t *task) complete(x *turn) {
	if t.typ == job.Sweep && !t.swept(x) {
		return
	}
	t.att.row.Settled = catalog.SettledEnded
	if t.makesPoint() {
		t.att.row.Settled = catalog.SettledCommitted
		t.row.Point = t.att.row.ID
	}
	t.row.Failure = nil
	errors, warnings := t.faults()
	if t.makesPoint() && t.att.agent.end == nil && !t.partial() {
		// What the agent left out by then is known from its events alone.
		warnings++
		x.line(t, levelWarning, partServer, codeEndMissing,
			"the restore point is complete, but the agent's final report did not arrive: its counts may be low")
	}
	if f := failureOf(t.att.mover.end, partMover); t.restored() && f != nil {
		warnings++
		x.line(t, levelWarning, partMover, f.GetCode(), "all was restored; then the mover failed: "+f.GetMessage())
	} else if t.restored() && t.att.mover.end == nil {
		warnings++
		x.line(t, levelWarning, partServer, codeEndMissing,
			"all was restored, but the mover's final report did not arrive: what it found amiss as it read may be missing here")
	}
	if t.makesPoint() {
		x.point = t.pointRow(x.now, errors)
	}
	for _, e := range affectedLines(t.att.mover.end.GetCheck()) {
		x.add(t, e)
	}
	to := t.ended(errors, warnings)
	if damage := damageOf(t.att.mover.end.GetCheck()); damage != nil {
		t.row.Failure = damage
		t.move(x, job.Failed, job.Reason{}, damage.GetMessage(), bySelf)
	} else {
		t.move(x, to, job.Reason{}, "", bySelf)
	}
	if t.att.mover.expected() { // a mover that did not notice that the agent has left
		t.stop(x, partMover)
	}
}

// faults counts what went wrong with single objects: the higher of what was counted and what
// was reported.
func (t *task) faults() (errors, warnings int64) {
	errors, warnings = t.row.Errors, t.row.Warnings
	for _, s := range t.att.sides() {
		errors = max(errors, s.end.GetCounters().GetErrors())
		warnings = max(warnings, s.end.GetCounters().GetWarnings())
	}
	if t.completeness() == point.WithErrors.String() {
		errors = max(errors, 1)
	}
	return errors, max(warnings, repaired(t.att.mover.end.GetCheck()))
}

// completeness is what the mover read in the point itself, or what the agent says of it.
func (t *task) completeness() string {
	return cmp.Or(t.att.mover.end.GetPoint().GetCompleteness(), t.att.agent.end.GetPoint().GetCompleteness())
}

func (t *task) pointRow(now time.Time, errors int64) *keepwardv1.Point {
	completeness := point.Whole
	if errors > 0 {
		completeness = point.WithErrors
	}
	if t.partial() {
		completeness = point.Unfinished
	}
	at, parent := t.opened(now)
	p := &keepwardv1.Point{
		Id: t.att.row.ID, Computer: t.row.Computer, Job: t.job, Session: t.row.Session, Repository: t.row.Repository,
		Time: timestamppb.New(at), Parent: parent, Full: t.full || parent == "",
		Completeness: completeness.String(), Partial: t.partial(), Files: t.files, Counters: t.lastCounters(),
	}
	if c := t.completeness(); c != "" {
		p.Completeness = c
	}
	return p
}
