package manager

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// saved puts a job into the catalog and runs it.
func (w *world) saved(j *keepwardv1.Job) int64 {
	w.t.Helper()
	j.Repository = theRepo
	w.setJob(j)
	id, err := w.m.RunJob(w.t.Context(), j.GetName(), false)
	if err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
	return id
}

func TestSavedJobsOfMaintenanceRunAsTheirCommandsDo(t *testing.T) {
	for _, tt := range []struct {
		job  *keepwardv1.Job
		mode string
		end  *keepwardv1.AttemptEnd
	}{
		{
			&keepwardv1.Job{Name: "proof", Type: "verify", Check: &keepwardv1.CheckSelection{ReadData: true, SamplePercent: 25, Budget: durationpb.New(time.Hour)}},
			modeCheck, &keepwardv1.AttemptEnd{Outcome: outcomeDone, Check: &keepwardv1.CheckReport{Packs: 3}},
		},
		{
			&keepwardv1.Job{Name: "space", Type: "sweep", Compact: true},
			modeSweep, &keepwardv1.AttemptEnd{Outcome: outcomeDone, Sweep: &keepwardv1.SweepReport{Generation: 1, Done: true}},
		},
		{
			&keepwardv1.Job{Name: "lists", Type: "reconcile"},
			modeReconcile, &keepwardv1.AttemptEnd{Outcome: outcomeDone, Check: &keepwardv1.CheckReport{Packs: 3}},
		},
	} {
		t.Run(tt.job.GetType(), func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				w.connect()
				id := w.saved(tt.job)
				w.expect(id, job.Running, "")
				s := w.session(id)
				if s.GetType() != tt.job.GetType() || s.GetJob() != tt.job.GetName() {
					t.Errorf("the session is %v", s)
				}
				attempt := w.transports[theNode].running()[0]
				order := w.transports[theNode].movers[attempt]
				if order.GetMode() != tt.mode {
					t.Errorf("the mover's mode is %q, want %q", order.GetMode(), tt.mode)
				}
				if c := tt.job.GetCheck(); c != nil && (!order.GetReadData() || order.GetCheck().GetSample() != 0.25 || order.GetCheck().GetBudget().AsDuration() != time.Hour) {
					t.Errorf("the check goes as far as %v", order.GetCheck())
				}
				if tt.job.GetCompact() && order.GetSweep().GetCompactBelow() != compactThin {
					t.Errorf("the sweep is %v", order.GetSweep())
				}
				w.end(transportOf(theNode), attempt, tt.end)
				w.expect(id, job.Completed, "")
			})
		})
	}
}

func TestASavedJobOfRetentionMarksWhatIsToGo(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		keep := theJobOf("web1")
		keep.Retention = &keepwardv1.Retention{KeepLast: 1}
		w.run()
		w.finish("web1")
		time.Sleep(time.Hour)
		w.run()
		w.finish("web1")
		w.setJob(keep) // neither run has ended since
		id := w.saved(&keepwardv1.Job{Name: "age", Type: "retention"})
		w.expect(id, job.Completed, "")
		if r := w.session(id).GetReport().GetRetention(); r.GetDeleted() != 1 || r.GetKept() != 1 {
			t.Errorf("the report is %v", r)
		}
	})
}

func TestAJobOfMaintenanceStartsByItsSchedule(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.setJob(&keepwardv1.Job{Name: "lists", Type: "reconcile", Repository: theRepo, Schedule: "daily 12:00", Priority: 321})
		time.Sleep(13 * time.Hour)
		synctest.Wait()
		last, ok, err := catalog.LastSession(t.Context(), w.db.Read(), "lists")
		if err != nil || !ok || last.Type != job.Reconcile || last.StartedBy != bySchedule || last.Priority != 321 {
			t.Errorf("the last session is %+v (%v, %v)", last, ok, err)
		}
	})
}

func TestOnlyWhatMakesPointsRunsInFull(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(&keepwardv1.Job{Name: "lists", Type: "reconcile", Repository: theRepo})
		if _, err := w.m.RunJob(t.Context(), "lists", true); errs.CodeOf(err) != "job.not-full" {
			t.Errorf("a reconciliation in full: %v", err)
		}
	})
}

func TestDifferencesAreWarnings(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id, err := w.m.ReconcileRepository(t.Context(), theRepo)
		if err != nil {
			t.Fatal(err)
		}
		w.expect(id, job.Running, "")
		w.end(transportOf(theNode), w.transports[theNode].running()[0], &keepwardv1.AttemptEnd{Outcome: outcomeDone, Check: &keepwardv1.CheckReport{
			Findings: []*keepwardv1.CheckFinding{{Object: "pack", Name: "packs/x", Code: "pack.unknown", Repaired: "left alone"}},
		}})
		w.expect(id, job.CompletedWithWarnings, "")
	})
}

