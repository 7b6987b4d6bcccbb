package manager

import (
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

func (w *world) killSession(id int64, task string) {
	w.t.Helper()
	_, err := w.m.KillSession(w.t.Context(), connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id, Task: task}))
	if err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

// obeyStop reports the ends of both nodes after stop orders, as they must have come.
func (w *world) obeyStop(attempt string) {
	w.t.Helper()
	if len(w.agents["web1"].stops) == 0 || len(w.transports[theNode].stops) == 0 {
		w.t.Fatalf("stop orders: agent %v, transport %v", w.agents["web1"].stops, w.transports[theNode].stops)
	}
	w.agents["web1"].restart()
	w.end(agentOf("web1"), attempt, &keepwardv1.AttemptEnd{Outcome: outcomeAborted})
	w.end(transportOf(theNode), attempt, &keepwardv1.AttemptEnd{Outcome: outcomeAborted})
}

func TestKillWhileRunning(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.killSession(id, "")
		w.expect(id, job.KillPending, "")
		w.obeyStop(attempt)
		w.expect(id, job.Killed, "")
		if w.transports[theNode].names[attempt] != "tombstone" {
			t.Error("the killed attempt was not cut off")
		}
	})
}

func TestKillIsBounded(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.killSession(id, "")
		w.pass(5*time.Minute - time.Second)
		w.expect(id, job.KillPending, "")
		w.pass(time.Minute)
		w.expect(id, job.Killed, "")
		if w.moverCommits(attempt) {
			t.Error("a mover that was cut off could still commit")
		}
	})
}

func TestKillThatCannotReachTheTransport(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.transportDown()
		w.killSession(id, "")
		w.pass(6 * time.Minute)
		w.expect(id, job.Killed, "")
		w.put(attempt) // nobody could stop the mover
		w.transportUp()
		w.expect(id, job.Killed, "")
		if p := w.points(); len(p) != 1 || p[0].GetId() != attempt {
			t.Error("a point that exists is not in the catalog")
		}
		if got := w.session(id).GetTasks()[0].GetPoint(); got != attempt {
			t.Errorf("the task's point is %q", got)
		}
	})
}

func TestKillComesTooLate(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.put(attempt) // the mover has not said so yet
		w.killSession(id, "")
		w.agentDone("web1", attempt, nil)
		w.moverReports(attempt)
		w.expect(id, job.Completed, "")
	})
}

func TestKillWhileParked(t *testing.T) {
	for _, c := range []struct {
		name string
		want job.Status
		to   func(t *testing.T, w *world) int64
	}{
		{"Queued", job.Queued, func(_ *testing.T, w *world) int64 { w.connect(); w.run(); return w.run() }},
		{"Waiting", job.Waiting, func(_ *testing.T, w *world) int64 { return w.run() }},
		{"Pending", job.Pending, func(t *testing.T, w *world) int64 {
			w.connect()
			id := w.run()
			attempt := w.agents["web1"].only(t)
			w.end(transportOf(theNode), attempt, failed(errs.Unavailable, "gone"))
			w.end(agentOf("web1"), attempt, failed(errs.Unavailable, "gone"))
			return id
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				id := c.to(t, w)
				if got := w.session(id).GetStatus(); got != string(c.want) {
					t.Fatalf("session is %s", got)
				}
				w.killSession(id, "")
				w.expect(id, job.Killed, "")
			})
		})
	}
}

func TestKillWhileAnOrderIsOnItsWay(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.agents["web1"].hang = true
		id := w.run()
		w.killSession(id, "")
		w.expect(id, job.KillPending, "")
		w.pass(31 * time.Second)
		attempt := w.transports[theNode].started[0].GetOrder().GetAttempt()
		w.end(transportOf(theNode), attempt, failed(errs.Cancelled, "told to stop"))
		w.expect(id, job.Killed, "")
	})
}

func TestKillOneTask(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(theJobOf("web1", "web2"))
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.killSession(id, "web1")
		w.expect(id, job.Running, "")
		w.obeyStop(attempt)
		w.finish("web2")
		w.expect(id, job.CompletedWithErrors, "")
		if s := w.session(id).GetTasks()[0].GetStatus(); s != string(job.Killed) {
			t.Errorf("the killed task is %s", s)
		}
	})
}

func TestKillOfWhatIsOverChangesNothing(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		w.finish("web1")
		for _, task := range []string{"", "web1"} {
			res, err := w.m.KillSession(t.Context(), connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id, Task: task}))
			if err != nil || !res.Msg.GetOver() || res.Msg.GetSession().GetStatus() != string(job.Completed) {
				t.Errorf("kill answered %v, %v", res, err)
			}
		}
	})
}
