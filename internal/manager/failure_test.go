package manager

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// pass lets time go by, with heartbeats from the nodes that are online.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	const beat = 15 * time.Second
	for d > 0 {
		step := min(d, beat)
		time.Sleep(step)
		synctest.Wait()
		d -= step
		if step == beat {
			w.beatAll()
		}
	}
}

func (w *world) beatAll() {
	for name, a := range w.agents {
		if _, ok := w.Agent(name); ok {
			w.beat(agentOf(name), a.boot(), a.running())
		}
	}
	if _, ok := w.Transport(theNode); ok {
		w.beat(transportOf(theNode), "boot-t", w.transports[theNode].running())
	}
}

func TestAgentThatRestartsLosesItsAttemptAndBacksUpAgain(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.transports[theNode].checkpoint = true
		w.connect()
		id := w.run()
		first := w.agents["web1"].only(t)
		w.agentDown("web1")
		w.agents["web1"].restart()
		w.expect(id, job.Running, "")
		w.agentUp("web1") // a new process: its first heartbeat does not name the attempt
		w.pass(11 * time.Second)
		if w.transports[theNode].names[first] != "tombstone" {
			t.Error("the lost attempt was not cut off before the next")
		}
		w.pass(4 * time.Second)
		w.expect(id, job.Running, "")
		second := w.agents["web1"].only(t)
		if second == first {
			t.Fatal("the lost attempt was started again under its name")
		}
		if got := w.agents["web1"].backups[second].GetCheckpoint(); got != first {
			t.Errorf("the second attempt goes on from %q, want %q", got, first)
		}
		w.finish("web1")
		w.expect(id, job.Completed, "")
	})
}

func TestAgentThatStaysAway(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		w.agentDown("web1")
		w.pass(44 * time.Second)
		w.expect(id, job.Running, "")
		w.pass(2 * time.Second)
		w.expect(id, job.RunningUnverified, job.AgentOffline)
		w.pass(5 * time.Minute)
		w.expect(id, job.Pending, job.RestartAt)
		w.agents["web1"].restart()
		w.agentUp("web1") // its return ends the wait
		w.pass(3 * time.Second)
		w.expect(id, job.Running, "")
		w.finish("web1")
		w.expect(id, job.Completed, "")
	})
}

func TestAgentThatWasOnlyUnreachableGoesOn(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		w.agentDown("web1")
		w.pass(time.Minute)
		w.expect(id, job.RunningUnverified, job.AgentOffline)
		w.agentUp("web1")
		w.expect(id, job.Running, "")
		w.finish("web1")
		w.expect(id, job.Completed, "")
		if n := w.session(id).GetTasks()[0].GetAttempt(); n != 1 {
			t.Errorf("it took %d attempts", n)
		}
	})
}

func TestMoverLostIsTriedAgainAfterTheInterval(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.end(transportOf(theNode), attempt, failed(errs.Unavailable, "the mover's process is gone"))
		w.end(agentOf("web1"), attempt, failed(errs.Unavailable, "connection to the mover lost"))
		w.agents["web1"].restart()
		w.expect(id, job.Pending, job.RestartAt)
		w.pass(9 * time.Minute)
		w.expect(id, job.Pending, job.RestartAt)
		w.pass(2 * time.Minute)
		w.expect(id, job.Running, "")
	})
}

func TestMoverThatCommittedAndDiedIsCompleted(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.put(attempt)
		w.end(transportOf(theNode), attempt, failed(errs.Unavailable, "the mover's process is gone"))
		w.pass(11 * time.Second)
		w.expect(id, job.CompletedWithWarnings, "") // the agent's report is missing
		if len(w.points()) != 1 {
			t.Error("the point is not in the catalog")
		}
	})
}

func TestTransportLost(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.transportDown()
		w.end(agentOf("web1"), attempt, failed(errs.Unavailable, "connection to the mover lost"))
		w.agents["web1"].restart()
		w.expect(id, job.Pending, job.RestartAt)
		w.pass(11 * time.Minute)
		w.expect(id, job.Waiting, job.TransportOffline)
		w.transportUp()
		w.expect(id, job.Running, "")
		if w.transports[theNode].names[attempt] != "tombstone" {
			t.Error("the next attempt began before the lost one was cut off")
		}
		w.finish("web1")
		w.expect(id, job.Completed, "")
	})
}

