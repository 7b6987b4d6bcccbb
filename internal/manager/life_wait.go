package manager

import (
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// This file is a task that waits: in the queue, for its set, for the next attempt.

// want is the next step of a Waiting task: first its former attempt is settled, then it
// asks for its set. Two attempts of a task never live side by side.
func (t *task) want(x *turn) {
	if !t.att.settled() {
		t.settle(x)
		return
	}
	if t.prepare(x) {
		return
	}
	t.lacking = true
	x.order(order{do: doRequest, task: t})
}

// settle finds out what became of the attempt, as soon as the node that knows is there.
func (t *task) settle(x *turn) {
	arbiter := t.arbiter()
	if !arbiter.offline.IsZero() {
		if t.row.Status == job.Waiting {
			t.delay(x, offlineReason(arbiter.node))
		}
		return
	}
	if t.row.Status == job.Waiting && t.row.Reason.GetText() == offlineReason(arbiter.node).Text() { // it is there again
		t.delay(x, job.Because(job.RepositoryOffline, t.row.Repository))
	}
	if t.settling {
		return
	}
	t.settling, t.retryAt = true, time.Time{}
	// A side whose order was not answered may have taken it: it is told to stop too. That is
	// an order of its own, since a node that hangs must not hold up the tombstone.
	for _, p := range []part{partAgent, partMover} {
		if s := t.att.side(p); s != arbiter && s.takesPart() && s.end == nil && !s.gone && s.offline.IsZero() {
			x.order(order{do: doStop, task: t, attempt: t.att, part: p, reason: t.stopReason()})
		}
	}
	x.order(order{do: doSettle, task: t, attempt: t.att, reason: t.stopReason(), commit: t.keeps()})
}

func offlineReason(n Node) job.Reason {
	if n.Role == agentOf("").Role {
		return job.Because(job.AgentOffline, n.Name)
	}
	return job.Because(job.TransportOffline, n.Name)
}

// onDelayed shows why the broker does not give the set, in the status that the job type has
// for such a reason.
func (t *task) onDelayed(x *turn, e evDelayed) {
	if !t.lacking {
		return
	}
	if t.steps.first {
		t.secondDelayed(x, e.reason)
		return
	}
	step := t.typ.Reservation().A
	if step.Every > 0 && e.reason.Code != job.WaitingForSessions { // others let go for it just now
		t.askLater(x, step, e.reason)
		return
	}
	to := step.StatusFor(e.reason)
	if to == t.row.Status || to != job.Waiting && to != job.Pending {
		if t.quiet {
			t.setReason(e.reason)
			x.heard = true
			return
		}
		t.delay(x, e.reason)
		return
	}
	t.move(x, to, e.reason, e.reason.Text(), bySelf)
}

func (t *task) onGranted(x *turn, e evGranted) {
	if !t.lacking {
		return // the manager has given it back already
	}
	if t.row.Status == job.Pending {
		t.move(x, job.Waiting, job.Reason{}, "what it lacked was released", bySelf)
	}
	if t.keepsFirst(x, e) {
		return
	}
	t.steps, t.retryAt = steps{}, time.Time{}
	t.lacking, t.holds = false, true
	t.row.Attempts++
	t.row.RestartAt, t.row.RestartOn = time.Time{}, ""
	t.row.Phase = t.mainPhase()
	t.row.Errors, t.row.Warnings, t.row.Progress = 0, 0, nil
	t.progress, t.newest, t.loaded = nil, nil, false
	t.att = &attempt{row: catalog.Attempt{
		ID: e.attempt, Task: t.row.ID, Number: t.row.Attempts, Transport: t.transport, Agent: e.agent,
		Time: x.now, Parent: e.parent, Checkpoint: e.checkpoint, MoverBoot: e.moverBoot, AgentBoot: e.agentBoot,
	}}
	t.att.mover = side{node: transportOf(t.transport), boot: e.moverBoot, asked: true, heard: true}
	t.att.agent = side{node: agentOf(e.agent), boot: e.agentBoot, heard: true}
	if t.byServer() {
		t.att.row.Transport, t.att.mover = "", side{asked: true} // until it says what it has done
		t.att.row.Agent, t.att.agent = "", side{}                // an agent that is updated goes and comes back
		t.enter(x)
		x.order(order{do: doAge, task: t, attempt: t.att})
		return
	}
	if e.moverAway {
		t.att.mover.offline, t.att.mover.away = x.now, true
	}
	if e.agentAway && t.att.agent.takesPart() {
		t.att.agent.offline, t.att.agent.away = x.now, true
	}
	t.enter(x)
	x.order(order{do: doStartMover, task: t, attempt: t.att})
}

// pend parks the task until its next attempt. Where a node was away that the attempt
// needed, its return ends the wait early.
func (t *task) pend(x *turn, cause *keepwardv1.Failure) {
	t.row.RestartAt = x.now.Add(t.untilNext(cause))
	t.row.RestartOn = t.awaySides()
	if t.row.RestartOn != "" && t.nobodyAway() || cause.GetCode() == codeServerRestarted {
		t.row.RestartAt = x.now.Add(x.set.Again)
	}
	why := t.restartReason()
	if cause.GetCode() == codeHeartbeatLost {
		why = job.Because(job.HeartbeatLost, t.lostHost())
	}
	t.move(x, job.Pending, why, cause.GetMessage()+"; "+t.restartReason().Text(), bySelf)
}

// awaySides are the roles of the nodes that were away during the attempt, or are.
func (t *task) awaySides() string {
	var away []string
	for _, s := range t.att.sides() {
		if s.takesPart() && (s.away || !s.offline.IsZero()) {
			away = append(away, string(s.node.Role))
		}
	}
	return strings.Join(away, " ")
}

// noteAway has a task that waits for its next attempt wait for a node that went meanwhile.
func (t *task) noteAway(x *turn) {
	if !t.row.RestartAt.IsZero() {
		t.row.RestartOn, x.dirty = t.awaySides(), true
	}
}

// untilNext is how long a task waits for its next attempt. Two sides that lost each other try it
// sooner, since no sign comes when the network between them is whole again, or a mover that was
// killed would run: after a minute, then four, sixteen, and so on up to the interval.
func (t *task) untilNext(cause *keepwardv1.Failure) time.Duration {
	wait := t.interval
	if !lostTouch(cause) {
		return wait
	}
	for next, n := time.Minute, 1; next < wait; next, n = 4*next, n+1 {
		if n >= t.row.Attempts {
			return next
		}
	}
	return wait
}

// lostTouch tells whether an attempt ended since its two sides could not reach each other. What
// was between them may be whole again as soon as one of them is heard of anew.
func lostTouch(f *keepwardv1.Failure) bool {
	switch f.GetCode() {
	case "agent.lost", "connection.lost", "mover.lost", "link.lost":
		return true
	}
	return false
}

func (t *task) restartReason() job.Reason {
	return job.Because(job.RestartAt, t.row.RestartAt.UTC().Format(time.RFC3339),
		strconv.Itoa(t.row.Attempts-t.row.Interruptions+1), strconv.Itoa(t.limit))
}

// again ends the wait for the next attempt, or shortens it.
func (t *task) again(x *turn) {
	if early := x.now.Add(x.set.Again); early.Before(t.row.RestartAt) {
		t.row.RestartAt = early
		t.delay(x, t.restartReason())
	}
}

// failWaiting ends a task that waits for something that will not come.
func (t *task) failWaiting(x *turn, f *keepwardv1.Failure) {
	t.row.Failure = f
	t.move(x, job.Failed, job.Reason{}, f.GetMessage(), bySelf)
}

func failure(kind errs.Kind, code string, p part, text string) *keepwardv1.Failure {
	return &keepwardv1.Failure{Kind: string(kind), Code: code, Part: string(p), Message: text}
}

// withPart says who failed, where the failure does not say it itself.
func withPart(f *keepwardv1.Failure, p part) *keepwardv1.Failure {
	if f.GetPart() != "" {
		return f
	}
	c := proto.CloneOf(f)
	c.Part = string(p)
	return c
}
