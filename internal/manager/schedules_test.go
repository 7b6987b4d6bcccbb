package manager

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

func at(text string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", text, time.Local)
	if err != nil {
		panic(err)
	}
	return t
}

func TestDueRuns(t *testing.T) {
	daily := func(change func(j *keepwardv1.Job)) []*keepwardv1.Job {
		j := &keepwardv1.Job{Name: "docs", Schedule: "daily 22:00"}
		if change != nil {
			change(j)
		}
		return []*keepwardv1.Job{j}
	}
	for _, c := range []struct {
		name               string
		jobs               []*keepwardv1.Job
		seen, started, now string
		want               []due
		next               string
	}{
		{"not yet", daily(nil), "2026-11-02 08:00", "2026-11-02 08:00", "2026-11-02 21:59", nil, "2026-11-02 22:00"},
		{"on time", daily(nil), "2026-11-02 21:59", "2026-11-02 08:00", "2026-11-02 22:00", []due{{"docs", at("2026-11-02 22:00"), false, false, nil}}, "2026-11-03 22:00"},
		{"not twice", daily(nil), "2026-11-02 22:00", "2026-11-02 08:00", "2026-11-02 22:01", nil, "2026-11-03 22:00"},
		{"three missed run once", daily(nil), "2026-11-01 08:00", "2026-11-04 08:00", "2026-11-04 08:00", []due{{"docs", at("2026-11-01 22:00"), true, false, nil}}, "2026-11-04 22:00"},
		{"missed and skipped", daily(func(j *keepwardv1.Job) { j.Missed = "skip" }), "2026-11-01 08:00", "2026-11-04 08:00", "2026-11-04 08:00", []due{{"docs", at("2026-11-01 22:00"), true, true, nil}}, "2026-11-04 22:00"},
		{"skip concerns the missed alone", daily(func(j *keepwardv1.Job) { j.Missed = "skip" }), "2026-11-02 21:59", "2026-11-02 08:00", "2026-11-02 22:01", []due{{"docs", at("2026-11-02 22:00"), false, false, nil}}, "2026-11-03 22:00"},
		{"disabled", daily(func(j *keepwardv1.Job) { j.Disabled = true }), "2026-11-01 08:00", "2026-11-04 08:00", "2026-11-04 08:00", nil, ""},
		{"without a schedule", daily(func(j *keepwardv1.Job) { j.Schedule = "" }), "2026-11-01 08:00", "2026-11-04 08:00", "2026-11-04 08:00", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			runs, next := dueRuns(c.jobs, nil, at(c.seen), at(c.started), at(c.now))
			if diff := cmp.Diff(c.want, runs, cmp.AllowUnexported(due{})); diff != "" {
				t.Errorf("runs (-want +got):\n%s", diff)
			}
			if want := c.next; want != "" && !next.Equal(at(want)) || want == "" && !next.IsZero() {
				t.Errorf("next is %v, want %s", next, want)
			}
		})
	}
}

func TestScheduleStartsSessions(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := theJobOf("web1")
		j.Schedule = "every 60m"
		w.setJob(j)
		w.connect()
		w.pass(61 * time.Minute)
		list, err := w.m.RecentSessions(t.Context(), theJob, 10)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d sessions (%v), want 1", len(list), err)
		}
		if list[0].GetUser() != bySchedule || list[0].GetStatus() != string(job.Running) {
			t.Errorf("the session is %v", list[0])
		}
		w.finish("web1")

		w.kill() // a server that is down for a night
		time.Sleep(10 * time.Hour)
		w.start()
		w.connect()
		w.pass(time.Minute)
		if list, _ = w.m.RecentSessions(t.Context(), theJob, 10); len(list) != 2 {
			t.Errorf("%d sessions after ten missed runs, want one more", len(list))
		}
	})
}

func TestDescribeJobTellsLastAndNextRun(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := theJobOf("web1")
		j.Schedule = "every 60m"
		w.setJob(j)
		w.connect()
		id := w.run()
		w.finish("web1")
		if err := w.m.DescribeJob(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		if j.GetLastSession() != id || j.GetLastResult() != string(job.Completed) || !j.GetNextRun().AsTime().After(time.Now()) {
			t.Errorf("the job is described as %v", j)
		}
	})
}
