package manager

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

func TestSpreadIsEvenAndStable(t *testing.T) {
	const computers, parts = 10_000, 10
	var hits [parts]int
	for i := range computers {
		name := fmt.Sprintf("pc%05d", i)
		d := spread("docs", name, time.Hour)
		if d != spread("docs", name, time.Hour) || d < 0 || d >= time.Hour || d%time.Second != 0 {
			t.Fatalf("%s is at %s", name, d)
		}
		if half := spread("docs", name, time.Hour/2); (d/2 - half).Abs() > time.Second {
			t.Fatalf("%s changes its place with the time: %s of an hour, %s of half of one", name, d, half)
		}
		hits[d*parts/time.Hour]++
	}
	for i, n := range hits {
		if n < computers/parts*8/10 || n > computers/parts*12/10 {
			t.Errorf("part %d of the hour has %d computers: %v", i, n, hits)
		}
	}
	if spread("docs", "web1", 0) != 0 || spread("docs", "web1", time.Hour) == spread("mail", "web1", time.Hour) {
		t.Error("no time is no spread, and two jobs of a computer do not begin at once")
	}
}

func TestScheduledComputersStartAtTheirOwnMoments(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		const over = 30 * time.Minute
		j := jobOf(theJob, "every 1h", "web1", "web2")
		j.Jitter = durationpb.New(over)
		w.setJob(j)
		w.connect()
		rule, _ := scheduleOf(j)
		base, _ := rule.Next(time.Now())
		w.pass(time.Until(base))
		list := w.of(theJob)
		if len(list) != 1 || len(list[0].GetTasks()) != 2 {
			t.Fatalf("%d sessions", len(list))
		}
		id := list[0].GetId()
		moments := map[string]time.Time{}
		for _, c := range []string{"web1", "web2"} {
			moments[c] = base.Add(spread(theJob, c, over))
		}
		names := []string{"web1", "web2"}
		slices.SortFunc(names, func(a, b string) int { return moments[a].Compare(moments[b]) })
		status := func(name string) (job.Status, job.Code) {
			for _, task := range w.session(id).GetTasks() {
				if task.GetComputer() == name {
					return job.Status(task.GetStatus()), job.Code(task.GetReason().GetCode())
				}
			}
			return "", ""
		}
		w.reopen() // their moments are not forgotten
		w.connect()
		for i, name := range names {
			w.pass(time.Until(moments[name]) - time.Second)
			for _, later := range names[i:] {
				if s, r := status(later); s != job.Queued || r != job.StartTime {
					t.Fatalf("before the moment of %s, %s is %s because of %s\n%s", name, later, s, r, w.log(id))
				}
			}
			w.pass(2 * time.Second)
			if s, _ := status(name); s != job.Running {
				t.Fatalf("at its moment %s is %s\n%s", name, s, w.log(id))
			}
			w.finish(name)
		}
		w.expect(id, job.Completed, "")
		starts := 0
		events, err := catalog.Events(t.Context(), w.db.Read(), id, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.GetCode() == "delay" {
				starts++
			}
		}
		if starts != 2 {
			t.Errorf("the log has %d lines about moments, want one for each computer:\n%s", starts, w.log(id))
		}
	})
}

func TestWhatAUserStartsWaitsForNoMoment(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := theJobOf("web1")
		j.Jitter = durationpb.New(time.Hour)
		w.setJob(j)
		w.connect()
		w.expect(w.run(), job.Running, "")
	})
}

func TestAMissedRunIsSpreadFromNowOn(t *testing.T) {
	now, missed := at("2026-11-02 08:00"), at("2026-11-01 22:00")
	for _, tt := range []struct {
		run    due
		jitter time.Duration
		want   time.Time
	}{
		{due{job: "docs", at: missed, missed: true}, time.Hour, now.Add(spread("docs", "web1", time.Hour))},
		{due{job: "docs", at: missed}, time.Hour, missed.Add(spread("docs", "web1", time.Hour))},
		{due{job: "docs", at: missed}, 0, time.Time{}},
	} {
		q := tt.run.request(now)
		q.job, q.jitter = "docs", tt.jitter
		if got := q.startsAt("web1"); !got.Equal(tt.want) || q.by != bySchedule {
			t.Errorf("missed %v, spread over %s: at %s, want %s", tt.run.missed, tt.jitter, got, tt.want)
		}
	}
	if q := (due{computers: []string{"web2"}}).request(now); !slices.Equal(q.computers, []string{"web2"}) {
		t.Errorf("for %v", q.computers)
	}
}

