package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/power"
)

// fakeRuns notes what is begun, and ends it when the test says so.
type fakeRuns struct {
	mu     sync.Mutex
	began  []string
	at     []time.Time
	refuse error
	other  bool    // something else runs
	told   []error // why what ran was to end
	ended  func(*keepwardv1.AttemptEnd)
}

func (f *fakeRuns) busy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.other || f.ended != nil
}

func (f *fakeRuns) run(_ context.Context, _ *keepwardv1.AgentPolicy, a *keepwardv1.AgentAttempt, began func() error, ended func(*keepwardv1.AttemptEnd)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.began, f.at = append(f.began, a.GetAttempt()), append(f.at, time.Now())
	if f.refuse != nil {
		return f.refuse
	}
	if err := began(); err != nil {
		return err
	}
	f.ended = ended
	return nil
}

func (f *fakeRuns) stop(_ string, why error) { f.set(func() { f.told = append(f.told, why) }) }

func (f *fakeRuns) end(outcome string) { f.endFor(outcome, "x") }

func (f *fakeRuns) endFor(outcome, code string) {
	f.mu.Lock()
	done := f.ended
	f.ended = nil
	f.mu.Unlock()
	done(&keepwardv1.AttemptEnd{Outcome: outcome, Failure: &keepwardv1.Failure{Code: code}})
	synctest.Wait()
}

func (f *fakeRuns) set(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *fakeRuns) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.began)
}

// managing runs fn in a bubble with an agent that manages a job every hour, and has five attempts.
func managing(t *testing.T, missed string, fn func(t *testing.T, m *managed)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := &managed{t: t, dir: dir, runs: &fakeRuns{}}
		m.start()
		_, err := m.st.put([]*keepwardv1.AgentPolicy{hourly(missed, "a1", "a2", "a3", "a4", "a5")})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		fn(t, m)
		m.stop()
	})
}

type managed struct {
	t    *testing.T
	dir  string
	runs *fakeRuns
	st   *standing
	stop func()

	mu     sync.Mutex
	supply power.State
}

// supplied is the computer from now on.
func (m *managed) supplied(s power.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.supply = s
}

func (m *managed) look(context.Context) power.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.supply
}

func (m *managed) wantWait(code job.Code) {
	m.t.Helper()
	m.st.mu.Lock()
	got := m.st.show(m.st.policies.GetPolicies()[0], time.Now()).GetWaits()
	m.st.mu.Unlock()
	if got.GetCode() != string(code) {
		m.t.Fatalf("it waits for %q (%s), want %q", got.GetCode(), got.GetText(), code)
	}
}

func hourly(missed string, attempts ...string) *keepwardv1.AgentPolicy {
	p := &keepwardv1.AgentPolicy{
		Id: "p" + attempts[0], Job: "docs", Repository: "main", Schedule: "every 1h", Missed: missed, Tries: 3,
		RetryAfter: durationpb.New(10 * time.Minute), ValidUntil: timestamppb.New(time.Now().AddDate(0, 0, 7)),
	}
	for _, a := range attempts {
		p.Attempts = append(p.Attempts, &keepwardv1.AgentAttempt{Attempt: a})
	}
	return p
}

// start is the agent's process.
func (m *managed) start() {
	m.t.Helper()
	st, err := openStanding(m.dir, []byte("ca"), slog.New(slog.DiscardHandler), m.runs, m.look)
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); st.serve(ctx) }()
	m.st, m.stop = st, func() { cancel(); <-over }
	synctest.Wait()
}

func (m *managed) pass(d time.Duration) { time.Sleep(d); synctest.Wait() }

func (m *managed) wantRuns(n int) {
	m.t.Helper()
	if got := m.runs.count(); got != n {
		m.t.Fatalf("%d runs were begun (%v), want %d", got, m.runs.began, n)
	}
}

func TestTheAgentRunsBySchedule(t *testing.T) {
	managing(t, "run once", func(t *testing.T, m *managed) {
		m.wantRuns(0)
		m.pass(time.Hour + time.Minute)
		m.wantRuns(1)
		m.pass(2 * time.Hour) // the first goes on: nothing begins beside it
		m.wantRuns(1)
		m.runs.end(outcomeDone)
		m.pass(10 * time.Second) // what came meanwhile is one run
		m.wantRuns(2)
		m.runs.end(outcomeDone)
		m.pass(time.Minute)
		m.wantRuns(2)
		if runs := m.st.state.GetRuns(); len(runs) != 2 || runs[0].GetAttempt() != "a2" || runs[0].GetOutcome() != outcomeDone {
			t.Errorf("runs: %v", runs)
		}
	})
}

