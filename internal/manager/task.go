package manager

import (
	"sync/atomic"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/broker"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// task is one task as its backup manager sees it: what the catalog keeps (row, att), and
// what holds only while this server lives. Its methods decide and do nothing: they change
// the task and put on the turn what is to be written and ordered.
type task struct {
	row       catalog.Task
	typ       job.Type
	job       string
	priority  int
	full      bool
	files     *keepwardv1.FileSelection // backup: what the point holds
	transport string
	limit     int // attempts
	interval  time.Duration
	after     string // a job of which no older session may be open; empty: it waits for none, or none is

	att *attempt // the newest; nil before the first

	lacking  bool            // it stands in the broker's queue
	holds    bool            // it has its set
	settling bool            // a call that settles att is under way
	cutting  bool            // its time to let go is over
	parting  bool            // it was asked to let go of an attempt that runs
	stood    broker.Standing // what the broker was told last
	retryAt  time.Time
	leaveBy  time.Time // end of a leaving status
	progress map[part]*keepwardv1.Progress
	newest   map[part]time.Time   // of the lines of the attempt
	pace     atomic.Pointer[pace] // how fast it was; nil before its first report to this server
	once     string               // why it is neither interrupted nor tried again; empty: it may be
	byAgent  bool                 // likewise: its agent has begun it by itself, and tries again itself
	loaded   bool                 // it was taken up from the catalog: lines may be there already
	quiet    bool                 // it waits since before the server's start: why it does now is shown, not written

	idle   bool          // it works while nothing else works on its repository
	yields bool          // it was told to stop, since something does
	queues bool          // it waits for the sessions of its job before this one
	places *Places       // what stands where; nil: in the repository and on the computer of row
	chosen []broker.Hold // what it holds, where there was a choice
	steps  steps

	unsettled []string // sweep: the attempts that must be settled before it goes on
	clearing  bool     // a call that settles them is under way

	scripts *taskScripts // nil: its job has none
	agents  []string     // of job.Agents, those of the applications that it protects
}

// attempt is one try, with both nodes that take part.
type attempt struct {
	row    catalog.Attempt
	mover  side
	agent  side
	gather time.Time // until when the ends of a failed attempt are waited for
	other  time.Time // until when the second end of a good attempt is waited for
	verify time.Time // after a start of the server: until when its nodes are waited for
	// partial: its point was found to be one, which its mover's end does not tell.
	partial bool
}

// side is one node's part in an attempt.
type side struct {
	node    Node // no name: takes no part
	asked   bool // an order is on its way
	ordered bool // the order was taken
	boot    string
	misses  int  // heartbeats in a row that did not name the attempt
	heard   bool // named by a heartbeat since this server started
	gone    bool // the node no longer has the attempt
	away    bool // the node was offline or started anew during the attempt
	offline time.Time
	end     *keepwardv1.AttemptEnd
}

// part is who says something: the word is stored with events and failures.
type part string

const (
	partServer part = "server"
	partAgent  part = "agent"
	partMover  part = "mover"
)

// takesPart tells whether the attempt has such a side.
func (s *side) takesPart() bool { return s.node.Name != "" }

// expected tells whether an end can still be hoped for soon.
func (s *side) expected() bool {
	return s.takesPart() && s.ordered && s.end == nil && !s.gone && s.offline.IsZero()
}

// sound tells whether nothing is doubtful about the side now.
func (s *side) sound() bool {
	return !s.takesPart() || s.end != nil || s.heard && s.offline.IsZero()
}

func (a *attempt) sides() []*side {
	if a == nil {
		return nil
	}
	return []*side{&a.mover, &a.agent}
}

func (a *attempt) side(p part) *side {
	if p == partAgent {
		return &a.agent
	}
	return &a.mover
}

func (a *attempt) sideOf(n Node) *side {
	for _, s := range a.sides() {
		if s.takesPart() && s.node == n {
			return s
		}
	}
	return nil
}

func (a *attempt) settled() bool { return a == nil || a.row.Settled != catalog.Unsettled }

// makesPoint tells whether the task's attempts commit something, so that they must be fenced.
func (t *task) makesPoint() bool { return t.typ.MakesPoint() }

// away tells whether a task only waits for something that is switched off or out of reach, or for a
// rule of the queue: it holds nothing, and no attempt of it can still write.
func (t *task) away() bool {
	row, _ := job.Code(t.row.Reason.GetCode()).Row()
	return t.row.Status.Class() == job.Parked && !t.holds && t.att.settled() && (row.Group == job.Infrastructure || t.held())
}

// byServer tells whether the server does the task's work itself: no node takes part in it.
func (t *task) byServer() bool { return serversOwn(t.typ) }

func serversOwn(t job.Type) bool {
	return t == job.Retention || t == job.Rescan || t == job.UpdateInstall
}

// arbiter is the node without which an attempt cannot be settled: the transport, which
// fences and stops movers; for a restore the agent, which must have stopped writing.
func (t *task) arbiter() *side {
	if t.typ == job.Restore {
		return &t.att.agent
	}
	return &t.att.mover
}

// mainPhase is the phase in which the task's attempts work.
func (t *task) mainPhase() string { return t.typ.MainPhase() }

// move changes the status as the table of transitions allows, writes the line about it, and
// lets go of what a task in the new status must not hold.
func (t *task) move(x *turn, to job.Status, why job.Reason, text, actor string) {
	from := t.row.Status
	if !job.CanMove(from, to) {
		x.line(t, levelError, partServer, "internal.move", "a move from "+string(from)+" to "+string(to)+" was refused")
		return
	}
	if to.Final() {
		var kept bool
		if to, kept = t.holdBack(x, to, text, actor); kept {
			return
		}
	}
	t.row.Status, t.quiet = to, false
	t.setReason(why)
	if text == "" {
		text = job.Cause(from, to)
	}
	x.status(t, from, to, text, actor)
	switch to.Class() {
	case job.Active:
		if t.row.Started.IsZero() {
			t.row.Started = x.now
		}
	case job.Parked:
		t.giveBack(x, to == job.Waiting || to == job.Pending)
	case job.Leaving:
		if t.lacking {
			t.giveBack(x, false)
		}
		t.steps = steps{}
	case job.Final:
		t.row.Ended, t.row.RestartAt, t.row.RestartOn = x.now, time.Time{}, ""
		if !t.makesPoint() && !t.att.settled() {
			t.att.row.Settled = catalog.SettledEnded // nothing of it can matter any more
		}
		t.giveBack(x, false)
	}
}

// giveBack releases what the task holds, and its place in the queue unless that is kept.
func (t *task) giveBack(x *turn, keepPlace bool) {
	if keepPlace && t.steps.first {
		return // it waits for its second set, and keeps the first
	}
	if !keepPlace {
		t.steps = steps{}
	}
	if t.holds || t.lacking && !keepPlace {
		t.holds, t.lacking = false, false
		x.chosen, t.chosen = x.chosen || len(t.chosen) > 0, nil
		x.order(order{do: doRelease, task: t})
	}
}

func (t *task) setReason(r job.Reason) {
	t.row.Reason = nil
	if !r.Zero() {
		t.row.Reason = &keepwardv1.Reason{Code: string(r.Code), Args: r.Args, Text: r.Text()}
	}
}

// delay changes the reason of a task that stays where it is.
func (t *task) delay(x *turn, r job.Reason) {
	old := t.row.Reason
	t.setReason(r)
	if t.row.Reason.GetText() == old.GetText() {
		return // a hundred thousand that wait need not be written for what they waited for before
	}
	if t.row.Reason != nil {
		x.line(t, levelInfo, partServer, "delay", t.row.Reason.GetText())
	}
	x.dirty = true
}