func TestASessionWaitsForAnotherJob(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(jobOf("mail", "", "web2"))
		w.connect()
		first := w.run()
		id, err := w.m.RunJobWith(t.Context(), "mail", RunOptions{After: theJob})
		if err != nil {
			t.Fatal(err)
		}
		w.expect(id, job.Queued, job.AfterJob)
		if waits := w.show(id).GetWaits(); len(waits) != 1 || waits[0].GetSessions()[0].GetSession() != first {
			t.Errorf("it waits for %v", waits)
		}
		w.reopen()
		w.connect()
		w.expect(id, job.Queued, job.AfterJob)
		second := w.run() // a younger one is not waited for
		w.finish("web1")
		w.expect(id, job.Running, "")
		w.expect(second, job.Running, "")
		alone, err := w.m.RunJobWith(t.Context(), theJob, RunOptions{After: "mail"})
		if err != nil {
			t.Fatal(err)
		}
		w.killSession(alone, "")
		w.expect(alone, job.Killed, "")
		if _, err := w.m.RunJobWith(t.Context(), "mail", RunOptions{After: "nobody"}); errs.KindOf(err) != errs.NotFound {
			t.Errorf("after a job that is not there: %v", err)
		}
	})
}

func TestHoursOfEachComputerMakeRunsOfTheirOwn(t *testing.T) {
	zones := map[string]*time.Location{"paris": locationOf("+01:00"), "tokyo": locationOf("+09:00"), "osaka": locationOf("+09:00")}
	j := jobOf("docs", "daily 22:00 in computer", "paris", "tokyo", "osaka")
	seen := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	runs, next := dueRuns([]*keepwardv1.Job{j}, zones, seen, seen, time.Date(2026, 11, 2, 13, 0, 0, 0, time.UTC))
	if len(runs) != 1 || !slices.Equal(runs[0].computers, []string{"tokyo", "osaka"}) || runs[0].at.UTC().Hour() != 13 {
		t.Errorf("at 13:00 UTC: %v", runs)
	}
	if next.UTC().Hour() != 21 {
		t.Errorf("the next is at %s", next.UTC())
	}
	runs, _ = dueRuns([]*keepwardv1.Job{j}, zones, seen, seen, seen.Add(24*time.Hour))
	if len(runs) != 2 {
		t.Errorf("in a day: %v", runs)
	}
	rule, _ := scheduleOf(j)
	for _, part := range partsOf(jobOf("docs", "daily 22:00 in computer", "paris", "unknown"), rule, zones) {
		at, _ := part.schedule.Next(seen)
		if slices.Contains(part.computers, "unknown") && (at.Hour() != 22 || at.Location() != time.Local) {
			t.Errorf("a computer whose zone nobody knows runs at %s", at)
		}
	}
	coming := calendarRuns(j, rule, zones, 3, seen)
	if len(coming) != 3 || coming[0].GetZone() != "+09:00" || coming[1].GetZone() != "+01:00" || len(coming[1].GetComputers()) != 1 {
		t.Errorf("coming are %v", coming)
	}
	for text, want := range map[string]string{"": "", "Local": "", "Mars/Olympus": "", "../etc": "", "+05:45": "+05:45", "UTC": "UTC"} {
		got := ""
		if z := locationOf(text); z != nil {
			got = z.String()
		}
		if got != want {
			t.Errorf("zone %q is read as %q", text, got)
		}
	}
}

func TestZonesComeFromTheAgents(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.write(func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(
				catalog.SeeComputer(ctx, tx, catalog.Computer{Name: "web1", Zone: "+09:00", LastSeen: time.Now()}),
				catalog.SeeComputer(ctx, tx, catalog.Computer{Name: "web2", Zone: "+01:00", LastSeen: time.Now()}),
			)
		})
		w.setJob(jobOf(theJob, "daily 22:00 in computer", "web1", "web2"))
		w.connect()
		w.pass(24 * time.Hour)
		list := w.of(theJob)
		if len(list) != 2 || list[0].GetTasks()[0].GetComputer() != "web2" || list[1].GetTasks()[0].GetComputer() != "web1" {
			t.Fatalf("in a day there were %v", list)
		}
		if at := list[1].GetCreated().AsTime(); at.Hour() != 13 || at.Minute() != 0 {
			t.Errorf("web1 began at %s", at)
		}
	})
}
