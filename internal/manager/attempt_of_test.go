package manager

import (
	"strings"
	"testing"
	"time"

	"keepward/internal/job"
)

func TestInterruptionsAreNoAttemptsOfAll(t *testing.T) {
	l := loneVerify()
	for n := range l.limit {
		name := l.att.row.ID
		l.tell(evInterrupt{7})
		l.want(t, job.InterruptPending)
		l.tell(evEnd{attempt: name, part: partMover, end: failed("cancelled", "stopped")})
		l.tell(evSettled{attempt: name})
		l.want(t, job.Waiting)
		l.now = l.now.Add(time.Hour)
		l.tell(evGranted{attempt: "n" + string(rune('a'+n)), moverBoot: "b"})
		l.tell(evOrdered{attempt: l.att.row.ID, part: partMover})
	}
	l.tell(evEnd{attempt: l.att.row.ID, part: partMover, end: failed("unavailable", "the network is gone")})
	l.tell(evSettled{attempt: l.att.row.ID})
	l.want(t, job.Pending)
	if text := l.row.Reason.GetText(); !strings.Contains(text, " 2 of 10") {
		t.Errorf("after one failure it says: %s", text)
	}
}
