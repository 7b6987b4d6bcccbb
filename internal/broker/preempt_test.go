package broker_test

import (
	"testing"
	"time"

	"keepward/internal/broker"
	"keepward/internal/job"
)

// none is the answer of a call that brought nothing about.
var none []string

func stream(count int) []broker.Need {
	return []broker.Need{{Kind: broker.Stream, AnyOf: []string{"main"}, Count: count}}
}

// runs lets a task run on streams of main, preemptable, with a checkpoint so old.
func runs(t *testing.T, b *broker.Broker, c *clock, typ job.Type, task string, session int64, priority, streams int, checkpoint time.Duration) {
	t.Helper()
	d := b.Request(broker.Request{Task: task, Session: session, Type: typ, Priority: priority, Set: stream(streams)})
	if len(d.Granted) != 1 {
		t.Fatalf("%s does not run: %+v", task, d)
	}
	b.Update(task, broker.Standing{Preemptable: true, Checkpoint: c.now.Add(-checkpoint)})
}

func victims(d broker.Decision) []string {
	var names []string
	for _, i := range d.Interrupt {
		names = append(names, i.Task)
	}
	return names
}

func TestARestoreTakesTheStreamOfAVerifyThatComesBackAfterIt(t *testing.T) {
	b, c := site(t, res(broker.Stream, "main", 1))
	runs(t, b, c, job.Verify, "verify", 7, 566, 1, 0)
	restore := broker.Request{Task: "restore", Session: 8, Type: job.Restore, Priority: 66, Set: stream(1)}
	d := b.Request(restore)
	check(t, "interrupted", d.Interrupt, []broker.Interrupt{{Task: "verify", Session: 7, For: "restore", ForSession: 8}})
	check(t, "reason", d.Delayed, []broker.Delay{{Task: "restore", Reason: job.Because(job.WaitingForSessions, "7")}})
	check(t, "asked once", victims(b.Request(restore)), none)
	check(t, "granted", granted(b.Release("verify")), []string{"restore"})
	d = b.Request(broker.Request{Task: "verify", Session: 7, Type: job.Verify, Priority: 566, Set: stream(1), Preemptions: 1})
	check(t, "the victim's reason", d.Delayed, []broker.Delay{{Task: "verify", Reason: job.Because(job.NoResources)}})
	check(t, "comes back", granted(b.Release("restore")), []string{"verify"})
}

