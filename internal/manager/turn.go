package manager

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/broker"
	"keepward/internal/gate"
	"keepward/internal/job"
)

// turn collects what one event brings about in one task: lines for the log, a point for the
// catalog, and orders that are given when all of it is written.
type turn struct {
	now    time.Time
	set    *Settings
	dirty  bool // the task's rows differ from the catalog's
	heard  bool // the task has a reason that is not worth being written
	events []*keepwardv1.Event
	point  *keepwardv1.Point
	purged []string // points that are gone from the repository
	chosen bool     // what the task has chosen to hold differs from the catalog's
	// retryAt is when the session's failed tasks are tried again; zero: they are not.
	retryAt time.Time
	orders  []order
	// refused is why what a user asked for is not done, if the task has come to where it cannot be
	// since the user's call was looked at.
	refused error
}

// The levels of events.
const (
	levelInfo    = "info"
	levelWarning = "warning"
	levelError   = "error"
)

// bySelf is the actor where no user is.
const bySelf = "server"

// deed is a kind of order.
type deed int

const (
	doRequest      deed = iota // ask the broker for the set
	doRequestMore              // for the second, beside the first
	doRelease                  // give it back, and the place in the queue
	doReprioritise             // tell the broker another priority
	doStartMover               // tell the transport to start a mover
	doStartAgent               // tell the agent to run
	doStop                     // tell a side to stop
	doSettle                   // find out, or decide, what became of the attempt
	doAge                      // what the server does itself: mark the points whose time is over, read groups again, or update an agent
	doStopAge                  // no more of them
	doClear                    // settle the attempts that a sweep waits for and that nobody works on
	doScript                   // run a script, or ask what became of it
	doStopScript               // have a script ended
)

// order is something to do once the state that demands it is written.
type order struct {
	do       deed
	task     *task
	attempt  *attempt
	part     part                      // doStop
	endpoint *keepwardv1.MoverEndpoint // doStartAgent
	keys     *repositoryKeys           // likewise: those that its mover was given
	reason   string                    // doStop, doSettle
	commit   bool                      // doStop, doSettle: what is written is kept
	// doClear: the attempts that are unsettled.
	unsettled []string
	place     job.Place // doScript, doStopScript
}

func (x *turn) order(o order) { x.orders = append(x.orders, o) }

func (x *turn) add(t *task, e *keepwardv1.Event) {
	e.Time, e.Session, e.Task = timestamppb.New(x.now), t.row.Session, t.row.ID
	x.events = append(x.events, e)
	x.dirty = true
}

// line adds a line to the session's log.
func (x *turn) line(t *task, level string, p part, code, text string) {
	x.add(t, &keepwardv1.Event{Level: level, Part: string(p), Code: code, Text: text})
}

// status adds the line about a change of status.
func (x *turn) status(t *task, from, to job.Status, text, actor string) {
	x.add(t, &keepwardv1.Event{
		Level: levelInfo, Part: string(partServer), Code: "status", Text: text,
		From: string(from), To: string(to), Actor: actor,
	})
}

