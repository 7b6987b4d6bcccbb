package manager

import (
	"testing"
	"time"

	"keepward/internal/catalog"
	"keepward/internal/job"
)

// asking is a task that lacks something, apart from any broker.
type asking struct {
	t     *task
	now   time.Time
	asked int // how often it asked for its set
	left  int // how often it left the queue
}

func newAsking(typ job.Type) *asking {
	a := &asking{now: time.Unix(1_000_000, 0), t: &task{
		typ: typ, limit: 3, interval: time.Minute, row: catalog.Task{ID: "t", Session: 1, Computer: "c", Repository: theRepo, Status: job.Queued},
	}}
	a.tell(evQueue{})
	return a
}

func (a *asking) tell(ev any) {
	set := Settings{}.withDefaults()
	x := &turn{now: a.now, set: &set}
	a.t.handle(x, ev)
	for _, o := range x.orders {
		switch o.do {
		case doRequest:
			a.asked++
		case doRelease:
			a.left++
		}
	}
}

// pass lets time go by, with a tick at every deadline.
func (a *asking) pass(d time.Duration) {
	set := Settings{}.withDefaults()
	for end := a.now.Add(d); ; {
		next := a.t.deadline(&set)
		if next.IsZero() || next.After(end) {
			a.now = end
			return
		}
		a.now = next
		a.tell(evTick{})
	}
}

// Where a task stands that lacks something, and when it asks again, is in its job type's row.
func TestATaskThatLacksSomethingStandsAndAsksAsItsRowSays(t *testing.T) {
	e1, e2 := job.Because(job.TransportOffline, "host1"), job.Because(job.StreamsShort, theRepo, "1", "0")
	for _, row := range job.Reservations {
		for _, typ := range row.Types {
			for _, why := range []job.Reason{e1, e2} {
				a := newAsking(typ)
				a.tell(evDelayed{why})
				want := row.A.StatusFor(why)
				if a.t.row.Status != want || want != job.Failed && a.t.row.Reason.GetCode() != string(why.Code) {
					t.Errorf("%s, %s: it is %s because of %v, want %s", typ, why.Code, a.t.row.Status, a.t.row.Reason, want)
				}
				asked := a.asked
				a.pass(time.Hour)
				switch {
				case want == job.Failed:
					if a.asked != asked {
						t.Errorf("%s, %s: it has failed and asks again", typ, why.Code)
					}
				case row.A.Every == 0:
					if a.asked != asked || !a.t.lacking || a.left != 0 {
						t.Errorf("%s, %s: it asked %d times more; a release is to tell it", typ, why.Code, a.asked-asked)
					}
				case a.asked != asked+1 || a.left != 1:
					t.Errorf("%s, %s: it asked %d times more without an answer", typ, why.Code, a.asked-asked)
				}
			}
		}
	}
}

func TestADatabaseRestorePollsEveryTwoMinutes(t *testing.T) {
	a := newAsking(job.RestoreDB)
	for n := 1; n <= 200; n++ {
		if a.asked != n || a.t.row.Status != job.Waiting {
			t.Fatalf("try %d: asked %d times, and is %s", n, a.asked, a.t.row.Status)
		}
		a.tell(evDelayed{job.Because(job.StreamsShort, theRepo, "1", "0")})
		if a.t.row.Status != job.Running || !a.t.polls() || a.t.holds || a.t.lacking {
			t.Fatalf("try %d: it is %s, holds %v, stands in the queue %v", n, a.t.row.Status, a.t.holds, a.t.lacking)
		}
		a.pass(2*time.Minute - time.Second)
		if a.asked != n {
			t.Fatal("it asked too early")
		}
		a.pass(time.Second)
	}
	a.tell(evGranted{attempt: "a1", agent: "c"})
	if a.t.row.Status != job.Running || a.t.polls() {
		t.Errorf("granted, it is %s, polls %v", a.t.row.Status, a.t.polls())
	}
}

func TestAnIndexRestoreGoesBetweenPendingAndWaiting(t *testing.T) {
	a := newAsking(job.IndexRestore)
	for _, c := range []struct {
		why  job.Reason
		want job.Status
	}{
		{job.Because(job.StreamsShort, theRepo, "1", "0"), job.Waiting},
		{job.Because(job.TransportOffline, "host1"), job.Pending},
		{job.Because(job.RepositoryOffline, theRepo), job.Pending},
		{job.Because(job.NoResources), job.Waiting},
	} {
		asked := a.asked
		a.tell(evDelayed{c.why})
		if a.t.row.Status != c.want {
			t.Fatalf("%s: it is %s, want %s", c.why.Code, a.t.row.Status, c.want)
		}
		a.pass(2 * time.Minute)
		if a.asked != asked+1 {
			t.Fatalf("%s: asked %d times more", c.why.Code, a.asked-asked)
		}
	}
	a.tell(evGranted{attempt: "a1"})
	if a.t.row.Status != job.Running {
		t.Errorf("granted, it is %s", a.t.row.Status)
	}
}

func TestATaskThatPollsIsTakenUpAndEnded(t *testing.T) {
	a := newAsking(job.RestoreDB)
	a.tell(evDelayed{job.Because(job.StreamsShort, theRepo, "1", "0")})
	saved := a.t.row
	a.t = &task{typ: job.RestoreDB, row: saved, limit: 3}
	a.tell(evWake{})
	if a.t.row.Status != job.Waiting || a.asked != 2 {
		t.Fatalf("taken up, it is %s and asked %d times", a.t.row.Status, a.asked)
	}
	a.tell(evDelayed{job.Because(job.StreamsShort, theRepo, "1", "0")})
	for _, ev := range []any{evOffline{transportOf(theNode)}, evOnline{transportOf(theNode)}, evHeartbeat{node: transportOf(theNode)}, evSuspend{"ann"}} {
		a.tell(ev)
	}
	if a.t.row.Status != job.Running {
		t.Fatalf("it is %s", a.t.row.Status)
	}
	a.tell(evKill{actor: "ann"})
	if a.t.row.Status != job.Killed {
		t.Errorf("killed, it is %s", a.t.row.Status)
	}
}
