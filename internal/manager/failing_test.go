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
	"keepward/internal/errs"
	"keepward/internal/job"
)

func TestSessionsThatCannotBeWrittenStandStillAndItIsSaid(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		exec := func(statement string) {
			w.write(func(ctx context.Context, tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, statement)
				return err
			})
		}
		said := func() (text string) {
			for _, c := range w.m.Conditions() {
				if c.GetCode() == "catalog.not-written" {
					text += c.GetText()
				}
			}
			return text
		}
		if said() != "" {
			t.Errorf("before: %s", said())
		}
		exec(`CREATE TRIGGER full BEFORE UPDATE ON sessions BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
		began := time.Now()
		_, err := w.m.KillSession(t.Context(), connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id}))
		if took := time.Since(began); errs.CodeOf(err) != "session.stands-still" || took != demandMost {
			t.Errorf("after %s the user was told: %v", took, err)
		}
		if !strings.Contains(said(), "the disk is full") {
			t.Errorf("the condition is %q", said())
		}
		exec(`DROP TRIGGER full`)
		time.Sleep(2 * writeAgain)
		synctest.Wait()
		w.transports[theNode].drop(w.agents["web1"].only(t))
		w.end(agentOf("web1"), w.agents["web1"].only(t), failed("cancelled", "stopped"))
		w.end(transportOf(theNode), w.agents["web1"].only(t), failed("cancelled", "stopped"))
		w.expect(id, job.Killed, "") // nobody had to ask again
		if said() != "" {
			t.Errorf("after: %s", said())
		}
	})
}

// Who goes by the end of a session finds one that could not be written for a while.
func TestAnEndThatIsWrittenLateIsFollowed(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		exec := func(statement string) {
			w.write(func(ctx context.Context, tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, statement)
				return err
			})
		}
		w.setJob(jobOf("mail", "after docs", "web2"))
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		exec(`CREATE TRIGGER full BEFORE UPDATE ON sessions WHEN NEW.ended <> 0 BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
		if !w.moverCommits(attempt) {
			t.Fatal("the attempt was fenced")
		}
		w.mu.Lock()
		w.agents["web1"].forget(attempt)
		w.mu.Unlock()
		told := make(chan error, 1) // one answer, read at the end
		go func() { told <- w.m.End(t.Context(), agentOf("web1"), attempt, done(nil)) }()
		time.Sleep(3 * endsLate)
		synctest.Wait()
		w.m.ConfigChanged() // the schedules are looked at meanwhile
		time.Sleep(3 * endsLate)
		synctest.Wait()
		exec(`DROP TRIGGER full`)
		w.pass(time.Minute)
		<-told // how long the agent waited is another matter
		w.expect(id, job.Completed, "")
		if n := len(w.of("mail")); n != 1 {
			t.Errorf("it was followed %d times", n)
		}
	})
}
