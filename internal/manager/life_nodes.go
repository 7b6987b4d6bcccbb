package manager

import (
	"strings"
	"time"

	"keepward/internal/errs"
	"keepward/internal/job"
)

// This file is what a task makes of its nodes coming, going and being silent, and of time.

func (t *task) onOffline(x *turn, n Node) {
	if t.att == nil || t.att.settled() && t.row.Status != job.Pending {
		return
	}
	s := t.att.sideOf(n)
	if s == nil || !s.offline.IsZero() {
		return
	}
	s.offline, s.away = x.now, true
	if t.row.Status == job.Pending {
		t.noteAway(x) // its mover, which noticed first, has ended the attempt already
	}
	if leaving(t.row.Status) {
		t.leave(x)
	}
}

func (t *task) onOnline(x *turn, n Node) {
	if t.att != nil {
		if s := t.att.sideOf(n); s != nil {
			s.offline = time.Time{}
		}
	}
	switch {
	case leaving(t.row.Status):
		t.stopBoth(x)
		t.leave(x)
	case t.row.Status == job.Waiting && len(t.unsettled) > 0:
		t.clear(x)
	case t.row.Status == job.Waiting && !t.lacking:
		t.want(x)
	case t.restsUnsettled():
		t.settle(x) // others may wait for that
	case t.row.Status == job.Pending && !t.lacking:
		if !t.att.settled() {
			t.settle(x)
		}
		if t.att != nil && t.nobodyAway() && (t.row.RestartOn != "" || t.att.sideOf(n) != nil && lostTouch(t.att.row.Failure)) {
			t.again(x)
		}
	case t.row.Status == job.RunningUnverified && t.att.verify.IsZero() && t.nobodyAway(): // else the time of the other runs on
		t.att.verify = x.now.Add(t.patience(x.set.Verify)) // its heartbeat has yet to name the attempt
	}
}

// nobodyAway tells whether every node that the next attempt needs is there, as far as the
// last attempt knows.
func (t *task) nobodyAway() bool {
	for _, s := range t.att.sides() {
		if s.takesPart() && !s.offline.IsZero() {
			return false
		}
	}
	return true
}

// forgetAfter is how many heartbeats in a row must leave an attempt out before its node is
// believed to have lost it: the first may have been written before the order came.
const forgetAfter = 2

func (t *task) onHeartbeat(x *turn, e evHeartbeat) {
	if !t.current(e.attempt) {
		return
	}
	s := t.att.sideOf(e.node)
	if s == nil || s.end != nil {
		return
	}
	if e.named {
		t.heard(x, s, e.boot)
		return
	}
	if s.asked || s.gone || !s.ordered && t.att.verify.IsZero() {
		return
	}
	s.misses++
	restarted := e.boot != s.boot && e.boot != "" && s.boot != ""
	if !restarted && s.ordered && s.misses < forgetAfter {
		return
	}
	s.gone, s.away = true, s.away || restarted || !s.ordered
	switch {
	case active(t.row.Status) && (t.committed() || t.restored()):
		t.judge(x)
	case active(t.row.Status):
		t.fail(x, failure(errs.Unavailable, codeNodeLostTask, t.partOf(s), s.node.String()+" does not have the task (any more): it was started anew, or the task's process is gone, or the order never came"))
	case leaving(t.row.Status):
		t.leave(x)
	}
}

func (t *task) partOf(s *side) part {
	if s == &t.att.agent {
		return partAgent
	}
	return partMover
}

// heard notes that a node has the attempt. A transport that was started anew may have it too.
func (t *task) heard(x *turn, s *side, boot string) {
	s.heard, s.misses, s.offline = true, 0, time.Time{}
	s.ordered = s.ordered || !s.asked
	if s.boot != boot {
		s.boot, s.away, x.dirty = boot, true, true
		t.att.row.MoverBoot, t.att.row.AgentBoot = t.att.mover.boot, t.att.agent.boot
	}
	if t.row.Status == job.RunningUnverified && t.att.mover.sound() && (t.byAgent || t.att.agent.sound()) {
		t.att.verify = time.Time{}
		t.move(x, job.Running, job.Reason{}, "", bySelf)
		if t.row.InterruptedFor != 0 {
			t.onInterrupt(x, t.row.InterruptedFor)
		}
	}
	if t.yields || t.steps.quiet {
		t.stop(x, partMover) // again: the first may have been lost
	}
}

// onWake takes a task up after a start of the server. Nobody is known to be there yet.
func (t *task) onWake(x *turn) {
	if t.att != nil {
		for _, s := range t.att.sides() {
			if s.takesPart() {
				s.offline = x.now
			}
		}
	}
	switch {
	case t.row.Status == job.Waiting, t.row.Status == job.Pending && t.row.RestartAt.IsZero():
		t.quiet = t.row.Reason != nil // its nodes come back one after the other: no news for every log
		t.want(x)
	case leaving(t.row.Status) && t.row.Status != job.Cleanup && t.att.settled():
		t.letGo(x)
	case leaving(t.row.Status):
		t.att.gather, t.leaveBy, t.parting = x.now.Add(x.set.Verify), x.now.Add(x.set.Leaving), true
		t.leaveWhenBack()
	case t.polls():
		t.askAgain(x)
	case active(t.row.Status) && t.byServer():
		t.fail(x, failure(errs.Unavailable, codeServerRestarted, partServer, "the server was started anew"))
	case active(t.row.Status):
		t.wakeRunning(x)
	}
}

