package gate_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keepward/internal/gate"
	"keepward/internal/job"
)

func limits(most map[gate.Level]int) *gate.Gate {
	g := gate.New()
	g.SetRules(gate.Rules{Limits: most})
	return g
}

func add(g *gate.Gate, task string, session int64, priority int, computer string) {
	g.Add(gate.Subject{Task: task, Session: session, Type: job.Backup, Priority: priority, Computer: computer, Repository: "main"})
}

func enters(g *gate.Gate, task string) bool { return g.Ask(task, time.Time{}, true).Reason.Zero() }

func TestALimitCountsSessionsAndWakesTheFirstOfThoseThatWait(t *testing.T) {
	g := limits(map[gate.Level]int{gate.Whole: 2})
	add(g, "a1", 1, 166, "web1")
	add(g, "a2", 1, 166, "web2")
	add(g, "b", 2, 166, "web3")
	add(g, "c", 3, 166, "web4")
	add(g, "d", 4, 66, "web5")
	for task, want := range map[string]bool{"a1": true, "a2": true} {
		if enters(g, task) != want {
			t.Errorf("%s enters: %v", task, !want)
		}
	}
	if !enters(g, "b") {
		t.Error("two tasks of one session count twice")
	}
	v := g.Ask("c", time.Time{}, true)
	if v.Reason.Code != job.Throttle || v.Reason.Args[0] != "2 of the server" {
		t.Errorf("the third session: %v", v.Reason)
	}
	if enters(g, "d") {
		t.Error("the fourth session enters")
	}
	if way := g.InWay("d"); !slices.Equal(way, []int64{1, 2}) {
		t.Errorf("in the way of d are %v", way)
	}
	g.Remove("a1")
	if wakes := g.Wakes(); len(wakes) != 0 {
		t.Errorf("half a session ended, and %v are woken", wakes)
	}
	g.Remove("a2")
	if wakes := g.Wakes(); !slices.Equal(wakes, []string{"d"}) {
		t.Errorf("woken are %v, want the one of the best priority", wakes)
	}
	if enters(g, "c") {
		t.Error("c goes before d")
	}
	if !enters(g, "d") {
		t.Error("there is room for d")
	}
	g.Note("b", false, gate.Idle) // it waits for resources now
	if wakes := g.Wakes(); !slices.Equal(wakes, []string{"c"}) {
		t.Errorf("woken are %v", wakes)
	}
}

func TestWhoLeavesTheQueueOtherwiseMakesRoomForTheNext(t *testing.T) {
	g := limits(map[gate.Level]int{{Kind: gate.Computer, Name: "web1"}: 1})
	for i := range 3 {
		add(g, fmt.Sprint(i), int64(i+1), 166, "web1")
	}
	if !enters(g, "0") || enters(g, "1") || enters(g, "2") {
		t.Fatal("not the first alone")
	}
	g.Note("0", false, gate.Idle)
	if wakes := g.Wakes(); !slices.Equal(wakes, []string{"1"}) {
		t.Fatalf("woken are %v", wakes)
	}
	g.Note("1", false, gate.Idle) // suspended
	if wakes := g.Wakes(); !slices.Equal(wakes, []string{"2"}) {
		t.Fatalf("woken are %v", wakes)
	}
}

func TestALimitOfOneComputerOrRepositoryIsNoOtherOnes(t *testing.T) {
	g := limits(map[gate.Level]int{{Kind: gate.Computer, Name: "web1"}: 1, {Kind: gate.Repository, Name: "main"}: 2})
	add(g, "a", 1, 166, "web1")
	add(g, "b", 2, 166, "web1")
	add(g, "c", 3, 166, "web2")
	add(g, "d", 4, 166, "web3")
	if !enters(g, "a") || enters(g, "b") || !enters(g, "c") {
		t.Error("the limit of web1 is not kept as it is meant")
	}
	if v := g.Ask("d", time.Time{}, true); v.Reason.Code != job.Throttle || v.Reason.Args[0] != "2 of repository main" {
		t.Errorf("the third of the repository: %v", v.Reason)
	}
}

func TestNewLimitsCountWhatRuns(t *testing.T) {
	g := gate.New()
	add(g, "a", 1, 166, "web1")
	add(g, "b", 2, 166, "web1")
	if !enters(g, "a") {
		t.Fatal("without a limit")
	}
	g.SetRules(gate.Rules{Limits: map[gate.Level]int{gate.Whole: 1}})
	if enters(g, "b") {
		t.Error("what ran before is not counted")
	}
}

