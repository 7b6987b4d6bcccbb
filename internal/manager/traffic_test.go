package manager

import (
	"context"
	"maps"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// The addresses of the fake nodes.
var addresses = map[Node]netip.Addr{
	agentOf("web1"): netip.MustParseAddr("10.1.0.1"), agentOf("web2"): netip.MustParseAddr("10.1.0.2"),
	transportOf(theNode): netip.MustParseAddr("10.9.0.1"),
}

// SetRates and Address make the world a Pacer.
func (w *world) SetRates(_ context.Context, n Node, req *keepwardv1.SetRatesRequest) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unpaced != nil {
		return w.unpaced
	}
	if w.paced == nil {
		w.paced, w.numbered = map[toldRates]int64{}, map[toldRates]*keepwardv1.Rates{}
	}
	for _, r := range req.GetAttempts() {
		w.paced[toldRates{n, r.GetAttempt()}] = r.GetRates().GetNetwork()
		w.numbered[toldRates{n, r.GetAttempt()}] = r.GetRates()
	}
	return nil
}

func (w *world) Address(n Node) netip.Addr { return addresses[n] }

func (w *world) rule(r *keepwardv1.TrafficRule) []string {
	w.t.Helper()
	res, err := w.m.SaveTrafficRule(w.t.Context(), connect.NewRequest(&keepwardv1.SaveTrafficRuleRequest{Rule: r}))
	if err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
	return res.Msg.GetWarnings()
}

// told are the rates that agents were told since the last call.
func (w *world) told() map[string]int64 {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int64{}
	for k, v := range w.paced {
		if k.node.Role == "agent" {
			out[k.node.Name] = v
		}
	}
	clear(w.paced)
	return out
}

func (w *world) wantTold(what string, want map[string]int64) {
	w.t.Helper()
	if d := cmp.Diff(want, w.told()); d != "" {
		w.t.Errorf("%s: agents were told (-want +got):\n%s", what, d)
	}
}

// meter reports that an agent has moved so much in all, and was held up all the time.
func (w *world) meter(agent, attempt string, bytes int64, held time.Duration) {
	w.t.Helper()
	m := &keepwardv1.RateMeter{SentBytes: bytes, SentHeldMillis: held.Milliseconds()}
	if err := w.m.Progress(w.t.Context(), agentOf(agent), attempt, &keepwardv1.Progress{Meter: m}); err != nil {
		w.t.Error(err)
	}
}

func TestTasksAreToldTheirSharesAsTheyComeAndGo(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.rule(&keepwardv1.TrafficRule{Name: "line", Source: []string{"10.1.0.0/16"}, Target: []string{"10.9.0.1"}, Limit: "40Mbit/s"})
		w.setJob(theJobOf("web1"))
		first := w.run()
		a := w.agents["web1"].only(t)
		if got := w.agents["web1"].backups[a].GetRates().GetNetwork(); got != 5_000_000 {
			t.Fatalf("the order to begin has a rate of %d", got)
		}
		w.wantTold("one", map[string]int64{})

		other := theJobOf("web2")
		other.Name = "more"
		w.setJob(other)
		second, err := w.m.RunJob(t.Context(), "more", false)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b := w.agents["web2"].only(t)
		if got := w.agents["web2"].backups[b].GetRates().GetNetwork(); got != 2_500_000 {
			t.Errorf("the order to begin of the second has a rate of %d", got)
		}
		w.wantTold("a second", map[string]int64{"web1": 2_500_000})
		w.meter("web1", a, 0, 0)
		synctest.Wait()
		if r := w.session(first).GetTasks()[0].GetRate(); r.GetRule() != "line" || r.GetNetwork() != 2_500_000 {
			t.Errorf("the first session shows %v", r)
		}

		w.rule(&keepwardv1.TrafficRule{Name: "line", Limit: "80Mbit/s"})
		w.wantTold("edited", map[string]int64{"web1": 5_000_000, "web2": 5_000_000})
		w.rule(&keepwardv1.TrafficRule{Name: "other", Source: []string{"10.1.0.1"}, Limit: "8Mbit/s"})
		w.wantTold("a lower one of the first", map[string]int64{"web1": 1_000_000, "web2": 9_000_000})
		if _, err := w.m.DeleteTrafficRule(t.Context(), connect.NewRequest(&keepwardv1.DeleteTrafficRuleRequest{Name: "other"})); err != nil {
			t.Fatal(err)
		}
		w.wantTold("deleted", map[string]int64{"web1": 5_000_000, "web2": 5_000_000})

		w.agentDone("web2", b, nil)
		w.moverCommits(b)
		w.expect(second, job.Completed, "")
		w.wantTold("the second is over", map[string]int64{"web1": 10_000_000})
		w.rule(&keepwardv1.TrafficRule{Name: "line", Limit: "80Mbit/s", Disabled: true})
		w.wantTold("switched off", map[string]int64{"web1": 0})
	})
}

func TestWhatATaskDoesNotMoveTheOthersAreTold(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.rule(&keepwardv1.TrafficRule{Name: "line", Limit: "40Mbit/s"})
		w.setJob(theJobOf("web1", "web2"))
		w.run()
		a, b := w.agents["web1"].only(t), w.agents["web2"].only(t)
		w.told()
		told := map[string]int64{}
		for i := range int64(10) {
			time.Sleep(500 * time.Millisecond)
			w.meter("web1", a, 200_000*i, 0)
			w.meter("web2", b, 1_250_000*i, time.Duration(i)*300*time.Millisecond)
			maps.Copy(told, w.told())
		}
		want := map[string]int64{"web1": 500_000, "web2": 4_500_000} // a quarter more than it moves
		if d := cmp.Diff(want, told); d != "" {
			t.Errorf("agents were told (-want +got):\n%s", d)
		}
	})
}

