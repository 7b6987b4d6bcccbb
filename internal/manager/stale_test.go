package manager

import (
	"testing"
	"time"

	"keepward/internal/catalog"
	"keepward/internal/job"
)

// lone is a task without a manager, at a moment.
type lone struct {
	*task
	now time.Time
	set Settings
}

// loneVerify is a verify that runs.
func loneVerify() *lone {
	l := &lone{now: time.Unix(1_000_000, 0), set: Settings{}.withDefaults()}
	l.task = &task{
		typ: job.Verify, limit: 10, interval: 20 * time.Minute, transport: theNode,
		row: catalog.Task{ID: "t", Session: 1, Repository: theRepo, Status: job.Waiting}, lacking: true,
	}
	l.tell(evGranted{attempt: "a1", moverBoot: "b"})
	l.tell(evOrdered{attempt: "a1", part: partMover})
	return l
}

func (l *lone) tell(ev any) *turn {
	x := &turn{now: l.now, set: &l.set}
	l.handle(x, ev)
	return x
}

// tick moves the clock to when the task wants a tick, and ticks.
func (l *lone) tick(t *testing.T) {
	t.Helper()
	at := l.deadline(&l.set)
	if at.IsZero() {
		t.Fatalf("a task that is %s wants no tick", l.row.Status)
	}
	l.now = at
	l.tell(evTick{})
}

func (l *lone) want(t *testing.T, s job.Status) {
	t.Helper()
	if l.row.Status != s {
		t.Fatalf("it is %s, want %s", l.row.Status, s)
	}
}

func TestAnInterruptionEndsWithTheAttemptItWasMeantFor(t *testing.T) {
	l := loneVerify()
	node := transportOf(theNode)
	l.tell(evOffline{node})
	l.tick(t)
	l.want(t, job.RunningUnverified)
	l.tell(evInterrupt{7}) // it lets go when its node answers, which it does not
	l.tick(t)
	l.want(t, job.Pending)
	l.tell(evOnline{node})
	l.tell(evSettled{attempt: "a1"})
	l.tick(t)
	l.want(t, job.Waiting)
	l.tell(evGranted{attempt: "a2", moverBoot: "b"})
	l.tell(evOrdered{attempt: "a2", part: partMover})
	l.want(t, job.Running)
	l.tell(evOffline{node})
	l.tick(t)
	l.want(t, job.RunningUnverified)
	l.tell(evOnline{node})
	l.tell(evHeartbeat{attempt: "a2", boot: "b", node: node, named: true})
	l.want(t, job.Running) // session 7 is long over
}
