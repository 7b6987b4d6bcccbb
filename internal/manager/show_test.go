package manager

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// crowd starts a session of web1 and of so many computers that it is not shown at every turn.
func (w *world) crowd() (id int64, attempt string) {
	w.t.Helper()
	names := []string{"web1"}
	w.write(func(ctx context.Context, tx *sql.Tx) error {
		for i := range 2 * fewTasks {
			names = append(names, fmt.Sprintf("pc%03d", i))
			if err := catalog.JoinComputer(ctx, tx, names[len(names)-1], time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	w.setJob(theJobOf(names...))
	w.connect()
	id = w.run()
	return id, w.agents["web1"].only(w.t)
}

func TestTheProgressOfManyTasksIsShownNowAndThen(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		id, web1 := w.crowd()
		time.Sleep(2 * watchEvery)
		synctest.Wait()
		report := func(n int64) {
			w.must(w.m.Progress(t.Context(), agentOf("web1"), web1, &keepwardv1.Progress{Phase: "transfer", Counters: &keepwardv1.Counters{DoneBytes: n}}))
			synctest.Wait()
		}
		done := func() int64 { return w.session(id).GetTasks()[0].GetProgress().GetCounters().GetDoneBytes() }
		report(1)
		if done() != 1 {
			t.Errorf("what is new after a while is shown as %d, want 1", done())
		}
		shown := w.session(id)
		for n := range int64(5) {
			report(2 + n)
			w.beat(agentOf("web1"), w.agents["web1"].boot(), []string{web1})
		}
		if w.session(id) != shown {
			t.Errorf("all of the session was made anew for each report of progress")
		}
		time.Sleep(watchEvery)
		synctest.Wait()
		if done() != 6 {
			t.Errorf("the last progress is shown as %d, want 6", done())
		}
		shown = w.session(id)
		time.Sleep(time.Hour)
		w.beat(agentOf("web1"), w.agents["web1"].boot(), []string{web1})
		if w.session(id) != shown {
			t.Error("a session of which nothing is new was made anew")
		}
	})
}

func TestWhoChangesOneOfManyTasksIsShownTheChange(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		id, _ := w.crowd()
		res, err := w.m.KillSession(t.Context(), connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id, Task: "pc007"}))
		w.must(err)
		for _, task := range res.Msg.GetSession().GetTasks() {
			if task.GetComputer() == "pc007" && job.Status(task.GetStatus()) != job.Killed {
				t.Errorf("the killed task is shown as %s", task.GetStatus())
			}
		}
		_, err = w.m.KillSession(t.Context(), connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id}))
		w.must(err)
		w.expect(id, job.KillPending, "")
		w.transports[theNode].drop(w.agents["web1"].only(t))
		w.end(agentOf("web1"), w.agents["web1"].only(t), failed("cancelled", "stopped"))
		w.end(transportOf(theNode), w.agents["web1"].only(t), failed("cancelled", "stopped"))
		w.expect(id, job.Killed, "")
	})
}
