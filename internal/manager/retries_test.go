package manager

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// scheduled starts a session as a schedule does.
func (w *world) scheduled() int64 {
	w.t.Helper()
	id, err := w.m.runJobFrom(w.t.Context(), theJob, request{by: bySchedule})
	w.must(err)
	synctest.Wait()
	return id
}

// fail has the one running backup of a computer fail for good.
func (w *world) fail(name string) {
	w.t.Helper()
	attempt := w.agents[name].only(w.t)
	w.agents[name].restart()
	w.end(agentOf(name), attempt, failed(errs.Denied, "may not"))
	w.end(transportOf(theNode), attempt, failed(errs.Cancelled, "the agent gave up"))
	w.pass(15 * time.Second)
}

// newest is the newest session of the job.
func (w *world) newest() *keepwardv1.Session {
	w.t.Helper()
	list, err := w.m.RecentSessions(w.t.Context(), theJob, 1)
	w.must(err)
	return list[0]
}

func (w *world) retry(id int64) (int64, error) {
	res, err := w.m.RetrySession(w.t.Context(), connect.NewRequest(&keepwardv1.RetrySessionRequest{Id: id}))
	synctest.Wait()
	if err != nil {
		return 0, err
	}
	return res.Msg.GetSession(), nil
}

func TestAScheduledSessionIsRetriedWithItsFailedTasksOnly(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(theJobOf("web1", "web2"))
		w.connect()
		first := w.scheduled()
		w.finish("web2")
		w.fail("web1")
		w.expect(first, job.CompletedWithErrors, "")
		if s := w.session(first); !s.GetRetryAt().AsTime().Equal(s.GetEnded().AsTime().Add(10 * time.Minute)) {
			t.Fatalf("it ended at %v and is retried at %v", s.GetEnded().AsTime(), s.GetRetryAt().AsTime())
		}
		w.pass(9 * time.Minute)
		if got := w.newest().GetId(); got != first {
			t.Fatalf("session %d is there too early", got)
		}
		last := first
		for n := range 3 {
			w.pass(2 * time.Minute)
			s := w.newest()
			if s.GetId() == last || s.GetOrigin() != last || s.GetRetry() != int32(n+1) || len(s.GetTasks()) != 1 || s.GetTasks()[0].GetComputer() != "web1" {
				t.Fatalf("retry %d is %v", n+1, s)
			}
			if w.session(last).GetRetryAt() != nil {
				t.Error("what was retried is to be retried again")
			}
			last = s.GetId()
			w.fail("web1")
			w.expect(last, job.Failed, "")
			w.pass(9 * time.Minute)
		}
		w.pass(time.Hour)
		if got := w.newest().GetId(); got != last {
			t.Errorf("session %d is a fourth retry", got)
		}
	})
}

// refused has the one running backup of a computer fail because a database does not let it in.
func (w *world) refused(name string) {
	w.t.Helper()
	attempt := w.agents[name].only(w.t)
	w.agents[name].restart()
	end := failed(errs.Denied, "password authentication failed")
	end.Failure.Code = "application.denied"
	w.end(agentOf(name), attempt, end)
	w.end(transportOf(theNode), attempt, failed(errs.Cancelled, "the agent gave up"))
	w.pass(15 * time.Second)
}

// A wrong password is not tried again, neither by its task nor by its session, until somebody says so.
func TestWhoIsNotLetInToADatabaseIsNotRetriedBySelf(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(theJobOf("web1", "web2"))
		w.connect()
		first := w.scheduled()
		w.finish("web2")
		w.refused("web1")
		w.expect(first, job.CompletedWithErrors, "")
		if log := w.log(first); !strings.Contains(log, "keepward session retry") || !strings.Contains(log, "password authentication failed") {
			t.Errorf("the log does not say why, nor what to do:\n%s", log)
		}
		w.pass(2 * time.Hour)
		if s := w.newest(); s.GetId() != first || s.GetTasks()[0].GetAttempt() > 1 {
			t.Fatalf("it was tried again by itself: %v", s)
		}
		again, err := w.retry(first)
		w.must(err)
		if s := w.session(again); len(s.GetTasks()) != 1 || s.GetTasks()[0].GetComputer() != "web1" {
			t.Errorf("the retry that somebody asked for is %v", s)
		}
	})
}

// What failed beside it for another reason is.
func TestARetryLeavesOutWhoIsNotLetIn(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(theJobOf("web1", "web2"))
		w.connect()
		first := w.scheduled()
		w.refused("web1")
		w.fail("web2")
		w.pass(11 * time.Minute)
		if s := w.newest(); s.GetOrigin() != first || len(s.GetTasks()) != 1 || s.GetTasks()[0].GetComputer() != "web2" {
			t.Errorf("the retry is %v", s)
		}
	})
}

