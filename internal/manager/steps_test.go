package manager

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/broker"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

func TestTheSetsOfWhatIsBuilt(t *testing.T) {
	stream, client := broker.One(broker.Stream, theRepo), broker.One(broker.Client, "web1")
	writer := broker.One(broker.Writer, theRepo)
	alone := writer
	alone.Alone = true
	for typ, want := range map[job.Type][]broker.Need{
		job.Backup:         {stream, writer, client},
		job.Restore:        {stream, client},
		job.Verify:         {stream},
		job.Retention:      {stream},
		job.Sweep:          {stream, writer},
		job.RebuildIndex:   {stream, alone},
		job.UpdateDownload: nil,
		job.UpdateInstall:  {broker.Need{Kind: broker.Client, AnyOf: []string{"web1"}, Count: 1, Alone: true}},
	} {
		task := &task{typ: typ, row: catalog.Task{Repository: theRepo, Computer: "web1"}}
		if d := cmp.Diff(want, task.needs()); d != "" || task.secondSet() != nil || task.choice() {
			t.Errorf("%s (-want +got):\n%s", typ, d)
		}
	}
}

// twoSteps is a task with a second step, apart from any broker.
type twoSteps struct {
	t      *testing.T
	task   *task
	now    time.Time
	orders []deed
}

func newTwoSteps(t *testing.T, typ job.Type) *twoSteps {
	t.Helper()
	s := &twoSteps{t: t, now: time.Unix(1_000_000, 0), task: &task{
		typ: typ, limit: 3, interval: time.Minute, transport: theNode, row: catalog.Task{ID: "t", Session: 1, Repository: theRepo, Status: job.Queued},
		places: &Places{
			Target: Place{Repository: theRepo, Library: "lib", Pool: "pool", Drives: []string{"d1", "d2", "d3"}, Media: []string{"m1"}},
			Source: Place{Library: "lib", Media: []string{"m2"}},
		},
	}}
	s.tell(evQueue{})
	s.tell(evGranted{attempt: "a1", holds: []broker.Hold{{ID: broker.ID{Kind: broker.Drive, Name: "d2"}, Count: 1}}})
	s.is(job.Waiting, true)
	s.ordered(doRequest, doRequestMore)
	return s
}

func (s *twoSteps) tell(ev any) *turn {
	set := Settings{}.withDefaults()
	x := &turn{now: s.now, set: &set}
	s.task.handle(x, ev)
	for _, o := range x.orders {
		s.orders = append(s.orders, o.do)
	}
	return x
}

func (s *twoSteps) is(status job.Status, holds bool) {
	s.t.Helper()
	if s.task.row.Status != status || s.task.holds != holds {
		s.t.Fatalf("it is %s and holds: %v; want %s, %v", s.task.row.Status, s.task.holds, status, holds)
	}
}

// ordered checks what was ordered since it was asked last.
func (s *twoSteps) ordered(want ...deed) {
	s.t.Helper()
	if !slices.Equal(s.orders, want) {
		s.t.Fatalf("ordered %v, want %v", s.orders, want)
	}
	s.orders = nil
}

var busy = evDelayed{job.Because(job.MediaReserved, "7")}

func (s *twoSteps) pass(d time.Duration) {
	s.now = s.now.Add(d)
	s.tell(evTick{})
}

func TestBetweenTriesForASecondSetTheFirstIsKept(t *testing.T) {
	s := newTwoSteps(t, job.IndexRestore)
	s.tell(busy)
	s.is(job.Pending, true)
	for range 3 {
		s.pass(20*time.Minute - time.Second)
		s.is(job.Pending, true)
		s.ordered()
		s.pass(time.Second)
		s.is(job.Running, true)
		s.ordered(doRequestMore)
		s.tell(busy)
		s.is(job.Pending, true)
	}
	x := s.tell(evGranted{attempt: "a2", holds: []broker.Hold{{ID: broker.ID{Kind: broker.Medium, Name: "m2"}, Count: 1}}})
	s.is(job.Running, true)
	s.ordered(doStartMover)
	if s.task.steps != (steps{}) || !x.chosen || len(s.task.keptHolds()) != 1 || s.task.keptHolds()[0].Name != "m2" {
		t.Errorf("after the grant: %+v, to be kept: %v", s.task.steps, s.task.keptHolds())
	}
}

func TestAGrantDuringATryNeedsNoFurtherMove(t *testing.T) {
	s := newTwoSteps(t, job.SyntheticFull)
	s.tell(busy)
	s.pass(20 * time.Minute)
	x := s.tell(evGranted{attempt: "a2"})
	s.is(job.Running, true)
	if len(x.events) != 0 || s.task.row.Reason != nil {
		t.Errorf("lines %v, reason %v", x.events, s.task.row.Reason)
	}
}

func TestTriesForASecondSetEnd(t *testing.T) {
	for _, tt := range []struct {
		typ  job.Type
		want job.Status
	}{{job.IndexRestore, job.Failed}, {job.SyntheticFull, job.Pending}} {
		s := newTwoSteps(t, tt.typ)
		s.tell(busy)
		for range job.IndexRestore.Reservation().B.Tries {
			s.is(job.Pending, true)
			s.pass(20 * time.Minute)
			s.tell(busy)
		}
		s.is(tt.want, false)
		if tt.want == job.Pending && (s.task.row.Attempts != 1 || s.task.row.RestartAt != s.now.Add(time.Minute)) {
			t.Errorf("%s: attempt %d, again at %s", tt.typ, s.task.row.Attempts, s.task.row.RestartAt)
		}
	}
}

func TestWhoWaitsForASecondSetLetsGo(t *testing.T) {
	gone := evDelayed{job.Because(job.MediaExported, "m2")}
	for _, tt := range []struct {
		name string
		ev   any
		want job.Status
	}{
		{"interrupted", evInterrupt{9}, job.Waiting},
		{"in a circle", evInterrupt{0}, job.Waiting},
		{"suspended", evSuspend{"ann"}, job.Suspended},
		{"killed", evKill{actor: "ann"}, job.Killed},
		{"its medium is gone", gone, job.Pending},
	} {
		for _, asked := range []bool{false, true} {
			s := newTwoSteps(t, job.IndexRestore)
			if asked {
				s.tell(busy)
			}
			s.orders = nil
			s.tell(tt.ev)
			s.is(tt.want, false)
			if len(s.orders) == 0 || s.orders[0] != doRelease {
				t.Errorf("%s: ordered %v", tt.name, s.orders)
			}
		}
	}
	s := newTwoSteps(t, job.SyntheticFull)
	s.tell(gone)
	s.is(job.Pending, true) // it keeps its drives until it is interrupted
}

func TestASecondSetAfterAStartOfTheServer(t *testing.T) {
	for _, during := range []bool{false, true} {
		s := newTwoSteps(t, job.IndexRestore)
		s.tell(busy)
		if during {
			s.pass(20 * time.Minute)
		}
		old := s.task
		s.task = &task{typ: old.typ, limit: 3, interval: time.Minute, transport: theNode, row: old.row, places: old.places}
		s.orders = nil
		s.tell(evWake{})
		s.ordered(doRequest)
		if s.task.holds || s.task.row.Status.Class() != job.Parked {
			t.Errorf("during a try %v: it is %s, holds %v", during, s.task.row.Status, s.task.holds)
		}
	}
}
