package manager

import (
	"testing"
	"time"

	"keepward/internal/job"
)

func TestDefaultsOfTheSettings(t *testing.T) {
	p := &Knobs{}
	if p.Int("session_retries") != 3 || p.Duration("session_retry_after") != 10*time.Minute || p.Text("duplicates") != "queue" ||
		p.Bool("total_running_time_limit") || p.Duration("total_running_time") != 6*time.Hour || p.Text("total_running_time_end") != "kill" ||
		p.Int("attempts") != 10 || p.Int("attempts_restore") != 144 || p.Duration("restart_interval") != 20*time.Minute {
		t.Error("a setting has another default than the design")
	}
	for _, name := range []string{"total_running_time_limit", "total_running_time", "total_running_time_end", "session_retries", "session_retry_after", "duplicates"} {
		if s, ok := job.Named(name); !ok || !s.Turned() {
			t.Errorf("%s cannot be turned", name)
		}
	}
}

func TestRunningTimeHasNoLimitUnlessItIsSwitchedOn(t *testing.T) {
	site(t, func(_ *testing.T, w *world) {
		w.connect()
		id := w.run()
		w.pass(48 * time.Hour)
		w.expect(id, job.Running, "")
	})
}

func TestASessionThatRunsTooLongIsKilled(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setting("total_running_time_limit", "on")
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.pass(6*time.Hour - time.Second)
		w.expect(id, job.Running, "")
		w.pass(time.Second)
		w.expect(id, job.KillPending, "")
		w.obeyStop(attempt)
		w.expect(id, job.Killed, "")
	})
}

func TestASessionThatRunsTooLongIsCommitted(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setting("total_running_time_limit", "on")
		w.setting("total_running_time", "1h")
		w.setting("total_running_time_end", "commit")
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.pass(time.Hour)
		w.expect(id, job.KillPending, "")
		if len(w.agents["web1"].early) != 1 {
			t.Fatalf("the agent was told to end early %d times", len(w.agents["web1"].early))
		}
		w.moverKeeps(attempt)
		w.agentDone("web1", attempt, nil)
		w.expect(id, job.Committed, "")
	})
}

// The time runs from the first start on: over a wait for the next attempt, and over a restart of
// the server. Before the first start it does not.
func TestRunningTimeCountsFromTheFirstStart(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setting("total_running_time_limit", "on")
		w.setting("total_running_time", "1h")
		id := w.run()
		w.pass(3 * time.Hour)
		w.expect(id, job.Waiting, job.TransportOffline)
		w.connect()
		w.expect(id, job.Running, "")
		w.pass(30 * time.Minute)
		w.reopen()
		w.connect()
		w.pass(29 * time.Minute)
		w.expect(id, job.Running, "")
		attempt := w.agents["web1"].only(t)
		w.pass(2 * time.Minute)
		w.expect(id, job.KillPending, "")
		w.obeyStop(attempt)
		w.expect(id, job.Killed, "")
	})
}

// What runs too long by a limit that is set only now ends now.
func TestALimitThatIsSwitchedOnHoldsForWhatRuns(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		id := w.run()
		w.connect()
		w.expect(id, job.Running, "")
		time.Sleep(7 * time.Hour)
		w.agentDown("web1") // no heartbeat has the session look
		w.setting("total_running_time_limit", "on")
		w.expect(id, job.KillPending, "")
	})
}
