package manager

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

func (w *world) sweep(req *keepwardv1.SweepRepositoryRequest) int64 {
	w.t.Helper()
	req.Name = theRepo
	id, err := w.m.Sweep(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
	return id
}

// sweeping is the order of the sweep that runs, and its attempt.
func (w *world) sweeping() (string, *keepwardv1.SweepOrder) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, m := range w.transports[theNode].movers {
		if m.GetMode() == modeSweep {
			return id, m.GetSweep()
		}
	}
	w.t.Fatal("no mover sweeps")
	return "", nil
}

// swept ends the sweep that runs, purging what it was told to unless the report says otherwise.
func (w *world) swept(r *keepwardv1.SweepReport) {
	w.t.Helper()
	id, order := w.sweeping()
	w.mu.Lock()
	tr := w.transports[theNode]
	delete(tr.movers, id)
	for _, p := range order.GetPurgePoints() {
		delete(tr.names, p)
		delete(tr.marks, p)
	}
	w.mu.Unlock()
	if r.Purged == nil {
		r.Purged, r.PurgedPoints = order.GetPurgePoints(), int64(len(order.GetPurgePoints()))
	}
	w.end(transportOf(theNode), id, &keepwardv1.AttemptEnd{Outcome: outcomeDone, Sweep: r})
}

func TestASweepPurgesWhatWasDeletedLongEnough(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.upkeep(catalog.Upkeep{UndeleteGrace: 2 * time.Hour, Maintenance: "never"})
		ids := w.backups(5)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(w.change(actionDelete, "", ids[0], ids[1]))
		w.restore(&keepwardv1.RestoreFilesRequest{Computer: "web1", Point: ids[2]})
		must(w.change(actionDelete, "", ids[2])) // it is being read
		w.pass(3 * time.Hour)
		must(w.change(actionDelete, "", ids[3])) // too young
		if err := w.change(actionUndelete, "", ids[1]); err != nil {
			t.Errorf("the grace time is over, and no sweep has been: %v", err)
		}
		session := w.sweep(&keepwardv1.SweepRepositoryRequest{})
		_, order := w.sweeping()
		if d := cmp.Diff([]string{ids[0]}, order.GetPurgePoints()); d != "" {
			t.Errorf("ordered to purge (-want +got):\n%s", d)
		}
		if err := w.change(actionUndelete, "", ids[0]); errs.CodeOf(err) != "point.purging" {
			t.Errorf("undelete while it is purged: %v", err)
		}
		w.swept(&keepwardv1.SweepReport{Done: true, DeletedPacks: 3, DeletedBytes: 300})
		w.expect(session, job.Completed, "")
		if got := w.session(session).GetReport().GetSweep(); got.GetPurgedPoints() != 1 || got.GetDeletedBytes() != 300 {
			t.Errorf("the report is %v", got)
		}
		if got := w.standing(); got != "-dd-" {
			t.Errorf("points are %s", got)
		}
		if err := w.change(actionUndelete, "", ids[0]); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
			t.Errorf("undelete after it was purged: %v", err)
		}
	})
}

func TestASweepThatDiedAfterItPurgedIsNotedByTheNext(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.upkeep(catalog.Upkeep{UndeleteGrace: -1, Maintenance: "never"})
		ids := w.backups(3)
		if err := w.change(actionDelete, "", ids[0], ids[1]); err != nil {
			t.Fatal(err)
		}
		first := w.sweep(&keepwardv1.SweepRepositoryRequest{})
		attempt, order := w.sweeping()
		if len(order.GetPurgePoints()) != 2 {
			t.Fatalf("ordered to purge %v", order.GetPurgePoints())
		}
		tr := w.transports[theNode]
		w.mu.Lock()
		delete(tr.names, ids[0]) // it had come as far as this
		delete(tr.marks, ids[0])
		delete(tr.movers, attempt)
		w.mu.Unlock()
		w.end(transportOf(theNode), attempt, failed(errs.Corrupt, "killed"))
		w.expect(first, job.Failed, "")
		if err := w.change(actionUndelete, "", ids[1]); err != nil {
			t.Errorf("what was not purged can be undeleted: %v", err)
		}
		w.sweep(&keepwardv1.SweepRepositoryRequest{})
		if _, order := w.sweeping(); len(order.GetPurgePoints()) != 0 {
			t.Errorf("ordered to purge %v", order.GetPurgePoints())
		}
		if got := w.standing(); got != "--" {
			t.Errorf("points are %s", got)
		}
	})
}

func TestASweepWaitsForAttemptsThatWorkAndCutsOffTheOthers(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		backup := w.run()
		attempt := w.agents["web1"].only(t)
		session := w.sweep(&keepwardv1.SweepRepositoryRequest{})
		stranger := strings.Repeat("ab", 16)
		w.swept(&keepwardv1.SweepReport{Generation: 1, Unsettled: []string{attempt, stranger}, PurgedPoints: 2, Purged: []string{}})
		w.expect(session, job.Waiting, job.Conflict)
		w.expect(backup, job.Running, "")
		tr := w.transports[theNode]
		if tr.names[stranger] != "tombstone" || tr.names[attempt] != "" {
			t.Errorf("under their names stand %q and %q", tr.names[stranger], tr.names[attempt])
		}
		w.pass(time.Hour)
		w.expect(session, job.Waiting, job.Conflict)
		w.finish("web1")
		w.expect(session, job.Running, "")
		w.swept(&keepwardv1.SweepReport{Generation: 1, Done: true, PurgedPoints: 1, Purged: []string{}, DeletedPacks: 4})
		w.expect(session, job.Completed, "")
		if got := w.session(session).GetReport().GetSweep(); got.GetPurgedPoints() != 3 || got.GetDeletedPacks() != 4 || !got.GetDone() {
			t.Errorf("the report is %v", got)
		}
	})
}