// leaveWhenBack makes a task that was leaving wait for its nodes instead of counting them as
// away for good: they connect in a moment.
func (t *task) leaveWhenBack() {
	for _, s := range t.att.sides() {
		s.away = s.away || s.takesPart()
	}
}

// wakeRunning waits for the nodes of a task that was running. An order that was on its way
// when the server ended was taken or not: the node's heartbeat, or its end, tells.
func (t *task) wakeRunning(x *turn) {
	if t.row.Status == job.Running {
		t.move(x, job.RunningUnverified, job.Because(job.HeartbeatLost, t.lostHost()), "the server was started anew", bySelf)
	}
	t.att.verify = x.now.Add(t.patience(x.set.Verify))
	if t.att.mover.end != nil || t.att.agent.end != nil {
		t.judge(x)
	}
}

// lostHost names the nodes that have not been heard of.
func (t *task) lostHost() string {
	var names []string
	for _, s := range t.att.sides() {
		if !s.sound() {
			names = append(names, s.node.String())
		}
	}
	return strings.Join(names, " and ")
}

// onTick does what is due.
func (t *task) onTick(x *turn) {
	due := func(at time.Time) bool { return !at.IsZero() && !x.now.Before(at) }
	if t.tickSteps(x, due) {
		return
	}
	switch t.row.Status {
	case job.Pending, job.Waiting:
		if due(t.retryAt) {
			t.retryAt = time.Time{}
			switch {
			case len(t.unsettled) > 0:
				t.clear(x)
			case !t.att.settled():
				t.settle(x)
			case t.row.RestartAt.IsZero():
				t.askAgain(x)
			}
		}
		if t.row.Status == job.Pending && due(t.row.RestartAt) {
			t.row.RestartAt, t.row.RestartOn = time.Time{}, ""
			t.move(x, job.Waiting, job.Reason{}, "", bySelf)
			t.want(x)
		}
	case job.Suspended, job.Queued:
		if t.restsUnsettled() && due(t.retryAt) {
			t.retryAt = time.Time{}
			t.settle(x)
		}
	case job.Running, job.RunningUnverified:
		t.tickRunning(x, due)
	case job.Cleanup:
		switch {
		case due(t.leaveBy):
			t.decide(x)
		case due(t.att.gather):
			t.leave(x)
		}
	case job.KillPending, job.SuspendPending, job.InterruptPending:
		switch {
		case due(t.leaveBy):
			t.cutOff(x)
		case due(t.retryAt):
			t.retryAt = time.Time{}
			t.leave(x)
		}
	}
}

func (t *task) tickRunning(x *turn, due func(time.Time) bool) {
	if t.polls() {
		if due(t.retryAt) {
			t.retryAt = time.Time{}
			t.askAgain(x)
		}
		return
	}
	since, node := t.silence()
	isLost := !since.IsZero() && t.att.verify.IsZero() && due(since.Add(t.patience(x.set.Lost)))
	switch {
	case due(t.att.other), t.restored() && (isLost || due(t.att.verify)):
		t.otherMissing(x)
	case due(t.att.verify):
		t.fail(x, failure(errs.Unavailable, codeHeartbeatLost, partServer,
			"the heartbeat of "+t.lostHost()+" did not come back in time"))
	case since.IsZero() || !t.att.verify.IsZero():
	case isLost:
		t.fail(x, failure(errs.Unavailable, codeNodeSilent, t.partOf(t.att.sideOf(node)), node.String()+" has been silent for too long"))
	case t.row.Status == job.Running && due(since.Add(x.set.Silence)):
		t.move(x, job.RunningUnverified, offlineReason(node), "", bySelf)
	}
}

// silence is the node of a running task that is away longest, and since when.
func (t *task) silence() (time.Time, Node) {
	var since time.Time
	var node Node
	for _, s := range t.att.sides() {
		if t.byAgent && s == &t.att.agent {
			continue // it need not reach the server; that it is lost its mover finds
		}
		if s.takesPart() && s.end == nil && !s.offline.IsZero() && (since.IsZero() || s.offline.Before(since)) {
			since, node = s.offline, s.node
		}
	}
	return since, node
}

// deadline is the next moment at which the task wants a tick; zero: none.
func (t *task) deadline(set *Settings) time.Time {
	if at, ours := t.scriptDeadline(); ours {
		return at
	}
	return earliest(t.steps.at, t.statusDeadline(set))
}

func (t *task) statusDeadline(set *Settings) time.Time {
	switch {
	case t.row.Status == job.Pending:
		return earliest(t.row.RestartAt, t.retryAt)
	case t.row.Status == job.Waiting, t.restsUnsettled():
		return t.retryAt
	case leaving(t.row.Status):
		return earliest(t.lateDeadline(), t.retryAt)
	case t.polls():
		return t.retryAt
	case active(t.row.Status):
		next := earliest(t.att.other, t.att.verify)
		since, _ := t.silence()
		if since.IsZero() || !t.att.verify.IsZero() {
			return next
		}
		if t.row.Status == job.Running {
			return earliest(next, since.Add(set.Silence))
		}
		return earliest(next, since.Add(t.patience(set.Lost)))
	}
	return time.Time{}
}

// earliest is the first of the moments that are not zero.
func earliest(moments ...time.Time) time.Time {
	var first time.Time
	for _, m := range moments {
		if !m.IsZero() && (first.IsZero() || m.Before(first)) {
			first = m
		}
	}
	return first
}
