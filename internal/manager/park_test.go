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

func (w *world) suspend(id int64) error {
	w.t.Helper()
	_, err := w.m.SuspendSession(w.t.Context(), connect.NewRequest(&keepwardv1.SuspendSessionRequest{Id: id}))
	synctest.Wait()
	return err
}

func (w *world) resume(id int64) error {
	w.t.Helper()
	_, err := w.m.ResumeSession(w.t.Context(), connect.NewRequest(&keepwardv1.ResumeSessionRequest{Id: id}))
	synctest.Wait()
	return err
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestSuspendLetsGoAndResumeGoesOnFromTheCheckpoint(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.transports[theNode].checkpoint = true
		id := w.run()
		first := w.agents["web1"].only(t)
		w.must(w.suspend(id))
		w.expect(id, job.SuspendPending, "")
		w.must(w.suspend(id)) // twice is once
		w.obeyStop(first)
		w.expect(id, job.Suspended, "")
		w.pass(24 * time.Hour)
		w.expect(id, job.Suspended, "")
		w.must(w.resume(id))
		w.expect(id, job.Running, "")
		second := w.agents["web1"].only(t)
		if second == first {
			t.Error("it went on with an attempt that was cut off")
		}
		if got := w.agents["web1"].backups[second].GetCheckpoint(); got != first {
			t.Errorf("it goes on from checkpoint %q, want %q", got, first)
		}
		w.finish("web1")
		w.expect(id, job.Completed, "")
		if got := w.session(id).GetTasks()[0].GetAttempt(); got != 2 {
			t.Errorf("it took %d attempts", got)
		}
	})
}

func TestAPauseOutlivesTheServerAndUsesUpNoRestarts(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		for range 5 { // more often than the job has attempts
			attempt := w.agents["web1"].only(t)
			w.must(w.suspend(id))
			w.obeyStop(attempt)
			w.reopen()
			w.expect(id, job.Suspended, "")
			w.connect()
			w.expect(id, job.Suspended, "")
			w.must(w.resume(id))
			w.expect(id, job.Running, "")
		}
		attempt := w.agents["web1"].only(t)
		w.end(transportOf(theNode), attempt, failed(errs.Unavailable, "gone"))
		w.end(agentOf("web1"), attempt, failed(errs.Unavailable, "gone"))
		w.expect(id, job.Pending, job.RestartAt)
	})
}

func TestSuspendWhileParked(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		id := w.run() // nobody is online
		w.expect(id, job.Waiting, job.TransportOffline)
		w.must(w.suspend(id))
		w.expect(id, job.Suspended, "")
		w.connect()
		w.expect(id, job.Suspended, "")
		w.must(w.resume(id))
		w.expect(id, job.Running, "")
		w.must(w.resume(id)) // of what runs: nothing changes
		w.expect(id, job.Running, "")
		w.killSession(id, "")
		w.expect(id, job.KillPending, "")
		err := w.suspend(id)
		if errs.CodeOf(err) != "session.not-suspended" {
			t.Errorf("suspending what is being killed: %v", err)
		}
	})
}

func TestResumeWhileItStillLetsGo(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.must(w.suspend(id))
		w.must(w.resume(id))
		w.expect(id, job.SuspendPending, "")
		w.obeyStop(attempt)
		w.expect(id, job.Running, "")
	})
}

func TestSuspendIsBounded(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.must(w.suspend(id))
		w.pass(job.DefaultLeavingLimit + time.Minute)
		w.expect(id, job.Suspended, "")
		if w.moverCommits(attempt) {
			t.Error("a mover that was cut off could still commit")
		}
	})
}

func TestKillAndSuspendOfASuspendedSession(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		id := w.run()
		w.must(w.suspend(id))
		w.must(w.suspend(id))
		w.killSession(id, "")
		w.expect(id, job.Killed, "")
		if err := w.resume(id); errs.CodeOf(err) != "session.not-resumed" {
			t.Errorf("resuming what is over: %v", err)
		}
	})
}

