package manager

import (
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/internal/wire"
)

func (w *world) supply(s *keepwardv1.Supply) {
	w.m.Supplied(Node{Role: wire.RoleAgent, Name: "web1"}, s)
}

// scheduledOne waits for the next run by the schedule and answers its session.
func (w *world) scheduledOne(t *testing.T) int64 {
	t.Helper()
	w.pass(time.Hour)
	list, err := w.m.RecentSessions(t.Context(), theJob, 1)
	w.must(err)
	if len(list) != 1 {
		t.Fatal("the schedule has started nothing")
	}
	return list[0].GetId()
}

func TestALaptopIsSpared(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := theJobOf("web1")
		j.Schedule, j.OnBattery, j.OnMetered = "every 60m in UTC", "30%", job.SupplyWait
		w.setJob(j)
		w.connect()
		w.supply(&keepwardv1.Supply{Battery: true, Charge: 12})
		id := w.scheduledOne(t)
		w.expect(id, job.Queued, job.OnBattery)

		w.supply(&keepwardv1.Supply{Battery: true, Charge: 30})
		w.expect(id, job.Running, "")
		attempt := w.agents["web1"].only(t)
		w.supply(nil) // an agent that does not say changes nothing
		w.expect(id, job.Running, "")

		w.supply(&keepwardv1.Supply{Battery: true, Charge: 29})
		w.expect(id, job.InterruptPending, job.OnBattery)
		w.obeyStop(attempt)
		w.expect(id, job.Queued, job.OnBattery)
		w.supply(&keepwardv1.Supply{Metered: true})
		w.expect(id, job.Queued, job.MeteredNetwork)
		w.supply(&keepwardv1.Supply{})
		w.expect(id, job.Running, "")
		w.finish("web1")
		w.expect(id, job.Completed, "")
	})
}

func TestWhatSomebodyStartsRunsOnABattery(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := theJobOf("web1")
		j.OnBattery, j.OnMetered = job.SupplyWait, job.SupplyWait
		w.setJob(j)
		w.connect()
		w.supply(&keepwardv1.Supply{Battery: true, Charge: 1, Metered: true})
		id := w.run()
		w.expect(id, job.Running, "")
	})
}
