package manager

import (
	"cmp"
	"time"

	"keepward/internal/catalog"
	"keepward/internal/job"
	"keepward/internal/script"
)

// This file is a task that knows how it ends, and runs the scripts after its job before it says so.
// It holds nothing any more.

// holdBack keeps a task from its end while scripts have to run, or to end; without any, end is how it
// ends.
func (t *task) holdBack(x *turn, to job.Status, text, actor string) (end job.Status, kept bool) {
	s := t.scripts
	if s == nil || s.last {
		return to, false
	}
	s.verdict = &catalog.Verdict{Task: t.row.ID, Session: t.row.Session, Status: to, Text: text, Actor: actor}
	if t.nextAfter() == "" {
		s.last = true
		return t.withWarnings(to), false
	}
	t.row.RestartAt, t.row.RestartOn, t.retryAt = time.Time{}, "", time.Time{}
	t.row.Phase, x.dirty = job.PhaseFinish, true
	t.setReason(job.Reason{})
	t.giveBack(x, false)
	t.workOn(x, to)
	t.conclude(x)
	return to, true
}

// workOn shows a task that was parked as what it is while the scripts after it run.
func (t *task) workOn(x *turn, to job.Status) {
	if t.row.Status.Class() != job.Parked || !job.CanMove(job.Running, to) {
		return
	}
	if t.row.Status != job.Waiting {
		t.move(x, job.Waiting, job.Reason{}, "", bySelf)
	}
	t.move(x, job.Running, job.Reason{}, "only the scripts after it have yet to run", bySelf)
}

// conclude goes on with the scripts after the job, and ends the task when nothing is left.
func (t *task) conclude(x *turn) {
	place := t.nextAfter()
	if place == "" {
		v := t.scripts.verdict
		t.scripts.last = true
		t.move(x, t.withWarnings(v.Status), job.Reason{}, v.Text, v.Actor)
		return
	}
	if place == job.AgentBefore || place == job.ServerBefore { // the task was killed meanwhile
		t.stopScript(x, place, t.row.KilledBy)
	}
	t.runScript(x, place)
}

// nextAfter is the script that has to run, or to end, before the task ends; empty: none.
func (t *task) nextAfter() job.Place {
	s := t.scripts
	switch {
	case s.under(job.AgentBefore):
		return job.AgentBefore
	case t.due(job.AgentAfter, s.begun[job.AgentBefore] != nil || t.row.Attempts > 0):
		return job.AgentAfter
	case !t.lastOfSession():
		return ""
	case s.under(job.ServerBefore):
		return job.ServerBefore
	case t.due(job.ServerAfter, s.shared.anyBegan()):
		return job.ServerAfter
	}
	return ""
}

// due tells whether a script after the job has yet to end. What never began needs none.
func (t *task) due(p job.Place, began bool) bool {
	row := t.scripts.row(p)
	return began && scriptOf(t.scripts.scripts, p) != nil && (row == nil || row.End == nil)
}

// lastOfSession tells whether all other tasks of the session are over.
func (t *task) lastOfSession() bool {
	for _, other := range t.scripts.shared.tasks {
		if other != t && !other.row.Status.Final() {
			return false
		}
	}
	return true
}

// anyBegan tells whether the session has done anything that its end must clear up after.
func (s *sessionScripts) anyBegan() bool {
	if s.begun[job.ServerBefore] != nil {
		return true
	}
	for _, t := range s.tasks {
		if t.row.Attempts > 0 || len(t.scripts.begun) > 0 {
			return true
		}
	}
	return false
}

// withWarnings is the status of a task of which a script has failed that may.
func (t *task) withWarnings(to job.Status) job.Status {
	if to != job.Completed {
		return to
	}
	sets := []map[job.Place]*catalog.Script{t.scripts.begun}
	if t.lastOfSession() {
		sets = append(sets, t.scripts.shared.begun)
	}
	for _, rows := range sets {
		for _, row := range rows {
			if row.End.GetFailure() != nil {
				return job.CompletedWithWarnings
			}
		}
	}
	return to
}

// concludingTurn takes the events that still mean something.
func (t *task) concludingTurn(x *turn, ev any) {
	switch e := ev.(type) {
	case evWake:
		t.conclude(x)
	case evOnline:
		if e.node == agentOf(t.row.Computer) {
			t.scripts.askAt = time.Time{}
			t.conclude(x)
		}
	case evTick:
		t.tickConcluding(x)
	case evKill:
		t.stopAfter(x, e.actor)
	case evCommit:
		t.stopAfter(x, e.actor)
	case evSuspend:
		x.line(t, levelWarning, partServer, "session.not-suspended", "suspending was refused: only its scripts are left to run")
		x.refused = notSuspended(t.row.Session, "only its scripts are left to run")
	case evPriority:
		t.onPriority(x, e)
	case evEnd, evSettled:
		t.afterlife(x, ev)
	}
}

func (t *task) tickConcluding(x *turn) {
	s := t.scripts
	due := func(at time.Time) bool { return !at.IsZero() && !x.now.Before(at) }
	switch {
	case due(s.giveUp):
		s.askAt, s.giveUp = time.Time{}, time.Time{}
		if place := t.nextAfter(); place != "" {
			path := scriptOf(s.scripts, place).GetPath()
			t.scriptEnded(x, place, script.Lost(path, string(partAgent), "the agent of "+t.row.Computer+" cannot be reached"))
		}
		t.conclude(x)
	case due(s.askAt):
		s.askAt = time.Time{}
		t.conclude(x)
	}
}

// stopAfter has the script ended that the task waits for: how it ends stays what it is.
func (t *task) stopAfter(x *turn, by string) {
	if place := t.nextAfter(); place != "" {
		t.stopScript(x, place, by)
	}
}

// stopScript has a script ended that runs.
func (t *task) stopScript(x *turn, p job.Place, by string) {
	if t.scripts.stopped || !t.scripts.under(p) {
		return
	}
	t.scripts.stopped = true
	x.order(order{do: doStopScript, task: t, place: p, reason: "killed by " + cmp.Or(by, bySelf)})
}
