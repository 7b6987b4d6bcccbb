package manager

import (
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
	"keepward/internal/speed"
)

func (w *world) speeds(id int64) []*keepwardv1.TaskSpeed {
	w.t.Helper()
	m, err := w.m.GetSessionSpeed(w.t.Context(), connect.NewRequest(&keepwardv1.GetSessionSpeedRequest{Id: id}))
	if err != nil {
		w.t.Fatal(err)
	}
	return m.Msg.GetTasks()
}

// written are the slots that the catalog has of a session's only task.
func (w *world) written(id int64) int {
	w.t.Helper()
	all, err := catalog.Speeds(w.t.Context(), w.db.Read(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range all {
		return len(s.Slots)
	}
	return 0
}

func readOf(s *keepwardv1.TaskSpeed) (sum int64) {
	for _, n := range s.GetReadBytes() {
		sum += n
	}
	return sum
}

func TestSpeedIsKeptOverAStartOfTheServerAndAnInterruption(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		for i := range int64(10) {
			w.progress("web1", attempt, &keepwardv1.Counters{ReadBytes: 100 * (i + 1), SentBytes: 10 * (i + 1)})
			w.pass(speed.First)
		}
		if n := w.written(id); n != 0 {
			t.Errorf("%d slots were written for reports alone", n)
		}
		if got := w.speeds(id); len(got) != 1 || readOf(got[0]) != 1000 || len(got[0].GetReadBytes()) < 9 {
			t.Fatalf("the speed is %v", got)
		}
		if err := w.suspend(id); err != nil {
			t.Fatal(err)
		}
		w.agents["web1"].forget(attempt)
		w.obeyStop(attempt)
		w.pass(3 * time.Second)
		w.expect(id, job.Suspended, "")
		if w.written(id) == 0 {
			t.Error("a change of the task did not write its speed")
		}
		w.pass(10 * speed.First)
		w.reopen()
		w.connect()
		w.must(w.resume(id))
		synctest.Wait()
		w.expect(id, job.Running, "")
		second := w.agents["web1"].only(t)
		w.progress("web1", second, &keepwardv1.Counters{ReadBytes: 50})
		w.pass(speed.First)
		w.finish("web1")
		w.expect(id, job.Completed, "")
		got := w.speeds(id)
		if len(got) != 1 || readOf(got[0]) < 1050 {
			t.Fatalf("at the end the speed is %v", got)
		}
		gaps := 0
		for _, running := range got[0].GetRunning() {
			if !running {
				gaps++
			}
		}
		if gaps < 8 {
			t.Errorf("of a pause of ten slots %d are seen: %v", gaps, got[0])
		}
	})
}

// A backup of which nothing is logged for hours loses little of its graph to a server that is killed.
func TestTheSpeedOfAQuietTaskIsWrittenNowAndThen(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		had, writes := 0, 0
		for i := range int64(120) { // an hour and a bit
			w.progress("web1", attempt, &keepwardv1.Counters{ReadBytes: i})
			w.pass(30 * time.Second)
			if n := w.written(id); n != had {
				had, writes = n, writes+1
			}
		}
		if writes < 8 || writes > 13 {
			t.Errorf("in an hour it was written %d times", writes)
		}
	})
}