// Whatever happens, no limit is passed, and nobody waits for one that has room.
func TestLimitsHoldAndNobodyIsForgotten(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		most := map[gate.Level]int{}
		for _, l := range []gate.Level{gate.Whole, {Kind: gate.Computer, Name: "c0"}, {Kind: gate.Repository, Name: "main"}} {
			if n := rapid.IntRange(0, 4).Draw(rt, l.String()); n > 0 {
				most[l] = n
			}
		}
		g := limits(most)
		type known struct {
			session  int64
			computer string
			runs     bool
		}
		tasks := map[string]*known{}
		ask := func(id string) {
			if k := tasks[id]; k != nil && !k.runs {
				k.runs = enters(g, id)
			}
		}
		settle := func() {
			for range 1000 {
				wakes := g.Wakes()
				if len(wakes) == 0 {
					return
				}
				for _, id := range wakes {
					ask(id)
				}
			}
			rt.Fatal("the waking never ends")
		}
		running := func(on func(*known) bool) int {
			sessions := map[int64]bool{}
			for _, k := range tasks {
				if k.runs && on(k) {
					sessions[k.session] = true
				}
			}
			return len(sessions)
		}
		check := func() {
			counts := map[gate.Level]int{
				gate.Whole:                            running(func(*known) bool { return true }),
				{Kind: gate.Computer, Name: "c0"}:     running(func(k *known) bool { return k.computer == "c0" }),
				{Kind: gate.Repository, Name: "main"}: running(func(*known) bool { return true }),
			}
			for l, n := range most {
				if counts[l] > n {
					rt.Fatalf("%s: %d of %d", l, counts[l], n)
				}
			}
			for id, k := range tasks {
				room := true
				for l, n := range most {
					room = room && (counts[l] < n || l.Kind == gate.Computer && k.computer != "c0")
				}
				if !k.runs && room {
					rt.Fatalf("task %s waits, and there is room", id)
				}
			}
		}
		n := 0
		rt.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { settle(); check() },
			"add": func(rt *rapid.T) {
				n++
				id := fmt.Sprintf("t%03d", n)
				k := &known{session: rapid.Int64Range(1, 8).Draw(rt, "session"), computer: rapid.SampledFrom([]string{"c0", "c1"}).Draw(rt, "computer")}
				add(g, id, k.session, 100+int(k.session)%3, k.computer)
				tasks[id] = k
				ask(id)
			},
			"end": func(rt *rapid.T) {
				if len(tasks) == 0 {
					rt.Skip()
				}
				id := rapid.SampledFrom(sorted(tasks)).Draw(rt, "task")
				delete(tasks, id)
				g.Remove(id)
			},
			"park": func(rt *rapid.T) {
				if len(tasks) == 0 {
					rt.Skip()
				}
				id := rapid.SampledFrom(sorted(tasks)).Draw(rt, "task")
				if tasks[id].runs {
					tasks[id].runs = false
					g.Note(id, true, gate.Idle)
					settle()
					ask(id)
				}
			},
		})
	})
}

func sorted[V any](m map[string]V) []string {
	var list []string
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// A task that has failed and waits for its next attempt has lost its place: another may have it by
// then, and nobody has asked whether there is room.
func TestANextAttemptAsksAgain(t *testing.T) {
	g := limits(map[gate.Level]int{{Kind: gate.Computer, Name: "web1"}: 1})
	add(g, "a", 1, 166, "web1")
	add(g, "b", 2, 166, "web1")
	if !enters(g, "a") {
		t.Fatal("there is room for a")
	}
	g.Note("a", false, gate.Runs)
	g.Note("a", false, gate.Idle) // it has failed
	if !enters(g, "b") {
		t.Fatal("there is room for b")
	}
	g.Note("a", false, gate.AsAsked) // its interval is over
	if enters(g, "a") {
		t.Error("two run where one may")
	}
	g.Note("b", false, gate.AsAsked)
	if enters(g, "a") {
		t.Error("what was let out of the queue lost its place while it waited for its set")
	}
	g.Note("b", false, gate.Idle)
	if !enters(g, "a") {
		t.Error("b has ended, and there is no room for a")
	}
}