func TestARunMissedWhileTheAgentWasOff(t *testing.T) {
	for missed, want := range map[string]int{"run once": 1, "skip": 0} {
		t.Run(missed, func(t *testing.T) {
			managing(t, missed, func(t *testing.T, m *managed) {
				m.stop()
				time.Sleep(5 * time.Hour)
				m.start()
				m.pass(time.Second)
				m.wantRuns(want)
				if want == 1 {
					m.runs.end(outcomeDone)
					m.pass(10 * time.Second)
					m.wantRuns(1)
				}
			})
		})
	}
}

func TestAFailedRunIsTriedAgainAndThenLeft(t *testing.T) {
	managing(t, "run once", func(t *testing.T, m *managed) {
		m.pass(time.Hour)
		for n := 1; n <= 3; n++ {
			m.wantRuns(n)
			m.runs.end(outcomeFailed)
			m.pass(10*time.Minute + 5*time.Second)
		}
		m.wantRuns(3)
	})
}

func TestARunThatTheServerStoppedIsNotTriedAgain(t *testing.T) {
	managing(t, "run once", func(t *testing.T, m *managed) {
		m.pass(time.Hour)
		m.runs.end(outcomeAborted)
		m.pass(30 * time.Minute)
		m.wantRuns(1)
	})
}

func TestARunThatDiedWithTheAgentGoesOnAtOnceWithAnotherAttempt(t *testing.T) {
	managing(t, "run once", func(t *testing.T, m *managed) {
		m.pass(time.Hour)
		m.wantRuns(1)
		m.stop()
		m.runs = &fakeRuns{}
		m.start()
		m.pass(time.Second)
		if m.runs.count() != 1 || m.runs.began[0] != "a2" {
			t.Errorf("begun: %v", m.runs.began)
		}
		if runs := m.st.state.GetRuns(); len(runs) != 1 || runs[0].GetFailure().GetCode() != "agent.restarted" {
			t.Errorf("runs: %v", runs)
		}
	})
}

func TestATransportOutOfReachCostsNoAttemptAndARefusalOne(t *testing.T) {
	managing(t, "run once", func(t *testing.T, m *managed) {
		m.runs.set(func() { m.runs.refuse = errs.New(errs.Unavailable, "transport.door", "no way") })
		m.pass(time.Hour)
		m.wantRuns(1)
		if got := m.st.left(m.st.policies.GetPolicies()[0]).GetAttempt(); got != "a1" {
			t.Errorf("the next attempt is %s", got)
		}
		m.runs.set(func() { m.runs.refuse = errs.New(errs.Denied, "standing.unknown", "revoked") })
		m.pass(10*time.Minute + 5*time.Second)
		m.wantRuns(1 + refusedMost)
		if got := m.st.left(m.st.policies.GetPolicies()[0]).GetAttempt(); got != "a4" {
			t.Errorf("the next attempt is %s", got)
		}
		if runs := m.st.state.GetRuns(); runs[0].GetOutcome() != notOpened || runs[0].GetFailure().GetCode() != "standing.unknown" {
			t.Errorf("runs: %v", runs)
		}
	})
}

func TestAnAgentThatMakesPlaceForAnotherVersionLosesNoRun(t *testing.T) {
	managing(t, "run once", func(t *testing.T, m *managed) {
		m.runs.set(func() { m.runs.refuse = errs.New(errs.Unavailable, "agent.stopping", "another version takes over") })
		m.pass(time.Hour + time.Minute)
		if runs := m.st.state.GetRuns(); len(runs) > 0 {
			t.Errorf("runs: %v", runs)
		}
		m.runs.set(func() { m.runs.refuse = nil })
		m.pass(5 * time.Second)
		if !m.runs.busy() {
			t.Error("the run does not begin")
		}
		m.runs.end(outcomeDone)
	})
	a := &agent{}
	for _, c := range []struct{ closed, leaving bool }{{true, false}, {false, true}, {false, false}} {
		a.closed, a.leaving = c.closed, c.leaving
		if (ownRuns{a}).busy() != (c.closed || c.leaving) {
			t.Errorf("%+v: runs are opened that cannot begin, or none is", c)
		}
	}
	a.leaving = true
	if a.resume(); a.beginsNothing() {
		t.Error("it begins nothing although no other version takes over")
	}
}

func TestWithoutAttemptsARunWaitsForNewOnes(t *testing.T) {
	managing(t, "run once", func(t *testing.T, m *managed) {
		for n := 1; n <= 5; n++ {
			m.pass(time.Hour)
			m.wantRuns(n)
			m.runs.end(outcomeDone)
		}
		m.pass(3 * time.Hour)
		m.wantRuns(5)
		if _, err := m.st.put([]*keepwardv1.AgentPolicy{hourly("run once", "b1")}); err != nil {
			t.Fatal(err)
		}
		m.pass(time.Second)
		m.wantRuns(6)
	})
}

func TestOtherWorkOfTheAgentGoesFirst(t *testing.T) {
	managing(t, "run once", func(t *testing.T, m *managed) {
		m.runs.set(func() { m.runs.other = true })
		m.pass(time.Hour + time.Minute)
		m.wantRuns(0)
		m.runs.set(func() { m.runs.other = false })
		m.pass(5 * time.Second)
		m.wantRuns(1)
	})
}

