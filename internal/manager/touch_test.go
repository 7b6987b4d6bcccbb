package manager

import (
	"testing"
	"testing/synctest"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// lost is an end of a mover that lost its agent, or of an agent that lost its mover.
func lost(code string) *keepwardv1.AttemptEnd {
	end := failed(errs.Unavailable, "the other side is gone")
	end.Failure.Code = code
	return end
}

// loseTouch has the mover of a backup end since its agent is gone, which the server has not
// noticed yet.
func (w *world) loseTouch(id int64, code string) {
	w.t.Helper()
	attempt := w.agents["web1"].only(w.t)
	w.end(transportOf(theNode), attempt, lost(code))
	w.agents["web1"].restart()
	w.pass(12 * time.Second)
	w.expect(id, job.Pending, job.RestartAt)
}

func TestAComputerThatGoesWhileItsTaskWaitsEndsTheWaitWhenItIsBack(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		w.loseTouch(id, "")
		w.agentDown("web1")
		w.pass(20 * time.Second)
		w.expect(id, job.Pending, job.RestartAt)
		w.agentUp("web1")
		w.pass(5 * time.Second)
		w.expect(id, job.Running, "")
	})
}

func TestANewLinkEndsTheWaitOfWhoLostTouch(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		w.loseTouch(id, "agent.lost")
		w.m.NodeOnline(agentOf("web1")) // the old link was not missed yet
		synctest.Wait()
		w.pass(5 * time.Second)
		w.expect(id, job.Running, "")
	})
}

func TestANewLinkDoesNotEndTheWaitForAnotherCause(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		w.end(transportOf(theNode), w.agents["web1"].only(t), lost("repository.io"))
		w.agents["web1"].restart()
		w.pass(12 * time.Second)
		w.m.NodeOnline(agentOf("web1"))
		w.pass(time.Minute)
		w.expect(id, job.Pending, job.RestartAt)
	})
}

func TestLostTouchIsTriedAgainSoonAndThenLessOften(t *testing.T) {
	for _, c := range []struct {
		code     string
		attempts int
		interval time.Duration
		want     time.Duration
	}{
		{"agent.lost", 1, 20 * time.Minute, time.Minute},
		{"mover.lost", 2, 20 * time.Minute, 4 * time.Minute},
		{"connection.lost", 3, 20 * time.Minute, 16 * time.Minute},
		{"connection.lost", 4, 20 * time.Minute, 20 * time.Minute},
		{"connection.lost", 100, 20 * time.Minute, 20 * time.Minute},
		{"agent.lost", 1, 30 * time.Second, 30 * time.Second},
		{"repository.io", 1, 20 * time.Minute, 20 * time.Minute},
	} {
		task := &task{interval: c.interval}
		task.row.Attempts = c.attempts
		if got := task.untilNext(lost(c.code).GetFailure()); got != c.want {
			t.Errorf("%s after %d attempts: %v, want %v", c.code, c.attempts, got, c.want)
		}
	}
}
