package manager

import (
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
	"keepward/internal/script"
)

// This file is a task that runs the scripts before its job: the phase prepare, in which it holds
// nothing.

// befores are the scripts of the phase prepare, in their order.
var befores = []job.Place{job.ServerBefore, job.AgentBefore}

// prepare runs what has to run before the task asks for its set; false: nothing is left to run.
func (t *task) prepare(x *turn) bool {
	if t.scripts == nil {
		return false
	}
	place, why := t.nextBefore()
	switch {
	case why != nil:
		t.failWaiting(x, why)
		return true
	case place == "":
		return false
	case !t.scripts.there():
		t.delay(x, job.Because(job.AgentOffline, t.row.Computer))
		return true
	}
	if t.row.Status == job.Pending {
		t.move(x, job.Waiting, job.Reason{}, "", bySelf)
	}
	t.retryAt = time.Time{}
	t.row.Phase = job.PhasePrepare
	t.move(x, job.Running, job.Reason{}, "its scripts run before anything is reserved", bySelf)
	t.runScript(x, place)
	return true
}

// nextBefore is the script that must end before the task goes on, or why it must not.
func (t *task) nextBefore() (job.Place, *keepwardv1.Failure) {
	for _, p := range befores {
		s := scriptOf(t.scripts.scripts, p)
		if s == nil {
			continue
		}
		row := t.scripts.row(p)
		if row == nil || row.End == nil {
			return p, nil
		}
		if f := row.End.GetFailure(); f != nil && !goesOn(p, s, row.End) {
			return "", f
		}
	}
	return "", nil
}

// awaitsAgent tells whether the task would run scripts before it asks for its set, were its agent
// there.
func (t *task) awaitsAgent() bool {
	if t.scripts == nil || t.row.Status != job.Waiting || !t.att.settled() {
		return false
	}
	place, _ := t.nextBefore()
	return place != ""
}

// goesOn tells whether the task goes on although the script failed. One that is lost may have done
// its work, and cannot be asked to do it again: that is a warning.
func goesOn(p job.Place, s *keepwardv1.Script, end *keepwardv1.ScriptEnd) bool {
	return !p.Row().Gates || s.GetGoOn() || end.GetLost()
}

// preparedOn goes on with the phase prepare after a script has ended.
func (t *task) preparedOn(x *turn) {
	place, why := t.nextBefore()
	switch {
	case why != nil:
		t.row.Failure = why
		t.move(x, job.Failed, job.Reason{}, why.GetMessage(), bySelf)
	case place != "":
		t.runScript(x, place)
	default:
		t.row.Phase = ""
		t.move(x, job.Waiting, job.Reason{}, "the scripts before it are done", bySelf)
		t.want(x)
	}
}

// runScript starts a script, or asks for the end of one that was started.
func (t *task) runScript(x *turn, p job.Place) {
	s := t.scripts
	row := s.row(p)
	onServer := p.Row().OnServer
	switch {
	case row == nil:
		row = &catalog.Script{Session: t.row.Session, Place: p, Ordered: x.now}
		if onServer {
			s.shared.begun[p], s.shared.here[p] = row, true
		} else {
			row.Task = t.row.ID
			s.begun[p] = row
		}
		x.line(t, levelInfo, partServer, "script.started", string(p)+": "+scriptOf(s.scripts, p).GetPath())
	case onServer && !s.shared.here[p]:
		t.scriptEnded(x, p, script.Lost(scriptOf(s.scripts, p).GetPath(), string(partServer), "the server was started anew while it ran"))
		t.scriptsOn(x)
		return
	case onServer, s.calling:
		return // its end will be told
	}
	x.dirty, s.askAt = true, time.Time{}
	s.calling = s.calling || !onServer
	x.order(order{do: doScript, task: t, place: p})
}

// scriptEnded notes how a script ended, and writes what it did into the log.
func (t *task) scriptEnded(x *turn, p job.Place, end *keepwardv1.ScriptEnd) {
	row := t.scripts.row(p)
	if row == nil || row.End != nil {
		return
	}
	row.End, row.Ended, x.dirty = end, x.now, true
	at := partAgent
	if p.Row().OnServer {
		at = partServer
	}
	s := scriptOf(t.scripts.scripts, p)
	for _, l := range script.Lines(p, s, end, goesOn(p, s, end)) {
		x.line(t, l.Level, at, l.Code, l.Text)
	}
}

// scriptsOn goes on with whatever the task does about scripts.
func (t *task) scriptsOn(x *turn) {
	switch {
	case t.concluding():
		t.conclude(x)
	case t.preparing():
		t.preparedOn(x)
	case t.row.Status == job.Waiting && !t.lacking: // its agent is not there; it need not wait for that
		if _, why := t.nextBefore(); why != nil {
			t.failWaiting(x, why)
		}
	}
}

func (t *task) onScript(x *turn, e evScript) {
	if t.scripts == nil {
		return
	}
	if !e.place.Row().OnServer {
		t.scripts.calling = false
	}
	if e.end != nil {
		t.scripts.stopped = false
		if !e.place.Row().OnServer {
			t.scripts.askAt, t.scripts.giveUp = time.Time{}, time.Time{}
		}
		t.scriptEnded(x, e.place, e.end)
		t.scriptsOn(x)
		return
	}
	switch {
	case t.preparing():
		// The script goes on without us: its agent tells how it ended when it is back.
		t.row.Phase = ""
		t.move(x, job.Waiting, job.Because(job.AgentOffline, t.row.Computer), e.away, bySelf)
		t.retryAt = x.now.Add(x.set.Silence)
	case t.concluding():
		t.scripts.askAt = x.now.Add(x.set.Silence)
		if t.scripts.giveUp.IsZero() {
			t.scripts.giveUp = x.now.Add(x.set.Lost)
		}
	}
}

// scriptTurn takes the events of a task of which only scripts run; false: it is not such a one.
func (t *task) scriptTurn(x *turn, ev any) bool {
	if e, ok := ev.(evScript); ok {
		t.onScript(x, e)
		return true
	}
	switch {
	case t.concluding():
		t.concludingTurn(x, ev)
		return true
	case t.preparing():
		return t.preparingTurn(x, ev)
	case t.scripts != nil && t.row.Status == job.Waiting && t.att == nil:
		return t.parkedTurn(x, ev)
	}
	return false
}

// preparingTurn leaves to the others what they can do for a task without an attempt.
func (t *task) preparingTurn(x *turn, ev any) bool {
	switch ev.(type) {
	case evKill, evCommit, evOverdue, evSuspend, evPriority:
		return false
	case evWake:
		t.preparedOn(x)
	}
	return true
}

// parkedTurn has a task try again whose agent could not be reached.
func (t *task) parkedTurn(x *turn, ev any) bool {
	if _, ok := ev.(evTick); !ok {
		return false
	}
	if !t.retryAt.IsZero() && !x.now.Before(t.retryAt) {
		t.retryAt = time.Time{}
		t.want(x)
	}
	return true
}

// scriptDeadline is the next moment at which the task wants a tick for the sake of its scripts;
// false: others decide.
func (t *task) scriptDeadline() (time.Time, bool) {
	switch {
	case t.concluding():
		return earliest(t.scripts.askAt, t.scripts.giveUp), true
	case t.preparing():
		return time.Time{}, true
	}
	return time.Time{}, false
}