func TestAClockThatWasSetBackDoesNotStopTheSchedule(t *testing.T) {
	managing(t, "run once", func(t *testing.T, m *managed) {
		m.stop()
		m.st.state.Jobs[0].Seen = timestamppb.New(time.Now().AddDate(1, 0, 0))
		m.st.keep()
		m.start()
		m.pass(time.Hour + time.Minute)
		m.wantRuns(1)
	})
}

func TestThePoliciesAreForTheAgentsEyesOnly(t *testing.T) {
	managing(t, "run once", func(t *testing.T, m *managed) {
		for _, name := range []string{standingPolicies, standingState} {
			info, err := os.Stat(filepath.Join(m.dir, name))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", name, info, err)
			}
		}
		other, err := openStanding(m.dir, []byte("another authority"), slog.New(slog.DiscardHandler), m.runs, m.look)
		if err != nil || len(other.policies.GetPolicies()) != 0 {
			t.Errorf("what another server has issued is believed: %v, %v", other.policies, err)
		}
		unknown, err := m.st.put([]*keepwardv1.AgentPolicy{{Id: "pa1"}, {Id: "pz"}})
		if err != nil || len(unknown) != 1 || unknown[0] != "pz" || len(m.st.policies.GetPolicies()) != 1 {
			t.Errorf("unknown: %v, %v", unknown, err)
		}
	})
}

// sparing gives the agent its job anew, with rules about batteries and metered networks.
func (m *managed) sparing() {
	m.t.Helper()
	p := hourly("run once", "b1", "b2", "b3")
	p.LeastCharge, p.Unmetered, p.Backup = 30, true, &keepwardv1.StartBackupRequest{Computer: "web1"}
	if _, err := m.st.put([]*keepwardv1.AgentPolicy{p}); err != nil {
		m.t.Fatal(err)
	}
	synctest.Wait()
}

func TestARunOfTheAgentsWaitsForMainsAndAFreeNetworkAndSaysSo(t *testing.T) {
	managing(t, "run once", func(t *testing.T, m *managed) {
		m.sparing()
		m.supplied(power.State{Battery: true, Charge: 29})
		m.wantWait("") // nothing is due
		m.pass(time.Hour + time.Minute)
		m.wantRuns(0)
		m.wantWait(job.OnBattery)
		m.stop()
		m.start()
		m.wantWait(job.OnBattery)
		m.supplied(power.State{Metered: true})
		m.pass(supplyLook + time.Second)
		m.wantWait(job.MeteredNetwork)
		m.wantRuns(0)
		m.supplied(power.State{Battery: true, Charge: 30})
		m.pass(supplyLook + time.Second)
		m.wantRuns(1)
		m.wantWait("")
	})
}

func TestARunLetsGoOnABatteryAndGoesOnLaterAtNoTry(t *testing.T) {
	managing(t, "run once", func(t *testing.T, m *managed) {
		m.sparing()
		m.pass(time.Hour + time.Second)
		m.wantRuns(1)
		for range 5 { // the plug is pulled and put in elsewhere
			m.supplied(power.State{Battery: true, Charge: 10})
			m.pass(letGoAfter - supplyLook)
			m.supplied(power.State{})
			m.pass(2 * supplyLook)
		}
		if m.runs.set(func() {}); len(m.runs.told) > 0 {
			t.Fatalf("it was to let go: %v", m.runs.told)
		}
		for n := 1; n <= 2; n++ {
			m.supplied(power.State{Battery: true, Charge: 10})
			m.pass(letGoAfter + 2*supplyLook)
			if len(m.runs.told) == 0 || errs.CodeOf(m.runs.told[0]) != codeSpared {
				t.Fatalf("on its battery: %v", m.runs.told)
			}
			m.runs.endFor(outcomeFailed, codeSpared)
			m.pass(5 * time.Minute)
			m.wantRuns(n)
			m.wantWait(job.OnBattery)
			m.supplied(power.State{})
			m.pass(supplyLook + time.Second)
			m.wantRuns(n + 1)
			m.runs.set(func() { m.runs.told = nil })
		}
		if j := m.st.state.GetJobs()[0]; j.GetTries() != 0 || j.GetRunning() != "b3" {
			t.Errorf("the run that goes on: %v", j)
		}
	})
}

func TestARuleThatIsTakenBackHoldsNothingAnyMore(t *testing.T) {
	managing(t, "run once", func(t *testing.T, m *managed) {
		m.sparing()
		m.supplied(power.State{Battery: true})
		m.pass(time.Hour + time.Minute)
		m.wantRuns(0)
		if _, err := m.st.put([]*keepwardv1.AgentPolicy{hourly("run once", "c1")}); err != nil {
			t.Fatal(err)
		}
		m.pass(time.Second)
		m.wantRuns(1)
	})
}