// The events that a task answers to. Each is about the attempt it names, where it names one:
// what comes late, about an older attempt, changes nothing.
type (
	// evQueue: what keeps a task in the queue is looked at again, and what takes one back that has
	// left it. conflict is the session that must end first, open the session of the first attempt
	// that a sweep waits for.
	evQueue struct {
		held           gate.Verdict
		conflict, open int64
	}
	// evAged: the points of a retention are marked, or some of them; the groups of a rescan are read.
	evAged struct {
		attempt string
		report  *keepwardv1.RetentionReport
		lines   []*keepwardv1.Event
		failure *keepwardv1.Failure
	}
	// evCleared: what of a sweep's unsettled attempts nobody works on is settled.
	evCleared struct {
		attempt string
		open    int64
		lines   []*keepwardv1.Event
		failure *keepwardv1.Failure
	}
	// evDelayed: the broker does not give the set, for this reason.
	evDelayed struct{ reason job.Reason }
	// evGranted: the broker gave the set; with it come the values of the attempt to open.
	evGranted struct {
		attempt, parent, checkpoint string
		agent                       string // empty: none takes part
		moverBoot, agentBoot        string
		moverAway, agentAway        bool          // offline since the set was given
		holds                       []broker.Hold // where there was a choice
	}
	// evOrdered: a node has answered the order to start.
	evOrdered struct {
		attempt  string
		part     part
		endpoint *keepwardv1.MoverEndpoint
		keys     *repositoryKeys
		failure  *keepwardv1.Failure
	}
	// evStopped: a node has answered the order to stop; gone: it does not know the attempt.
	evStopped struct {
		attempt string
		part    part
		gone    bool
	}
	// evSettled: the call that settles has been answered.
	evSettled struct {
		attempt    string
		committed  bool
		partial    bool // the point that was committed
		checkpoint bool
		failure    *keepwardv1.Failure
	}
	// evEnd: a node reports its end of an attempt.
	evEnd struct {
		attempt string
		part    part
		end     *keepwardv1.AttemptEnd
	}
	// evOnline, evOffline: a node's link.
	evOnline  struct{ node Node }
	evOffline struct{ node Node }
	// evHeartbeat: a node has named all its attempts; this one among them, or not.
	evHeartbeat struct {
		attempt, boot string
		node          Node
		named         bool
	}
	// evYield: another session of its repository is there; one of idle time makes room for it.
	evYield struct{ session int64 }
	// evKill: a user wants an end.
	evKill struct{ actor string }
	// evCommit: a user wants an end that keeps what is written.
	evCommit struct{ actor string }
	// evOverdue: the session has run for too long; commit: what is written is kept.
	evOverdue struct {
		limit  time.Duration
		commit bool
	}
	// evSuspend, evResume: a user wants a pause, or the end of one.
	evSuspend struct{ actor string }
	evResume  struct{ actor string }
	// evPriority: a user changes the priority.
	evPriority struct {
		actor    string
		priority int
	}
	// evInterrupt: a session needs what the task holds; 0: the wait of this one had closed a circle.
	evInterrupt struct{ session int64 }
	// evLease: the task's reservation is looked at: is there somebody behind it?
	evLease struct{}
	// evTick: a deadline may be over.
	evTick struct{}
	// evWake: the server has started; the task is taken up where it stands.
	evWake struct{}
)

// handle is the whole of a task's behaviour: one event, one turn.
func (t *task) handle(x *turn, ev any) {
	if t.row.Status.Final() {
		switch ev.(type) {
		case evSuspend:
			x.refused = notSuspended(t.row.Session, t.whyNotSuspended())
		case evResume:
			x.refused = notResumed(t.row.Session)
		default:
			t.afterlife(x, ev)
		}
		return
	}
	if t.scriptTurn(x, ev) {
		return
	}
	switch e := ev.(type) {
	case evQueue:
		t.onQueue(x, e)
	case evDelayed:
		t.onDelayed(x, e)
	case evAged:
		t.onAged(x, e)
	case evCleared:
		t.onCleared(x, e)
	case evGranted:
		t.onGranted(x, e)
	case evOrdered:
		t.onOrdered(x, e)
	case evStopped:
		t.onStopped(x, e)
	case evSettled:
		t.onSettled(x, e)
	case evEnd:
		t.onEnd(x, e)
	case evOnline:
		t.onOnline(x, e.node)
	case evOffline:
		t.onOffline(x, e.node)
	case evHeartbeat:
		t.onHeartbeat(x, e)
	case evYield:
		t.onYield(x, e.session)
	case evEnough:
		t.onEnough(x)
	case evKill:
		t.onKill(x, e.actor)
	case evCommit:
		t.onCommit(x, e.actor)
	case evOverdue:
		t.onOverdue(x, e)
	case evSuspend:
		t.onSuspend(x, e.actor)
	case evResume:
		t.onResume(x, e.actor)
	case evPriority:
		t.onPriority(x, e)
	case evInterrupt:
		t.onInterrupt(x, e.session)
	case evTick:
		t.onTick(x)
	case evWake:
		t.onWake(x)
	}
}

// current tells whether an event about an attempt is about the newest, unsettled one.
func (t *task) current(attempt string) bool {
	return t.att != nil && t.att.row.ID == attempt && !t.att.settled()
}