func TestARetryOutlivesTheServerAndIsDoneOnce(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		first := w.scheduled()
		w.fail("web1")
		w.kill()
		time.Sleep(time.Hour)
		w.start()
		w.connect()
		w.pass(time.Minute)
		if s := w.newest(); s.GetOrigin() != first || s.GetStatus() != string(job.Running) {
			t.Fatalf("the newest session is %v", s)
		}
		id := w.newest().GetId()
		w.reopen()
		w.connect()
		w.pass(time.Hour)
		if got := w.newest().GetId(); got != id {
			t.Errorf("session %d retries the same once more", got)
		}
	})
}

// A retry goes by its job as that is now.
func TestARetryHasThePriorityOfItsJob(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.scheduled()
		w.fail("web1")
		j := theJobOf("web1")
		j.HighPriority = true
		w.setJob(j)
		w.pass(11 * time.Minute)
		if s := w.newest(); s.GetRetry() != 1 || s.GetPriority() != 106 {
			t.Errorf("retry %d has the priority %d", s.GetRetry(), s.GetPriority())
		}
	})
}

func TestWhatIsNotRetriedBySelf(t *testing.T) {
	for name, c := range map[string]func(t *testing.T, w *world){
		"a session that somebody started": func(_ *testing.T, w *world) { w.run(); w.fail("web1") },
		"a session that somebody killed": func(t *testing.T, w *world) {
			id := w.scheduled()
			attempt := w.agents["web1"].only(t)
			w.killSession(id, "")
			w.obeyStop(attempt)
			w.expect(id, job.Killed, "")
		},
		"a session that ended well": func(_ *testing.T, w *world) { w.scheduled(); w.finish("web1") },
		"a job that is disabled meanwhile": func(_ *testing.T, w *world) {
			w.scheduled()
			w.fail("web1")
			j := theJobOf("web1")
			j.Disabled = true
			w.setJob(j)
		},
		"a computer that the job has let go": func(_ *testing.T, w *world) {
			w.scheduled()
			w.fail("web1")
			w.setJob(theJobOf("web2"))
		},
		"a computer that a newer session has taken on": func(_ *testing.T, w *world) { w.scheduled(); w.fail("web1"); w.run() },
		"a job that is gone": func(_ *testing.T, w *world) {
			w.scheduled()
			w.fail("web1")
			w.write(func(ctx context.Context, tx *sql.Tx) error { return catalog.DeleteJob(ctx, tx, theJob) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				w.connect()
				c(t, w)
				before := w.newest().GetId()
				w.pass(time.Hour)
				if got := w.newest(); got.GetId() != before {
					t.Errorf("session %v is a retry", got)
				}
				left, err := catalog.Retries(t.Context(), w.db.Read())
				if err != nil || len(left) != 0 {
					t.Errorf("retries are planned: %v, %v", left, err)
				}
			})
		})
	}
}

func TestRetryByHand(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(theJobOf("web1", "web2"))
		w.connect()
		id := w.run()
		if _, err := w.retry(id); errs.CodeOf(err) != "session.not-over" {
			t.Fatalf("a session that runs was retried: %v", err)
		}
		w.finish("web2")
		attempt := w.agents["web1"].only(t)
		w.killSession(id, "")
		w.obeyStop(attempt)
		w.expect(id, job.CompletedWithErrors, "")
		again, err := w.retry(id)
		w.must(err)
		s := w.session(again)
		if s.GetOrigin() != id || s.GetRetry() != 0 || s.GetUser() != "ann" || len(s.GetTasks()) != 1 || s.GetTasks()[0].GetComputer() != "web1" {
			t.Fatalf("the retry is %v", s)
		}
		w.finish("web1")
		w.expect(again, job.Completed, "")
		if _, err := w.retry(again); errs.CodeOf(err) != "session.nothing-to-retry" {
			t.Errorf("what is done was retried: %v", err)
		}
		if _, err := w.retry(999); errs.CodeOf(err) != "session.unknown" {
			t.Errorf("what is not there was retried: %v", err)
		}
	})
}

// A retry by hand takes the place of the one that was planned.
func TestRetryByHandEndsThePlannedOne(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		first := w.scheduled()
		w.fail("web1")
		again, err := w.retry(first)
		w.must(err)
		w.fail("web1")
		w.expect(again, job.Failed, "")
		w.pass(time.Hour)
		if got := w.newest().GetId(); got != again {
			t.Errorf("session %d retries the first one all the same", got)
		}
	})
}
