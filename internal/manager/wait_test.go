package manager

import (
	"context"
	"database/sql"
	"testing"
	"testing/synctest"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
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

func TestUnknownNamesAreRefusedBeforeAnythingIsWritten(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		if _, err := w.m.RunJob(t.Context(), "dosc", false); err == nil {
			t.Error("an unknown job was started")
		}
		if _, err := w.m.Check(t.Context(), &keepwardv1.CheckRepositoryRequest{Name: "mian"}); err == nil {
			t.Error("an unknown repository is checked")
		}
		synctest.Wait()
		if list, _ := w.m.ActiveSessions(t.Context()); len(list) != 0 {
			t.Errorf("%d sessions were written", len(list))
		}
	})
}
