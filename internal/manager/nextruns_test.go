package manager

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestComingRuns(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		docs := jobOf(theJob, "every 6h", "web1", "web2")
		docs.Jitter = durationpb.New(time.Hour)
		off := jobOf("off", "daily 22:00", "web1")
		off.Disabled = true
		for _, j := range []*keepwardv1.Job{docs, off, jobOf("mail", "after docs", "web2"), jobOf("late", "after mail if completed", "web2"), jobOf("lost", "after off", "web2")} {
			w.setJob(j)
		}
		next := func(j *keepwardv1.Job, n int) ([]*keepwardv1.NextRun, string) {
			t.Helper()
			runs, when, err := w.m.NextRuns(t.Context(), j, n)
			if err != nil {
				t.Fatal(err)
			}
			return runs, when
		}
		runs, when := next(docs, 3)
		if len(runs) != 3 || when != "" || runs[0].GetTime().AsTime().Local().Hour()%6 != 0 || runs[2].GetTime().AsTime().Sub(runs[0].GetTime().AsTime()) != 12*time.Hour {
			t.Errorf("docs runs %v, %q", runs, when)
		}
		last := max(spread(theJob, "web1", time.Hour), spread(theJob, "web2", time.Hour))
		if got := runs[0].GetUntil().AsTime().Sub(runs[0].GetTime().AsTime()); got != last {
			t.Errorf("its last computer starts after %s, want %s", got, last)
		}
		for _, tt := range []struct {
			job  *keepwardv1.Job
			runs int
			when string
		}{
			{off, 0, ""},
			{jobOf("told", "", "web1"), 0, ""},
			{jobOf("mail", "after docs", "web2"), 2, "when a session of job docs is over"},
			{jobOf("late", "after mail if completed", "web2"), 2, "when a session of job mail is over and has left a result"},
			{jobOf("lost", "after off", "web2"), 0, "when a session of job off is over"},
			{jobOf("nobody", "after nobody", "web2"), 0, "when a session of job nobody is over"},
			{jobOf("laptops", "when online", "web2"), 0, "when one of its computers comes online, at most every 1h for each"},
			{jobOf("always", "continuously pause 90m", "web2"), 1, "1h30m after the end of its last session"},
		} {
			runs, when := next(tt.job, 2)
			if len(runs) != tt.runs || when != tt.when {
				t.Errorf("%s runs %v, %q", tt.job.GetName(), runs, when)
			}
			if strings.HasPrefix(tt.job.GetSchedule(), "after") && len(runs) > 0 && runs[0].GetAfter() != theJob {
				t.Errorf("%s runs after %q", tt.job.GetName(), runs[0].GetAfter())
			}
		}
		mail := jobOf("mail", "after docs", "web2")
		if err := w.m.DescribeJob(t.Context(), mail); err != nil || mail.GetNextRun() != nil {
			t.Errorf("the next run of what follows another is told: %v (%v)", mail.GetNextRun(), err)
		}
	})
}
