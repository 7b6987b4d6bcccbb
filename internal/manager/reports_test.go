package manager

import (
	"strings"
	"testing"
	"testing/synctest"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// A task shows that its agent tries a snapshot again, for as long as it does; other reasons are
// not the agent's to give.
func TestATaskShowsThatASnapshotIsTriedAgain(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		report := func(r *keepwardv1.Reason) {
			w.must(w.m.Progress(t.Context(), agentOf("web1"), attempt, &keepwardv1.Progress{Phase: job.PhaseTransfer, Reason: r}))
			synctest.Wait()
		}
		report(&keepwardv1.Reason{Code: string(job.MediaInUse)})
		w.expect(id, job.Running, "")
		report(&keepwardv1.Reason{Code: string(job.SnapshotRetry), Args: []string{"2", "3"}})
		w.expect(id, job.Running, job.SnapshotRetry)
		if got := w.session(id).GetTasks()[0].GetReason().GetText(); !strings.Contains(got, "2 of 3") {
			t.Errorf("the reason is %q", got)
		}
		report(nil)
		w.expect(id, job.Running, "")
		w.finish("web1")
		w.expect(id, job.Completed, "")
	})
}