func TestRestoresAreExempt(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.run()
		point := w.finish("web1")
		w.rule(&keepwardv1.TrafficRule{Name: "line", Limit: "40Mbit/s"})
		for _, tc := range []struct {
			restores bool
			want     int64
		}{{false, 0}, {true, 5_000_000}} {
			w.rule(&keepwardv1.TrafficRule{Name: "line", Limit: "40Mbit/s", Restores: tc.restores})
			id := w.restore(&keepwardv1.RestoreFilesRequest{Computer: "web1", Point: point, To: []byte("/out")})
			w.expect(id, job.Running, "")
			attempt := w.agents["web1"].only(t)
			got := []int64{w.agents["web1"].restores[attempt].GetRates().GetNetwork(), w.transports[theNode].movers[attempt].GetRates().GetNetwork()}
			if d := cmp.Diff([]int64{tc.want, tc.want}, got); d != "" {
				t.Errorf("restores: %v: agent and mover begin with (-want +got):\n%s", tc.restores, d)
			}
			w.agentDone("web1", attempt, nil)
			w.moverEnds(attempt, done(nil))
		}
	})
}

// A node that could not be told, and a server that was started anew, have it right after the next
// heartbeat.
func TestALostOrderIsMadeUpForByAHeartbeat(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.run()
		a := w.agents["web1"].only(t)
		w.unpaced = errs.New(errs.Unavailable, "", "the link is lost")
		w.rule(&keepwardv1.TrafficRule{Name: "line", Limit: "40Mbit/s"})
		w.wantTold("a lost order", map[string]int64{})
		rates := func() int64 {
			list := w.m.Rates(agentOf("web1"))
			if len(list) != 1 || list[0].GetAttempt() != a {
				t.Fatalf("a heartbeat is answered with %v", list)
			}
			return list[0].GetRates().GetNetwork()
		}
		if got := rates(); got != 5_000_000 {
			t.Errorf("after a lost order a heartbeat is answered with a rate of %d", got)
		}
		w.reopen()
		if got := rates(); got != 5_000_000 {
			t.Errorf("after a restart a heartbeat is answered with a rate of %d", got)
		}
		w.unpaced = nil
		w.rule(&keepwardv1.TrafficRule{Name: "line", Limit: "40Mbit/s", Disabled: true})
		if got := rates(); got != 0 {
			t.Errorf("without a rule a heartbeat is answered with a rate of %d", got)
		}
	})
}

func TestARangeOfNobodyIsWarnedOf(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		got := w.rule(&keepwardv1.TrafficRule{Name: "line", Source: []string{"192.0.2.0/24", "any"}, Limit: "40Mbit/s"})
		want := []string{"traffic rule line: no known computer or transport has an address in 192.0.2.0/24"}
		if len(got) == 0 || got[0] != want[0] {
			t.Errorf("warnings are %q", got)
		}
	})
}

func TestTheAddressesThatCountAreThoseOfTheConnection(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.rule(&keepwardv1.TrafficRule{Name: "line", Source: []string{"10.1.0.0/16"}, Limit: "40Mbit/s"})
		w.run()
		a := w.agents["web1"].only(t)
		w.told()
		for _, tc := range []struct {
			meter *keepwardv1.RateMeter
			want  map[string]int64
		}{
			{&keepwardv1.RateMeter{OwnAddress: "10.9.0.1:7000", PeerAddress: "203.0.113.1:1234"}, map[string]int64{"web1": 0}},
			{&keepwardv1.RateMeter{OwnAddress: "10.9.0.1:7000", PeerAddress: "10.1.0.1:1234"}, map[string]int64{"web1": 5_000_000}},
			{&keepwardv1.RateMeter{Local: true}, map[string]int64{"web1": 0}},
		} {
			// What an agent says of its addresses is not believed.
			for n, m := range map[Node]*keepwardv1.RateMeter{transportOf(theNode): tc.meter, agentOf("web1"): {OwnAddress: "192.0.2.1:1", PeerAddress: "192.0.2.2:1"}} {
				if err := w.m.Progress(t.Context(), n, a, &keepwardv1.Progress{Meter: m}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			w.wantTold(tc.meter.String(), tc.want)
		}
	})
}

// Orders and answers to heartbeats may pass each other: the later has the higher number, also after the
// server was started anew.
func TestWhatIsSaidOfRatesIsNumbered(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.rule(&keepwardv1.TrafficRule{Name: "line", Limit: "40Mbit/s"})
		w.run()
		a := w.agents["web1"].only(t)
		var last uint64
		later := func(what string, r *keepwardv1.Rates) {
			t.Helper()
			if r.GetNumber() <= last {
				t.Errorf("%s has the number %d, after %d", what, r.GetNumber(), last)
			}
			last = r.GetNumber()
		}
		later("the order to begin", w.agents["web1"].backups[a].GetRates())
		later("an answer", w.m.Rates(agentOf("web1"))[0].GetRates())
		w.rule(&keepwardv1.TrafficRule{Name: "line", Limit: "20Mbit/s"})
		w.pass(time.Second)
		later("an order", w.numbered[toldRates{agentOf("web1"), a}])
		later("the next answer", w.m.Rates(agentOf("web1"))[0].GetRates())
		w.reopen()
		w.connect()
		later("an answer after a start", w.m.Rates(agentOf("web1"))[0].GetRates())
	})
}