// oneStream leaves the repository a single stream.
func (w *world) oneStream() {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE repositories SET streams = 1`)
		return err
	})
	w.m.ConfigChanged()
	synctest.Wait()
}

func (w *world) verify() int64 {
	w.t.Helper()
	id, err := w.m.maintain(w.t.Context(), job.Verify, theRepo, &keepwardv1.CheckRepositoryRequest{Name: theRepo})
	w.must(err)
	synctest.Wait()
	return id
}

func TestABackupInterruptsAVerifyWhichComesBack(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.oneStream()
		w.connect()
		victim := w.verify()
		w.expect(victim, job.Running, "")
		by := w.run()
		w.expect(victim, job.InterruptPending, "")
		w.expect(by, job.Waiting, job.WaitingForSessions)
		if got, want := w.session(by).GetReason().GetText(), "waiting for sessions [1] to release the resources"; got != want {
			t.Errorf("reason %q, want %q", got, want)
		}
		attempt := w.transports[theNode].started[0].GetOrder().GetAttempt()
		w.end(transportOf(theNode), attempt, &keepwardv1.AttemptEnd{Outcome: outcomeAborted})
		w.expect(victim, job.Waiting, job.NoResources)
		w.expect(by, job.Running, "")
		w.finish("web1")
		w.expect(by, job.Completed, "")
		w.expect(victim, job.Running, "")
		tasks, err := catalog.Tasks(t.Context(), w.db.Read(), victim)
		w.must(err)
		if tasks[0].Preemptions != 1 || tasks[0].Interruptions != 1 || tasks[0].InterruptedFor != 0 {
			t.Errorf("the victim's row: %+v", tasks[0])
		}
	})
}

func TestAnInterruptionOutlivesTheServer(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.oneStream()
		w.connect()
		victim := w.verify()
		by := w.run()
		w.expect(victim, job.InterruptPending, "")
		w.reopen()
		w.connect()
		attempt := w.transports[theNode].started[0].GetOrder().GetAttempt()
		w.end(transportOf(theNode), attempt, &keepwardv1.AttemptEnd{Outcome: outcomeAborted})
		w.expect(by, job.Running, "")
		w.expect(victim, job.Waiting, job.NoResources)
		w.finish("web1")
		w.expect(victim, job.Running, "")
	})
}

func TestSuspendingAVictimKeepsItFromComingBack(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.oneStream()
		w.connect()
		victim := w.verify()
		w.run()
		w.must(w.suspend(victim))
		w.expect(victim, job.InterruptPending, "")
		attempt := w.transports[theNode].started[0].GetOrder().GetAttempt()
		w.end(transportOf(theNode), attempt, &keepwardv1.AttemptEnd{Outcome: outcomeAborted})
		w.expect(victim, job.Suspended, "")
		w.finish("web1")
		w.expect(victim, job.Suspended, "")
		w.must(w.resume(victim))
		w.expect(victim, job.Running, "")
	})
}

func TestAVictimThatWasDoneIsCompleted(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.oneStream()
		w.connect()
		victim := w.verify()
		by := w.run()
		w.expect(victim, job.InterruptPending, "")
		attempt := w.transports[theNode].started[0].GetOrder().GetAttempt()
		w.end(transportOf(theNode), attempt, done(nil))
		w.expect(victim, job.Completed, "")
		w.expect(by, job.Running, "")
	})
}

// Between the look at a session and the order to it somebody else may have been quicker: the task
// itself has the last word, and who asked is told.
func TestWhoComesTooLateIsTold(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		task := w.session(id).GetTasks()[0].GetId()
		attempt := w.agents["web1"].only(t)
		live := w.m.liveSession(id)
		ask := func(ev any) string {
			took, err := live.ask(t.Context(), task, ev)
			if !took {
				return "over"
			}
			return errs.CodeOf(err)
		}
		for _, step := range []struct {
			ev         any
			code, line string
		}{
			{evSuspend{"ann"}, "", "Running > Suspend Pending"},
			{evResume{"bob"}, "", "bob wants it to go on"},
			{evResume{"ann"}, "", ""},
			{evSuspend{"bob"}, "", "bob wants a pause"},
			{evKill{"ann"}, "", "Suspend Pending > Kill Pending"},
			{evKill{"bob"}, "", "bob wants it to end too: it ends as ann has asked for"},
			{evCommit{"bob"}, "", "bob wants it to end too"},
			{evSuspend{"bob"}, "session.not-suspended", "suspending was refused: it is Kill Pending"},
		} {
			before := w.log(id)
			if got := ask(step.ev); got != step.code {
				t.Errorf("%T is answered %q, want %q", step.ev, got, step.code)
			}
			if told := strings.TrimPrefix(w.log(id), before); !strings.Contains(told, step.line) {
				t.Errorf("%T: the log says %q, want %q", step.ev, told, step.line)
			}
		}
		w.obeyStop(attempt)
		w.expect(id, job.Killed, "")
		if got := ask(evSuspend{"bob"}); got != "over" {
			t.Errorf("suspending what is over: %q", got)
		}
	})
}