func TestASweepThatWaitsSurvivesARestart(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.run()
		attempt := w.agents["web1"].only(t)
		session := w.sweep(&keepwardv1.SweepRepositoryRequest{})
		w.swept(&keepwardv1.SweepReport{Unsettled: []string{attempt}})
		w.expect(session, job.Waiting, job.Conflict)
		w.reopen()
		w.connect()
		w.pass(30 * time.Second)
		w.expect(session, job.Running, "") // it asks again
		w.swept(&keepwardv1.SweepReport{Unsettled: []string{attempt}})
		w.expect(session, job.Waiting, job.Conflict)
		w.finish("web1")
		w.expect(session, job.Running, "")
	})
}

func TestASweepWhoseTransportIsAwayWaitsForItToSettle(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		tr := w.transports[theNode]
		session := w.sweep(&keepwardv1.SweepRepositoryRequest{})
		tr.fenceFails = errs.New(errs.Unavailable, "", "call transport: link lost")
		w.swept(&keepwardv1.SweepReport{Unsettled: []string{strings.Repeat("cd", 16)}})
		w.expect(session, job.Waiting, job.RepositoryOffline)
		w.mu.Lock()
		tr.fenceFails = nil
		w.mu.Unlock()
		w.pass(time.Minute)
		w.expect(session, job.Running, "")
	})
}

func TestOneSweepOfARepositoryAtATime(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		first := w.sweep(&keepwardv1.SweepRepositoryRequest{})
		second := w.sweep(&keepwardv1.SweepRepositoryRequest{DryRun: true})
		w.expect(first, job.Running, "")
		w.expect(second, job.Queued, job.Conflict)
		backup := w.run()
		w.expect(backup, job.Running, "") // a sweep stops no backup
		w.swept(&keepwardv1.SweepReport{Done: true})
		w.expect(second, job.Running, "")
		if _, order := w.sweeping(); !order.GetDryRun() {
			t.Errorf("the order is %v", order)
		}
	})
}

func TestCheckpointsThatAreWantedAreKept(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.transports[theNode].checkpoint = true
		w.run()
		attempt := w.agents["web1"].only(t)
		w.end(agentOf("web1"), attempt, failed(errs.Unavailable, "the disk is away"))
		w.pass(time.Minute)
		w.sweep(&keepwardv1.SweepRepositoryRequest{})
		if _, order := w.sweeping(); !slices.Contains(order.GetKeepCheckpoints(), attempt) {
			t.Errorf("kept are %v, the next attempt goes on from %s", order.GetKeepCheckpoints(), attempt)
		}
	})
}

func TestMaintenanceRunsByItsSchedule(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.backups(3)
		w.upkeep(catalog.Upkeep{Maintenance: "every 2h"})
		j := theJobOf("web1")
		j.Retention, j.Disabled = &keepwardv1.Retention{KeepLast: 1}, true
		w.setJob(j)
		w.pass(2 * time.Hour)
		if got := w.standing(); got != "-dd" {
			t.Errorf("points are %s", got)
		}
		if s := w.newestOf(job.Sweep); s.GetUser() != byMaintenance || s.GetStatus() != string(job.Running) {
			t.Errorf("the sweep is %v", s)
		}
	})
}

func TestTheEndOfASessionIsShownAtOnce(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan time.Time, 1)
		go func() {
			_ = w.m.watch(ctx, id, func(s *keepwardv1.Session) error {
				if job.Status(s.GetStatus()).Final() {
					ended <- time.Now()
				}
				return nil
			})
		}()
		synctest.Wait()
		time.Sleep(watchEvery + time.Millisecond)
		// A picture that differs in its progress alone is held back; the end is not.
		for _, bytes := range []int64{1, 2} {
			if err := w.m.Progress(t.Context(), agentOf("web1"), attempt, &keepwardv1.Progress{Counters: &keepwardv1.Counters{DoneBytes: bytes}}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		at := time.Now()
		w.finish("web1")
		if got := (<-ended).Sub(at); got != 0 {
			t.Errorf("the end was shown after %s", got)
		}
	})
}

func TestAReadOfAPointThatIsDeletedMeanwhileGoesOn(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.upkeep(catalog.Upkeep{UndeleteGrace: -1, Maintenance: "never"})
		ids := w.backups(1)
		w.run() // its parent is the point
		if err := w.change(actionDelete, "", ids[0]); err != nil {
			t.Fatal(err)
		}
		w.sweep(&keepwardv1.SweepRepositoryRequest{})
		if _, order := w.sweeping(); len(order.GetPurgePoints()) != 0 {
			t.Errorf("the parent of a running backup is purged: %v", order.GetPurgePoints())
		}
		w.finish("web1")
		w.swept(&keepwardv1.SweepReport{Done: true})
		w.sweep(&keepwardv1.SweepRepositoryRequest{})
		if _, order := w.sweeping(); cmp.Diff([]string{ids[0]}, order.GetPurgePoints()) != "" {
			t.Errorf("ordered to purge %v", order.GetPurgePoints())
		}
	})
}

func TestUnknownRepositoryIsNotSwept(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		if _, err := w.m.Sweep(t.Context(), &keepwardv1.SweepRepositoryRequest{Name: "mian"}); errs.KindOf(err) != errs.NotFound {
			t.Errorf("got %v", err)
		}
		if _, err := w.m.DeletePoints(t.Context(), connect.NewRequest(&keepwardv1.ChangePointsRequest{})); errs.KindOf(err) != errs.Invalid {
			t.Errorf("no point named: %v", err)
		}
	})
}