func TestTransportLostWhileItsMoverCommits(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.transportDown()
		w.put(attempt)
		w.end(agentOf("web1"), attempt, failed(errs.Unavailable, "connection to the mover lost"))
		w.expect(id, job.Pending, job.RestartAt)
		w.transportUp()
		w.expect(id, job.Completed, "")
		if len(w.points()) != 1 {
			t.Error("the point is not in the catalog")
		}
	})
}

func TestPermanentFailures(t *testing.T) {
	for _, kind := range []errs.Kind{errs.Denied, errs.Invalid, errs.NoSpace, errs.Corrupt, errs.NotFound, errs.Internal} {
		t.Run(string(kind), func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				w.connect()
				id := w.run()
				attempt := w.agents["web1"].only(t)
				w.end(agentOf("web1"), attempt, failed(errs.Unavailable, "connection to the mover lost")) // the echo comes first
				w.end(transportOf(theNode), attempt, failed(kind, "the very cause"))
				w.expect(id, job.Failed, "")
				if f := w.session(id).GetFailure(); f.GetMessage() != "the very cause" || f.GetKind() != string(kind) || f.GetPart() != "mover" {
					t.Errorf("the failure is %v", f)
				}
			})
		})
	}
}

func TestFullRepositoryFailsEvenThoughNoTombstoneFits(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.transports[theNode].fenceFails = errs.New(errs.NoSpace, "", "put tombstone: no space left on device")
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.end(transportOf(theNode), attempt, failed(errs.NoSpace, "write pack: no space left on device"))
		w.end(agentOf("web1"), attempt, failed(errs.NoSpace, "write pack: no space left on device"))
		w.agents["web1"].restart()
		w.expect(id, job.Failed, "")

		w.transports[theNode].fenceFails = nil // space was made
		w.transportDown()
		w.transportUp()
		if w.transports[theNode].names[attempt] != "tombstone" {
			t.Error("the attempt was never cut off")
		}
		next := w.run()
		w.finish("web1")
		w.expect(next, job.Completed, "")
	})
}

func TestAttemptsAreUsedUp(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		for range 3 {
			attempt := w.agents["web1"].only(t)
			w.end(transportOf(theNode), attempt, failed(errs.Unavailable, "the mover's process is gone"))
			w.end(agentOf("web1"), attempt, failed(errs.Unavailable, "connection lost"))
			w.agents["web1"].restart()
			w.pass(11 * time.Minute)
		}
		w.expect(id, job.Failed, "")
		if !strings.Contains(w.log(id), "all 3 attempts are used up") {
			t.Errorf("the log does not say why:\n%s", w.log(id))
		}
	})
}

func TestOrderThatIsRefused(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.agents["web1"].refuse = errs.New(errs.Invalid, "backup.include", "none of the include paths exists")
		id := w.run()
		w.pass(11 * time.Second)
		w.expect(id, job.Failed, "")
		if f := w.session(id).GetFailure(); f.GetCode() != "backup.include" || f.GetPart() != "agent" {
			t.Errorf("the failure is %v", f)
		}
		if len(w.transports[theNode].stops) == 0 {
			t.Error("the mover was left running")
		}
	})
}

func TestOrderThatIsNotAnswered(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.agents["web1"].hang = true
		id := w.run()
		w.expect(id, job.Running, "")
		w.pass(45 * time.Second)
		w.expect(id, job.Pending, job.RestartAt)
	})
}

func TestEndIsTakenForDoneOnlyWithTheOther(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.moverCommits(attempt)
		w.expect(id, job.Running, "")
		if phase := w.session(id).GetPhase(); phase != job.PhaseFinish {
			t.Errorf("the phase is %q, want finish", phase)
		}
		w.pass(61 * time.Second) // the agent's end never comes
		w.expect(id, job.CompletedWithWarnings, "")
	})
}

func TestAgentThatSaysDoneWithoutItsMover(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.agentDone("web1", attempt, nil)
		w.pass(2 * time.Minute)
		w.expect(id, job.Pending, job.RestartAt)
		if w.transports[theNode].names[attempt] != "tombstone" || len(w.points()) != 0 {
			t.Error("the agent's word was taken for a point")
		}
	})
}

func TestAgentStoppedByItsHostIsTriedAgain(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.end(agentOf("web1"), attempt, &keepwardv1.AttemptEnd{Outcome: outcomeAborted})
		w.end(transportOf(theNode), attempt, failed(errs.Cancelled, "the agent left"))
		w.agents["web1"].restart()
		w.expect(id, job.Pending, job.RestartAt)
	})
}