func TestWhoMayInterruptWhom(t *testing.T) {
	all := job.Switches{RestoresPreemptBackups: true, BackupsPreemptBackups: true, CopiesPreemptCopies: true}
	for _, tt := range []struct {
		name         string
		by, victim   job.Type
		byPriority   int
		switches     job.Switches
		want         bool
		notRunnable  bool // the victim's phase is not preemptable
		lackingOther bool // something else is lacking, for which nobody may be interrupted
	}{
		{"restore over verify", job.Restore, job.Verify, 66, job.Switches{}, true, false, false},
		{"backup over sweep", job.Backup, job.Sweep, 166, job.Switches{}, true, false, false},
		{"restore over backup, by default not", job.Restore, job.Backup, 66, job.Switches{}, false, false, false},
		{"restore over backup, switched on", job.Restore, job.Backup, 66, all, true, false, false},
		{"backup over backup, by default not", job.Backup, job.Backup, 106, job.Switches{}, false, false, false},
		{"backup over backup, switched on", job.Backup, job.Backup, 106, all, true, false, false},
		{"backup over backup, equal numbers", job.Backup, job.Backup, 966, all, false, false, false},
		{"auxiliary copy over copy, by default not", job.AuxiliaryCopy, job.Copy, 366, job.Switches{}, false, false, false},
		{"auxiliary copy over copy, switched on", job.AuxiliaryCopy, job.Copy, 366, all, true, false, false},
		{"auxiliary copy over verify", job.AuxiliaryCopy, job.Verify, 366, all, false, false, false},
		{"verify over sweep", job.Verify, job.Sweep, 566, all, false, false, false},
		{"a phase that is not preemptable", job.Restore, job.Verify, 66, all, false, true, false},
		{"a computer that is busy too", job.Restore, job.Verify, 66, all, false, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, c := site(t, res(broker.Stream, "main", 1), res(broker.Client, "web1", 0))
			p := broker.DefaultPolicy()
			p.Switches = tt.switches
			b.SetPolicy(p)
			runs(t, b, c, tt.victim, "victim", 7, 966, 1, 0)
			if tt.notRunnable {
				b.Update("victim", broker.Standing{})
			}
			set := stream(1)
			if tt.lackingOther {
				set = append(set, broker.One(broker.Client, "web1"))
			}
			d := b.Request(broker.Request{Task: "by", Type: tt.by, Priority: tt.byPriority, Set: set})
			if got := len(d.Interrupt) > 0; got != tt.want {
				t.Errorf("interrupted: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestFewestVictimsLowestPriorityFirstThenYoungestCheckpoint(t *testing.T) {
	type runner struct {
		task       string
		priority   int
		streams    int
		checkpoint time.Duration
	}
	for _, tt := range []struct {
		name  string
		run   []runner
		needs int
		want  []string
	}{
		{"the lowest priority", []runner{{"a", 566, 1, 0}, {"b", 866, 1, 0}, {"c", 766, 1, 0}}, 1, []string{"b"}},
		{"of equals the youngest checkpoint", []runner{{"a", 866, 1, time.Minute}, {"b", 866, 1, time.Second}, {"c", 866, 1, time.Hour}}, 1, []string{"b"}},
		{"one that is enough before two of lower priority", []runner{{"a", 566, 2, 0}, {"b", 866, 1, 0}, {"c", 866, 1, 0}}, 2, []string{"a"}},
		{"two, of the lowest that are enough", []runner{{"a", 566, 2, 0}, {"b", 866, 2, 0}, {"c", 966, 1, 0}}, 3, []string{"c", "b"}},
		{"three", []runner{{"a", 566, 1, 0}, {"b", 866, 1, 0}, {"c", 966, 1, 0}}, 3, []string{"c", "b", "a"}},
		{"never in vain", []runner{{"a", 866, 1, 0}}, 2, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			total := 0
			for _, r := range tt.run {
				total += r.streams
			}
			b, c := site(t, res(broker.Stream, "main", total))
			for i, r := range tt.run {
				runs(t, b, c, job.Sweep, r.task, int64(i), r.priority, r.streams, r.checkpoint)
			}
			if tt.want == nil {
				b.SetResource(res(broker.Stream, "main", tt.needs-1))
			}
			d := b.Request(broker.Request{Task: "restore", Type: job.Restore, Priority: 66, Set: stream(tt.needs)})
			check(t, "victims", victims(d), tt.want)
		})
	}
}

func TestAVictimIsInterruptedForOneOnly(t *testing.T) {
	b, c := site(t, res(broker.Stream, "main", 1))
	runs(t, b, c, job.Sweep, "sweep", 7, 866, 1, 0)
	b.Request(broker.Request{Task: "first", Session: 8, Type: job.Restore, Priority: 66, Set: stream(1)})
	b.Update("sweep", broker.Standing{Checkpoint: c.now}) // it lets go: nobody can interrupt it any more
	d := b.Request(broker.Request{Task: "second", Session: 9, Type: job.Restore, Priority: 66, Set: stream(1)})
	check(t, "victims", victims(d), none)
	check(t, "reason", d.Delayed, []broker.Delay{{Task: "second", Reason: job.Because(job.AlreadyInterrupted)}})
	d = b.Request(broker.Request{Task: "verify", Session: 10, Type: job.Verify, Priority: 566, Set: stream(1)})
	check(t, "of one who interrupts nobody", d.Delayed, []broker.Delay{{Task: "verify", Reason: job.Because(job.VictimsHoldResources, "7")}})
	check(t, "order", granted(b.Release("sweep")), []string{"first"})
}

func TestADriveOrMediumThatIsNotLetGoYetIsToldApart(t *testing.T) {
	for kind, want := range map[broker.Kind]job.Code{broker.Drive: job.VictimHoldsDrive, broker.Medium: job.VictimHoldsMedia} {
		b, c := site(t, res(kind, "x", 1))
		set := []broker.Need{broker.One(kind, "x")}
		b.Request(broker.Request{Task: "refresh", Session: 7, Type: job.MediaRefresh, Priority: 666, Set: set})
		b.Update("refresh", broker.Standing{Preemptable: true, Checkpoint: c.now})
		b.Request(broker.Request{Task: "restore", Session: 8, Type: job.Restore, Priority: 66, Set: set})
		d := b.Request(broker.Request{Task: "export", Session: 9, Type: job.MediaExport, Priority: 466, Set: set})
		check(t, "of one who interrupts nobody", d.Delayed, []broker.Delay{{Task: "export", Reason: job.Because(want)}})
	}
}

func TestAVictimTooOftenIsProtectedForAWhile(t *testing.T) {
	b, c := site(t, res(broker.Stream, "main", 1))
	b.Request(broker.Request{Task: "sweep", Type: job.Sweep, Priority: 866, Set: stream(1), Preemptions: job.DefaultPreemptionsInRow})
	b.Update("sweep", broker.Standing{Preemptable: true})
	check(t, "protected", victims(b.Request(broker.Request{Task: "restore", Type: job.Restore, Priority: 66, Set: stream(1)})), none)
	if got := b.Deadline(); !got.Equal(c.now.Add(job.DefaultProtectedRunning)) {
		t.Errorf("the deadline is %v", got)
	}
	c.now = b.Deadline()
	check(t, "then not", victims(b.Tick()), []string{"sweep"})
	if got := b.Deadline(); !got.IsZero() {
		t.Errorf("a deadline is left: %v", got)
	}
}

func TestAPhaseThatBecomesPreemptableIsInterruptedForWhoWaits(t *testing.T) {
	b, _ := site(t, res(broker.Stream, "main", 1))
	b.Request(broker.Request{Task: "sweep", Type: job.Sweep, Priority: 866, Set: stream(1)})
	for _, task := range []string{"one", "two"} {
		check(t, task, victims(b.Request(broker.Request{Task: task, Type: job.Restore, Priority: 66, Set: stream(1)})), none)
	}
	d := b.Update("sweep", broker.Standing{Preemptable: true})
	check(t, "interrupted for", d.Interrupt, []broker.Interrupt{{Task: "sweep", For: "one"}})
}

func TestAClaimKeepsWhatWasLackingFromThoseBehind(t *testing.T) {
	b, c := site(t, res(broker.Stream, "main", 2))
	b.Request(broker.Request{Task: "a", Type: job.Copy, Set: stream(1), Priority: 366})
	b.Request(broker.Request{Task: "b", Type: job.Copy, Set: stream(1), Priority: 366})
	b.Request(broker.Request{Task: "two", Session: 3, Type: job.Copy, Set: stream(2), Priority: 366})
	c.now = c.now.Add(job.DefaultClaimAfter - 1)
	check(t, "passed over", granted(b.Request(broker.Request{Task: "c", Type: job.Copy, Set: stream(1), Priority: 366})), none)
	check(t, "before the hour", granted(b.Release("a")), []string{"c"})
	b.Request(broker.Request{Task: "d", Type: job.Copy, Set: stream(1), Priority: 366})
	c.now = c.now.Add(1)
	d := b.Release("b")
	check(t, "after the hour", granted(d), none)
	w, _ := b.Waits("d")
	check(t, "why", w.Reason, job.Because(job.KeptForSession, "main", "3"))
	if w, _ := b.Waits("two"); !w.Claim {
		t.Error("the claim is not shown")
	}
	check(t, "not from those before", granted(b.Request(broker.Request{Task: "urgent", Type: job.Copy, Set: stream(1), Priority: 300})), []string{"urgent"})
	b.Release("urgent")
	check(t, "served", granted(b.Release("c")), []string{"two"})
	check(t, "then the rest", granted(b.Release("two")), []string{"d"})
}

func TestAClaimThatEndsLetsTheOthersGo(t *testing.T) {
	b, c := site(t, res(broker.Stream, "main", 2))
	b.Request(broker.Request{Task: "a", Type: job.Copy, Set: stream(1), Priority: 366})
	b.Request(broker.Request{Task: "b", Type: job.Copy, Set: stream(1), Priority: 366})
	b.Request(broker.Request{Task: "two", Type: job.Copy, Set: stream(2), Priority: 366})
	c.now = c.now.Add(job.DefaultClaimAfter)
	b.Request(broker.Request{Task: "d", Type: job.Copy, Set: stream(1), Priority: 366})
	check(t, "kept", granted(b.Release("a")), none)
	check(t, "let go", granted(b.Release("two")), []string{"d"})
}

func TestACircleOfSecondSetsInterruptsItsLowest(t *testing.T) {
	b, _ := site(t, res(broker.Medium, "m1", 1), res(broker.Medium, "m2", 1), res(broker.Medium, "m3", 1))
	first := func(task, medium string, priority int) {
		b.Request(broker.Request{Task: task, Type: job.SyntheticFull, Priority: priority, Set: []broker.Need{broker.One(broker.Medium, medium)}})
	}
	more := func(task, medium string) broker.Decision {
		return b.Request(broker.Request{Task: task, Type: job.SyntheticFull, Priority: 900, More: true, Set: []broker.Need{broker.One(broker.Medium, medium)}})
	}
	first("a", "m1", 966)
	first("b", "m2", 999)
	first("c", "m3", 966)
	check(t, "no circle yet", more("a", "m2").Interrupt, []broker.Interrupt(nil))
	check(t, "the holder of the third runs", more("c", "m1").Interrupt, []broker.Interrupt(nil))
	d := more("b", "m1")
	check(t, "circle", d.Interrupt, []broker.Interrupt{{Task: "b"}})
	check(t, "goes on", granted(b.Release("b")), []string{"a"})
	if _, holds, _ := b.Resource(broker.ID{Kind: broker.Medium, Name: "m1"}); len(holds) != 1 || len(holds[0].Holds) != 2 {
		t.Errorf("the first set was not kept: %+v", holds)
	}
	check(t, "and the third", granted(b.Release("a")), []string{"c"})
}

func TestASecondSetIsWaitedForWithTheFirst(t *testing.T) {
	b, _ := site(t, res(broker.Drive, "d1", 1), res(broker.Medium, "m1", 1))
	b.Request(broker.Request{Task: "other", Type: job.Copy, Priority: 366, Set: []broker.Need{broker.One(broker.Medium, "m1")}})
	b.Request(broker.Request{Task: "synthetic", Session: 4, Type: job.SyntheticFull, Priority: 966, Set: []broker.Need{broker.One(broker.Drive, "d1")}})
	b.Request(broker.Request{Task: "synthetic", Session: 4, Type: job.SyntheticFull, Priority: 966, More: true, Set: []broker.Need{broker.One(broker.Medium, "m1")}})
	d := b.Request(broker.Request{Task: "restore", Type: job.Restore, Priority: 66, Set: []broker.Need{broker.One(broker.Drive, "d1")}})
	check(t, "interrupted whatever its flags", victims(d), []string{"synthetic"})
	check(t, "lets go of both", granted(b.Release("synthetic")), []string{"restore"})
	check(t, "and waits no more", granted(b.Release("other")), none)
}

func TestDrives(t *testing.T) {
	drive := func(name string, down *job.Reason) broker.Resource {
		r := res(broker.Drive, name, 1)
		r.Down = down
		return r
	}
	broken := job.Because(job.NoActiveControllerDrive, "d2")
	two := []broker.Need{{Kind: broker.Drive, AnyOf: []string{"d1", "d2", "d3"}, Count: 2, Spread: true, Group: "pool"}}
	for _, tt := range []struct {
		name      string
		resources []broker.Resource
		taken     []string
		want      job.Reason
	}{
		{"both", []broker.Resource{drive("d1", nil), drive("d2", nil), drive("d3", nil)}, []string{"d2"}, job.Reason{}},
		{"fewer than needed", []broker.Resource{drive("d1", nil)}, nil, job.Because(job.NotEnoughDrives, "pool", "2", "1")},
		{"not all good", []broker.Resource{drive("d1", nil), drive("d2", &broken)}, nil, job.Because(job.NoGoodDrives, "pool")},
		{"one free", []broker.Resource{drive("d1", nil), drive("d2", nil)}, []string{"d1"}, job.Because(job.PoolDrivesBusy, "pool", "2", "1")},
		{"none free", []broker.Resource{drive("d1", nil), drive("d3", nil)}, []string{"d1", "d3"}, job.Because(job.NoFreeDrives, "pool")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, _ := site(t, tt.resources...)
			for _, name := range tt.taken {
				b.Request(broker.Request{Task: name, Set: []broker.Need{broker.One(broker.Drive, name)}})
			}
			d := b.Request(broker.Request{Task: "copy", Set: two})
			if tt.want.Zero() {
				check(t, "holds", d.Granted[0].Holds, []broker.Hold{
					{ID: broker.ID{Kind: broker.Drive, Name: "d1"}, Count: 1}, {ID: broker.ID{Kind: broker.Drive, Name: "d3"}, Count: 1},
				})
				return
			}
			check(t, "delay", d.Delayed, []broker.Delay{{Task: "copy", Reason: tt.want}})
		})
	}
}

func TestPresenceIsAskedForAndTakesNothing(t *testing.T) {
	down := job.Because(job.LibraryControllerOffline, "lib")
	lib := res(broker.Library, "lib", 1)
	lib.Down = &down
	b, _ := site(t, lib, res(broker.Drive, "d1", 1))
	set := []broker.Need{{Kind: broker.Library, AnyOf: []string{"lib"}}, broker.One(broker.Drive, "d1")}
	check(t, "delay", b.Request(broker.Request{Task: "a", Set: set}).Delayed, []broker.Delay{{Task: "a", Reason: down}})
	lib.Down = nil
	d := b.SetResource(lib)
	check(t, "holds", d.Granted[0].Holds, []broker.Hold{{ID: broker.ID{Kind: broker.Drive, Name: "d1"}, Count: 1}})
}

func TestAChangedPriorityMovesInTheQueueAndMayInterrupt(t *testing.T) {
	b, c := site(t, res(broker.Stream, "main", 1))
	runs(t, b, c, job.Sweep, "sweep", 1, 66, 1, 0)
	b.Request(broker.Request{Task: "a", Type: job.Restore, Priority: 66, Set: stream(1)})
	b.Request(broker.Request{Task: "b", Type: job.Restore, Priority: 67, Set: stream(1)})
	check(t, "b first", victims(b.Reprioritise("b", 1)), []string{"sweep"})
	check(t, "b goes", granted(b.Release("sweep")), []string{"b"})
	b.Update("b", broker.Standing{Preemptable: true})
	check(t, "a running one", victims(b.Reprioritise("b", 99)), []string{"b"})
}
