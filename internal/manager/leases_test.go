package manager

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"keepward/internal/broker"
	"keepward/internal/job"
)

// leak gives a stream to a task without its knowledge, as no path of the program should.
func (w *world) leak(task string, session int64) {
	w.m.dispatch(w.m.broker.Adopt(broker.Grant{
		Task: task, Session: session, Type: job.Backup,
		Holds: []broker.Hold{{ID: broker.ID{Kind: broker.Stream, Name: theRepo}, Count: 1}},
	}))
	synctest.Wait()
}

func (w *world) isHolding(task string, want bool) {
	w.t.Helper()
	if got := slices.Contains(w.m.broker.Holders(), task); got != want {
		w.t.Errorf("task %s holds resources: %v, want %v", task, got, want)
	}
}

func TestAReservationThatNobodyStandsBehindIsGivenBack(t *testing.T) {
	const past = 2*leaseTerm + time.Second
	tests := map[string]func(t *testing.T, w *world){
		"of a task that was never heard of": func(_ *testing.T, w *world) {
			w.leak("ghost", 99)
			w.isHolding("ghost", true)
			w.pass(past)
			w.isHolding("ghost", false)
		},
		"of a task that does not know of it": func(_ *testing.T, w *world) {
			w.run()
			queued := w.run()
			task := w.session(queued).GetTasks()[0].GetId()
			w.leak(task, queued)
			w.pass(past)
			w.isHolding(task, false)
			w.expect(queued, job.Queued, job.Conflict)
		},
		"of a task whose mover's end is reported": func(_ *testing.T, w *world) {
			id := w.run()
			attempt := w.finish("web1")
			task := w.session(id).GetTasks()[0].GetId()
			w.leak(task, id)
			w.moverReports(attempt) // again, as a transport does that was started anew
			w.isHolding(task, false)
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				w.connect()
				test(t, w)
			})
		})
	}
}

func TestTheSweepGoesThroughAllReservations(t *testing.T) {
	site(t, func(_ *testing.T, w *world) {
		w.connect()
		w.leak("ghost", 99)
		for range int(job.DefaultReservationCleanup/leaseTerm) - 1 { // its lease never runs out
			time.Sleep(leaseTerm - time.Second)
			w.m.broker.Renew("ghost")
		}
		w.isHolding("ghost", true)
		for range 70 {
			time.Sleep(leaseTerm - time.Second)
			w.m.broker.Renew("ghost")
		}
		synctest.Wait()
		w.isHolding("ghost", false)
	})
}

func TestTheSweepComesAsOftenAsItsSettingSays(t *testing.T) {
	site(t, func(_ *testing.T, w *world) {
		w.connect()
		w.setting("reservation_cleanup_interval", "5m")
		w.leak("ghost", 99)
		for range 9 {
			time.Sleep(leaseTerm - time.Second)
			w.m.broker.Renew("ghost")
		}
		synctest.Wait()
		w.isHolding("ghost", false)
	})
}

// Heartbeats that name the attempt renew its lease; where none come, a link that stands is proof
// of life. Who is gone keeps what it holds until its attempt is settled or given up.
func TestTheLeaseOfALivingTaskGoesOn(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		task := w.session(id).GetTasks()[0].GetId()
		time.Sleep(time.Hour)
		w.expect(id, job.Running, "")
		w.isHolding(task, true)
		w.agentDown("web1")
		time.Sleep(time.Second) // who went first is named
		w.transportDown()
		time.Sleep(2 * time.Minute)
		w.expect(id, job.RunningUnverified, job.AgentOffline)
		w.isHolding(task, true)
		if expired := w.m.broker.Expired(); !slices.Contains(expired, task) {
			t.Errorf("its lease has not run out, only those of %q", expired)
		}
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		w.isHolding(task, false)
		if s := w.session(id); s.GetStatus() != string(job.Pending) {
			t.Errorf("the session is %s", s.GetStatus())
		}
	})
}
