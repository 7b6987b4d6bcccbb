package manager

import (
	"testing"

	"keepward/internal/errs"
	"keepward/internal/job"
)

// A task that was cut off before its attempt could be settled keeps others waiting, such as a sweep.
func TestAnAttemptIsSettledAlsoWhileItsTaskIsPausedOrInTheQueue(t *testing.T) {
	for _, queued := range []bool{false, true} {
		l := loneVerify()
		l.typ = job.Backup
		node := transportOf(theNode)
		l.tell(evSuspend{"ann"})
		l.want(t, job.SuspendPending)
		l.tick(t) // it does not let go
		l.tell(evSettled{attempt: "a1", failure: failure(errs.Unavailable, "storage.slow", partServer, "the disk does not answer")})
		l.want(t, job.Suspended)
		if l.att.settled() {
			t.Fatal("it is settled, and nobody knows")
		}
		if queued {
			l.tell(evResume{"ann"})
			l.want(t, job.Queued)
			l.tell(evOffline{node})
			x := l.tell(evOnline{node})
			if !settles(x) {
				t.Error("in the queue, its node is back, and nobody asks it")
			}
			continue
		}
		if l.deadline(&l.set).IsZero() {
			t.Fatal("paused, it is never asked again while its node stays connected")
		}
		l.now = l.deadline(&l.set)
		if x := l.tell(evTick{}); !settles(x) {
			t.Error("paused, it is not asked again")
		}
		l.tell(evSettled{attempt: "a1"})
		if !l.att.settled() || !l.deadline(&l.set).IsZero() {
			t.Error("it is not settled")
		}
	}
}

func settles(x *turn) bool {
	for _, o := range x.orders {
		if o.do == doSettle {
			return true
		}
	}
	return false
}
