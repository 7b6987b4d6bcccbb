package manager

import (
	"context"
	"database/sql"
	"testing"
	"testing/synctest"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

func TestWaitsNameWhatIsMissing(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		id := w.run()
		w.expect(id, job.Waiting, job.TransportOffline)
		w.transportUp()
		w.expect(id, job.Waiting, job.AgentOffline)
		w.agentUp("web1")
		w.expect(id, job.Running, "")
	})
}

func TestSecondBackupOfTheSameComputerByTheSameJobIsQueued(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		first, second, third := w.run(), w.run(), w.run()
		w.expect(first, job.Running, "")
		w.expect(second, job.Queued, job.Conflict)
		if args := w.session(second).GetReason().GetArgs(); len(args) != 1 || args[0] != "1" {
			t.Errorf("the conflict names session %v", args)
		}
		w.finish("web1")
		w.expect(second, job.Running, "")
		w.expect(third, job.Queued, job.Conflict)
		w.finish("web1")
		w.expect(third, job.Running, "")
	})
}

func TestStreamsOfTheRepositoryAreShared(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.write(func(ctx context.Context, tx *sql.Tx) error { return catalog.EditRepository(ctx, tx, theRepo, 1, 1) })
		w.setJob(theJobOf("web1", "web2"))
		w.connect()
		id := w.run()
		second := func() (job.Status, string) {
			task := w.session(id).GetTasks()[1]
			return job.Status(task.GetStatus()), task.GetReason().GetCode()
		}
		if s, r := second(); s != job.Waiting || r != string(job.StreamsShort) {
			t.Fatalf("the second task is %s because of %s", s, r)
		}
		w.finish("web1")
		if s, _ := second(); s != job.Running {
			t.Fatalf("the freed stream was not granted: the second task is %s", s)
		}
		w.finish("web2")
		w.expect(id, job.Completed, "")
	})
}

func TestOneComputerDoesOneTaskAtOnce(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		other := theJobOf("web1")
		other.Name = "other"
		w.setJob(other)
		w.connect()
		w.run()
		id, err := w.m.RunJob(t.Context(), "other", false)
		if err != nil {
			t.Fatal(err)
		}
		w.expect(id, job.Waiting, job.ClientBusy)
		w.finish("web1")
		w.expect(id, job.Running, "")
	})
}

func TestRebuildWaitsForWritersAndTheyForIt(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		backup := w.run()
		rebuild, err := w.m.Rebuild(t.Context(), theRepo)
		if err != nil {
			t.Fatal(err)
		}
		w.expect(rebuild, job.Queued, job.Conflict)
		later := w.run()
		w.finish("web1")
		w.expect(backup, job.Completed, "")
		w.expect(rebuild, job.Running, "")
		w.expect(later, job.Queued, job.Conflict)
		attempt := w.transports[theNode].running()[0]
		w.end(transportOf(theNode), attempt, done(&keepwardv1.Counters{}))
		w.expect(rebuild, job.Completed, "")
		w.expect(later, job.Running, "")
	})
}

func TestABackupOfAnOfflineComputerKeepsNoRebuildWaiting(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.transportUp()
		away, behind := w.run(), w.run()
		w.expect(away, job.Waiting, job.AgentOffline)
		w.expect(behind, job.Queued, job.Conflict)
		rebuild := w.rebuild()
		w.expect(rebuild, job.Running, "")
		w.agentUp("web1") // now the two would meet
		w.expect(rebuild, job.InterruptPending, "")
		w.expect(away, job.Waiting, job.WaitingForSessions)
		second := w.rebuild()
		w.expect(second, job.Queued, job.Conflict)
		w.end(transportOf(theNode), w.transports[theNode].running()[0], done(&keepwardv1.Counters{}))
		w.expect(rebuild, job.Completed, "")
		w.expect(away, job.Running, "")
		w.finish("web1")
		w.finish("web1")
		w.expect(behind, job.Completed, "")
		w.expect(second, job.Running, "")
	})
}

func TestARebuildWaitsForABackupWhoseComputerWentAwayUntilItsMoverIsFenced(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		backup := w.run()
		w.expect(backup, job.Running, "")
		rebuild := w.rebuild()
		w.agentDown("web1")
		w.expect(rebuild, job.Queued, job.Conflict)
		time.Sleep(time.Hour) // the attempt is given up and fenced, and the next one finds nobody
		w.expect(backup, job.Waiting, job.AgentOffline)
		w.expect(rebuild, job.Running, "")
	})
}

func TestARebuildThatGotItsSetGivesItBackWhileAnAttemptMayStillWrite(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.agentUp("web1")
		backup := w.run()
		w.expect(backup, job.Waiting, job.TransportOffline)
		rebuild := w.rebuild()
		w.expect(rebuild, job.Waiting, job.TransportOffline)
		w.transportUp()
		w.expect(backup, job.Running, "")
		w.expect(rebuild, job.Waiting, job.MountPathReserved)

		tr := w.transports[theNode]
		tr.fenceFails = errs.New(errs.Unavailable, "", "put tombstone: the disk hangs")
		attempt := w.agents["web1"].only(t)
		w.end(agentOf("web1"), attempt, failed(errs.Unavailable, "the link is gone"))
		w.end(transportOf(theNode), attempt, failed(errs.Unavailable, "the link is gone"))
		time.Sleep(time.Minute)
		w.expect(backup, job.Pending, job.RestartAt)
		w.expect(rebuild, job.Queued, job.Conflict)

		tr.fenceFails = nil
		w.agents["web1"].restart()
		time.Sleep(time.Hour)
		w.finish("web1")
		w.expect(backup, job.Completed, "")
		w.expect(rebuild, job.Running, "")
	})
}

func TestARestartedServerStillLetsARebuildPassABackupThatWaits(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.transportUp()
		away := w.run()
		w.expect(away, job.Waiting, job.AgentOffline)
		w.reopen()
		w.transportUp()
		w.expect(w.rebuild(), job.Running, "")
	})
}

func (w *world) rebuild() int64 {
	w.t.Helper()
	id, err := w.m.Rebuild(w.t.Context(), theRepo)
	if err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
	return id
}

func TestUnknownNamesAreRefusedBeforeAnythingIsWritten(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		if _, err := w.m.RunJob(t.Context(), "dosc", false); err == nil {
			t.Error("an unknown job was started")
		}
		if _, err := w.m.Check(t.Context(), &keepwardv1.CheckRepositoryRequest{Name: "mian"}); err == nil {
			t.Error("an unknown repository is checked")
		}
		synctest.Wait()
		if list, _ := w.m.ActiveSessions(t.Context(), 0); len(list) != 0 {
			t.Errorf("%d sessions were written", len(list))
		}
	})
}
