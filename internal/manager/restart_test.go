package manager

import (
	"context"
	"database/sql"
	"testing"
	"testing/synctest"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// A restart of the server is a kill: reopen starts another manager on what was written.

func TestRestartWhileRunningAdoptsTheAttempt(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.reopen()
		w.expect(id, job.RunningUnverified, job.HeartbeatLost)
		w.agentUp("web1")
		w.expect(id, job.RunningUnverified, job.HeartbeatLost)
		w.transportUp()
		w.expect(id, job.Running, "")
		if got := w.agents["web1"].only(t); got != attempt {
			t.Errorf("the attempt is now %s, was %s", got, attempt)
		}
		w.finish("web1")
		w.expect(id, job.Completed, "")
	})
}

func TestNodesThatEndedMeanwhileReportLate(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.reopen()
		w.finish("web1") // ends are delivered before any heartbeat
		w.expect(id, job.Completed, "")
		if p := w.points(); len(p) != 1 || p[0].GetId() != attempt {
			t.Errorf("catalog has points %v", p)
		}
	})
}

func TestOneEndBeforeTheRestartAndOneAfter(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.agentDone("web1", attempt, nil)
		w.reopen()
		w.transportUp()
		w.moverCommits(attempt)
		w.expect(id, job.Completed, "")
	})
}

func TestNobodyComesBackAfterTheRestart(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.reopen()
		w.pass(2*time.Minute + time.Second)
		w.expect(id, job.Pending, job.HeartbeatLost)
		w.transportUp()
		if w.transports[theNode].names[attempt] != "tombstone" {
			t.Error("the attempt was not cut off when its transport came back")
		}
		w.agentUp("web1") // still runs the old attempt, and is told to drop it
		w.pass(3 * time.Second)
		w.expect(id, job.Running, "")
		if got := w.agents["web1"].only(t); got == attempt {
			t.Error("the agent still runs the attempt that was cut off")
		}
		w.finish("web1")
		w.expect(id, job.Completed, "")
	})
}

func TestMoverCommittedWhileTheServerWasDownAndNobodySaysSo(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.put(attempt)
		w.agents["web1"].restart()
		delete(w.transports[theNode].movers, attempt)
		w.reopen()
		w.connect()
		w.pass(45 * time.Second)
		w.expect(id, job.CompletedWithWarnings, "")
		if len(w.points()) != 1 {
			t.Error("the point is not in the catalog")
		}
	})
}

func TestRestartWhileTheOrderWasOnItsWay(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.agents["web1"].hang = true
		id := w.run()
		attempt := w.transports[theNode].started[0].GetOrder().GetAttempt()
		w.reopen()
		w.agents["web1"].hang = false
		w.connect()
		w.pass(3 * time.Second)
		w.expect(id, job.Running, "")
		if w.transports[theNode].names[attempt] != "tombstone" {
			t.Error("the doubtful attempt was not cut off")
		}
		w.finish("web1")
		w.expect(id, job.Completed, "")
	})
}

func TestOrderWhoseAnswerWasLostWithTheServerIsAdopted(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.write(func(ctx context.Context, tx *sql.Tx) error { // the server was killed before it wrote that the order was taken
			_, err := tx.ExecContext(ctx, `UPDATE attempts SET agent_ordered = 0`)
			return err
		})
		w.reopen()
		w.connect()
		w.expect(id, job.Running, "")
		if got := w.agents["web1"].only(t); got != attempt {
			t.Errorf("the attempt is now %s, was %s", got, attempt)
		}
		w.reopen()
		w.finish("web1")
		w.expect(id, job.Completed, "")
	})
}

func TestRestartWhileQueuedWaitingAndPending(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		waiting := w.run() // nobody is online
		queued := w.run()
		w.expect(waiting, job.Waiting, job.TransportOffline)
		w.expect(queued, job.Queued, job.Conflict)
		w.reopen()
		w.expect(waiting, job.Waiting, job.TransportOffline)
		w.expect(queued, job.Queued, job.Conflict)
		w.connect()
		attempt := w.agents["web1"].only(t)
		w.end(transportOf(theNode), attempt, failed(errs.Unavailable, "the mover's process is gone"))
		w.end(agentOf("web1"), attempt, failed(errs.Unavailable, "connection lost"))
		w.agents["web1"].restart()
		w.expect(waiting, job.Pending, job.RestartAt)
		w.reopen()
		w.expect(waiting, job.Pending, job.RestartAt)
		w.connect()
		w.pass(11 * time.Minute)
		w.expect(waiting, job.Running, "")
		w.finish("web1")
		w.expect(waiting, job.Completed, "")
		w.expect(queued, job.Running, "")
	})
}

func TestRestartWhileCleaningUp(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.end(agentOf("web1"), attempt, failed(errs.Invalid, "none of the include paths exists"))
		w.expect(id, job.Cleanup, "") // the mover's end is still awaited
		w.reopen()
		w.expect(id, job.Cleanup, "")
		w.connect()
		w.end(transportOf(theNode), attempt, failed(errs.Cancelled, "told to stop"))
		w.expect(id, job.Failed, "")
		if f := w.session(id).GetFailure(); f.GetMessage() != "none of the include paths exists" {
			t.Errorf("the failure is %v", f)
		}
	})
}

func TestRestartWhileKilling(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.killSession(id, "")
		w.expect(id, job.KillPending, "")
		w.reopen()
		w.expect(id, job.KillPending, "")
		w.connect()
		w.end(agentOf("web1"), attempt, failed(errs.Cancelled, "told to stop"))
		w.end(transportOf(theNode), attempt, failed(errs.Cancelled, "told to stop"))
		w.expect(id, job.Killed, "")
	})
}

func TestAgentThatRestartedWithTheServerIsNotMadeToWait(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.reopen()
		w.transportUp()
		w.agents["web1"].restart()
		w.end(agentOf("web1"), attempt, &keepwardv1.AttemptEnd{Outcome: outcomeFailed, Failure: &keepwardv1.Failure{
			Kind: string(errs.Unavailable), Code: "agent.restarted", Message: "the agent's process ended while the attempt ran",
		}})
		w.end(transportOf(theNode), attempt, failed(errs.Cancelled, "told to stop"))
		w.expect(id, job.Pending, job.RestartAt)
		w.agentUp("web1")
		w.pass(3 * time.Second)
		w.expect(id, job.Running, "")
	})
}

func TestHeartbeatsBeforeTheServerKnowsItsSessionsDropNothing(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		m := New(Deps{DB: w.db, Nodes: w}) // not serving yet
		drop, err := m.Heartbeat(t.Context(), agentOf("web1"), "b", nil)
		if err != nil || drop != nil {
			t.Errorf("Heartbeat answered %v, %v", drop, err)
		}
		synctest.Wait()
	})
}

func TestProgressOutlivesTheServer(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.moverCommits(attempt)
		w.agentDone("web1", attempt, &keepwardv1.Counters{DoneFiles: 42})
		w.reopen()
		if got := w.session(id).GetProgress().GetCounters(); got.GetDoneFiles() != 42 || got.GetStoredBytes() != 7 {
			t.Errorf("the session's counters are %v", got)
		}
	})
}