// itself gives the site the server's own agent.
func (w *world) itself() *fakeAgent {
	a := &fakeAgent{w: w, name: job.ServerComputer, backups: map[string]*keepwardv1.StartBackupRequest{}, restores: map[string]*keepwardv1.StartRestoreRequest{}}
	w.mu.Lock()
	w.agents[job.ServerComputer] = a
	w.mu.Unlock()
	w.agentUp(job.ServerComputer)
	return a
}

func TestTheServersBackupIsARestorePointOfItself(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.itself()
		j := &keepwardv1.Job{Name: "itself", Type: "server-backup", Compression: "high", Retention: &keepwardv1.Retention{KeepLast: 1}}
		id := w.saved(j)
		w.expect(id, job.Running, "")
		if s := w.session(id); s.GetPhase() != job.PhaseDump || s.GetPriority() != 66 {
			t.Errorf("the session is %v", s)
		}
		first := w.finish(job.ServerComputer)
		w.expect(id, job.Completed, "")
		p := w.points()
		if len(p) != 1 || p[0].GetComputer() != job.ServerComputer || p[0].GetJob() != "itself" {
			t.Fatalf("the points are %v", p)
		}
		time.Sleep(time.Hour)
		id = w.saved(j)
		w.expect(id, job.Running, "")
		order := w.agents[job.ServerComputer].backups[w.agents[job.ServerComputer].only(t)]
		if order.GetParent() != first || order.GetCompression() != "high" {
			t.Errorf("the second order is %v", order)
		}
		w.finish(job.ServerComputer)
		w.pass(time.Minute) // the job's retention follows
		left, err := catalog.Points(t.Context(), w.db.Read(), catalog.PointFilter{Computer: job.ServerComputer})
		if err != nil || len(left) != 1 || left[0].GetId() == first {
			t.Errorf("after retention there is %v (%v)", left, err)
		}
	})
}

func TestTheServersPointsAreProtectedByTheirJob(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.itself()
		w.saved(&keepwardv1.Job{Name: "itself", Type: "server-backup"})
		w.finish(job.ServerComputer)
		pairs := func() int {
			t.Helper()
			if err := w.m.noteUnprotected(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			list, err := catalog.Unprotected(t.Context(), w.db.Read())
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		if n := pairs(); n != 0 {
			t.Errorf("%d computers are unprotected while there is the job", n)
		}
		w.write(func(ctx context.Context, tx *sql.Tx) error { return catalog.DeleteJob(ctx, tx, "itself") })
		if n := pairs(); n != 1 {
			t.Errorf("%d computers are unprotected without the job, want 1", n)
		}
	})
}

func TestAServerBackupIsFencedAndTriedAgain(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		a := w.itself()
		id := w.saved(&keepwardv1.Job{Name: "itself", Type: "server-backup", RestartInterval: durationpb.New(time.Minute)})
		attempt := a.only(t)
		a.restart() // the server's process took it down
		w.end(transportOf(theNode), attempt, failed(errs.Unavailable, "the connection is lost"))
		w.pass(time.Minute)
		if w.transports[theNode].names[attempt] != "tombstone" {
			t.Error("the attempt can still commit")
		}
		w.pass(2 * time.Minute)
		w.expect(id, job.Running, "")
		w.finish(job.ServerComputer)
		w.expect(id, job.Completed, "")
	})
}

func TestTheServerCopiesItselfOnceAtATime(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.itself()
		first := w.saved(&keepwardv1.Job{Name: "itself", Type: "server-backup"})
		second := w.saved(&keepwardv1.Job{Name: "elsewhere", Type: "server-backup"})
		w.expect(first, job.Running, "")
		w.expect(second, job.Queued, job.Conflict)
		w.finish(job.ServerComputer)
		w.expect(second, job.Running, "")
	})
}

// A session of maintenance that was told to wait for another job does so after a start of the server too.
func TestMaintenanceWaitsForAJob(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		backup := w.run()
		w.setJob(&keepwardv1.Job{Name: "lists", Type: "reconcile", Repository: theRepo})
		id, err := w.m.RunJobWith(t.Context(), "lists", RunOptions{After: theJob})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.expect(id, job.Queued, job.AfterJob)
		w.reopen()
		w.connect()
		w.pass(15 * time.Second)
		w.expect(id, job.Queued, job.AfterJob)
		w.finish("web1")
		w.expect(backup, job.Completed, "")
		w.expect(id, job.Running, "")
		if got := w.transports[theNode].movers[w.transports[theNode].running()[0]].GetMode(); got != modeReconcile {
			t.Errorf("the mover's mode is %q", got)
		}
	})
}

func TestWithoutItsAgentAServerBackupWaits(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.saved(&keepwardv1.Job{Name: "itself", Type: "server-backup"})
		s := w.session(id)
		if s.GetStatus() != string(job.Waiting) || !strings.Contains(s.GetReason().GetText(), job.ServerComputer) {
			t.Errorf("the session is %q: %q", s.GetStatus(), s.GetReason().GetText())
		}
	})
}
