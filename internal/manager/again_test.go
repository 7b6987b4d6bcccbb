package manager

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"keepward/internal/job"
)

// blocked has the catalog refuse new sessions, as a full disk does, until the answer is called.
func (w *world) blocked() (free func()) {
	w.t.Helper()
	exec := func(statement string) {
		w.write(func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, statement)
			return err
		})
	}
	exec(`CREATE TRIGGER full BEFORE INSERT ON sessions BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
	return func() { exec(`DROP TRIGGER full`) }
}

func TestADueRunThatCouldNotBeWrittenIsMadeUpFor(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := jobOf(theJob, "daily 03:00", "web1")
		w.setJob(j)
		w.connect()
		rule, _ := scheduleOf(j)
		at, _ := rule.Next(time.Now())
		w.pass(time.Until(at) - time.Hour)
		free := w.blocked()
		w.pass(2 * time.Hour) // the moment passes
		if list := w.of(theJob); len(list) != 0 {
			t.Fatalf("%d sessions on a full disk", len(list))
		}
		free()
		w.pass(2 * lookAgain)
		list := w.of(theJob)
		if len(list) != 1 {
			t.Fatalf("when there is room again there are %d sessions, want 1", len(list))
		}
		w.expect(list[0].GetId(), job.Running, "")
		w.finish("web1")
		w.pass(time.Hour)
		if list := w.of(theJob); len(list) != 1 {
			t.Errorf("it was made up for %d times", len(list))
		}
	})
}

func TestADueRunOutlivesAServerThatEndsWhileItCannotBeWritten(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := jobOf(theJob, "daily 03:00", "web1")
		w.setJob(j)
		w.connect()
		rule, _ := scheduleOf(j)
		at, _ := rule.Next(time.Now())
		w.pass(time.Until(at) - time.Hour)
		free := w.blocked()
		w.pass(2 * time.Hour)
		w.reopen()
		free()
		w.connect()
		w.pass(2 * lookAgain)
		if list := w.of(theJob); len(list) != 1 {
			t.Errorf("after a restart there are %d sessions, want 1", len(list))
		}
	})
}

func TestMaintenanceThatCouldNotBeWrittenIsMadeUpFor(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		free := w.blocked()
		w.pass(25 * time.Hour)
		sweeps := func() (n int) {
			list, err := w.m.ActiveSessions(t.Context(), 0)
			w.must(err)
			for _, s := range list {
				if job.Type(s.GetType()) == job.Sweep {
					n++
				}
			}
			return n
		}
		if sweeps() != 0 {
			t.Fatal("there is a sweep on a full disk")
		}
		free()
		if w.pass(2 * lookAgain); sweeps() != 1 {
			t.Errorf("when there is room again there are %d sweeps, want 1", sweeps())
		}
	})
}
