package cli_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// live is what the fake knows of schedules, lists and figures.
type live struct {
	hours    *keepwardv1.ListHoursRequest
	hoursAre keepwardv1.ListHoursResponse
	filter   *keepwardv1.ListSessionsRequest // of the last call
	states   []*keepwardv1.WatchSessionsResponse
	cut      int // watches to break off after the first state
	coming   []*keepwardv1.NextRun
	when     string
	asked    int32 // for so many runs
	figures  *keepwardv1.JobFigures
	wanted   *keepwardv1.GetJobFiguresRequest
}

func (l *live) job(j *keepwardv1.Job, runs int32) *keepwardv1.GetJobResponse {
	l.asked = runs
	return &keepwardv1.GetJobResponse{Job: j, Coming: l.coming, When: l.when, Warnings: []string{"it may not be meant"}}
}

func (f *fake) WatchSessions(_ context.Context, r *connect.Request[keepwardv1.WatchSessionsRequest], s *connect.ServerStream[keepwardv1.WatchSessionsResponse]) error {
	f.live.filter = r.Msg.GetFilter()
	for _, state := range f.live.states {
		if err := s.Send(state); err != nil {
			return err
		}
		if f.live.cut > 0 {
			f.live.cut--
			return errs.New(errs.Unavailable, "", "the server stops")
		}
	}
	return errs.New(errs.Denied, "", "the test is over")
}

func (f *fake) GetJobFigures(_ context.Context, r *connect.Request[keepwardv1.GetJobFiguresRequest]) (*connect.Response[keepwardv1.GetJobFiguresResponse], error) {
	f.live.wanted = r.Msg
	return connect.NewResponse(&keepwardv1.GetJobFiguresResponse{Figures: f.live.figures}), nil
}

func TestFiltersOfAList(t *testing.T) {
	f := newFake(t)
	f.list = []*keepwardv1.Session{}
	f.do(t, "session", "list", "--status", "failed,Killed", "--status", "running", "--type", "backup", "--since", "2026-10-30", "--until", "-1h",
		"--text", "no space", "--before", "9", "--limit", "3", "--job", "docs", "--computer", "web1", "--active").want(t, 0)
	want := &keepwardv1.ListSessionsRequest{
		Active: true, Job: "docs", Computer: "web1", Limit: 3, Statuses: []string{"failed", "Killed", "running"}, Type: "backup", Text: "no space", Before: 9,
		Since: timestamppb.New(time.Date(2026, 10, 30, 0, 0, 0, 0, paris())), Until: timestamppb.New(now.Add(-time.Hour)),
	}
	if d := cmp.Diff(want, f.live.filter, protocmp.Transform()); d != "" {
		t.Errorf("the filter (-want +got):\n%s", d)
	}
	for text, want := range map[string]time.Time{
		"yesterday": time.Date(2026, 10, 31, 0, 0, 0, 0, paris()), "today": time.Date(2026, 11, 1, 0, 0, 0, 0, paris()), "-2d": now.Add(-48 * time.Hour),
	} {
		f.do(t, "session", "list", "--since", text).want(t, 0)
		if got := f.live.filter.GetSince().AsTime(); !got.Equal(want) {
			t.Errorf("since %s is since %s, want %s", text, got, want)
		}
	}
	f.do(t, "session", "list", "--since", "-1h", "--until", "-2h").want(t, 2, "--until -2h is before --since -1h")
	f.do(t, "session", "list", "--since", "soon").want(t, 2, "is no time")
}

func TestAListShowsHowFarASessionIs(t *testing.T) {
	f := newFake(t)
	s := state("Running", &keepwardv1.Counters{DoneBytes: 1, TotalBytes: 4})
	s.Priority, s.DoneAbout = 66, timestamppb.New(now.Add(3*time.Minute))
	over := state("Completed", &keepwardv1.Counters{DoneBytes: 1, TotalBytes: 4})
	over.Id, over.Ended = 11, timestamppb.New(now)
	f.list = []*keepwardv1.Session{s, over}
	r := f.do(t, "session", "list").want(t, 0, "PRIORITY", "066", "25 %", "3:00 min")
	if lines := strings.Split(r.out, "\n"); strings.Contains(lines[2], "%") {
		t.Errorf("what is over is not done yet: %s", lines[2])
	}
}

func TestAListIsWatched(t *testing.T) {
	f := newFake(t)
	run := func(id int64, status string) *keepwardv1.Session {
		s := state(status, nil)
		s.Id, s.Job = id, "docs"
		return s
	}
	f.live.states = []*keepwardv1.WatchSessionsResponse{
		{Whole: true, Sessions: []*keepwardv1.Session{run(7, "Running"), run(8, "Waiting")}},
		{Sessions: []*keepwardv1.Session{run(8, "Waiting")}}, // its progress alone
		{Sessions: []*keepwardv1.Session{run(8, "Running"), run(9, "Queued")}},
		{Sessions: []*keepwardv1.Session{run(7, "Completed")}, Gone: []int64{7}},
	}
	r := f.do(t, "session", "list", "--active", "--watch").want(t, 5, "SESSION", "session 9 · Queued", "session 7 · Completed", "docs")
	if n := strings.Count(r.out, "session 8"); n != 1 {
		t.Errorf("session 8 has %d lines:\n%s", n, r.out)
	}
	if !f.live.filter.GetActive() {
		t.Error("the filter was lost")
	}
	r = f.do(t, "session", "list", "--watch", "-o", "json").want(t, 5)
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if len(lines) != 6 {
		t.Fatalf("%d lines of JSON:\n%s", len(lines), r.out)
	}
	var s keepwardv1.Session
	if err := protojson.Unmarshal([]byte(lines[5]), &s); err != nil || s.GetId() != 7 || s.GetStatus() != "Completed" {
		t.Errorf("the last one is %v (%v)", &s, err)
	}
}

func TestWatchingAllEndsWhenNoneRuns(t *testing.T) {
	f := newFake(t)
	f.live.cut = 1 // over a restart of the server
	f.live.states = []*keepwardv1.WatchSessionsResponse{
		{Whole: true, Sessions: []*keepwardv1.Session{state("Running", nil)}},
		{Sessions: []*keepwardv1.Session{state("Completed", nil)}, Gone: []int64{12}},
	}
	f.do(t, "session", "watch").want(t, 0, "session 12 · Completed", "waiting for it", "no session runs")
	f.live.states = []*keepwardv1.WatchSessionsResponse{{Whole: true}}
	f.do(t, "session", "watch").want(t, 0, "no session runs")
}

func TestNextRunsSayWhatIsKnown(t *testing.T) {
	f := newFake(t)
	f.jobs["docs"] = &keepwardv1.Job{Name: "docs"}
	r := f.do(t, "job", "next", "docs", "--count", "10").want(t, 0, "does not run by itself", "warning: it may not be meant")
	if f.live.asked != 10 || r.out != "" {
		t.Errorf("asked for %d runs: %s", f.live.asked, r.out)
	}
	f.do(t, "job", "next", "docs", "--number", "4").want(t, 0)
	if f.live.asked != 4 {
		t.Errorf("asked for %d runs", f.live.asked)
	}
	f.do(t, "job", "next", "docs", "-n", "0").want(t, 2, "must be 1 or more")
	at := timestamppb.New(now.Add(time.Hour))
	f.live.coming = []*keepwardv1.NextRun{{Time: at}}
	r = f.do(t, "job", "next", "docs").want(t, 0, "NEXT RUN", "IN", "2026-11-01 13:00:00", "1:00 h")
	for _, column := range []string{"UNTIL", "AFTER", "ZONE", "COMPUTERS"} {
		if strings.Contains(r.out, column) {
			t.Errorf("the column %s says nothing and is there", column)
		}
	}
	f.live.coming = []*keepwardv1.NextRun{
		{Time: at, Until: timestamppb.New(now.Add(2 * time.Hour)), Zone: "Asia/Tokyo", Computers: []string{"web1"}},
		{Time: at, Until: timestamppb.New(now.Add(2 * time.Hour))},
	}
	f.do(t, "job", "next", "docs").want(t, 0, "UNTIL", "2026-11-01 14:00:00", "Asia/Tokyo", "web1")
	f.live.coming, f.live.when = []*keepwardv1.NextRun{{Time: at, After: "mail"}}, "when a session of job mail is over"
	f.do(t, "job", "next", "docs").want(t, 0, "job docs runs when a session of job mail is over", "AFTER JOB", "mail")
}

func (f *fake) ListHours(_ context.Context, r *connect.Request[keepwardv1.ListHoursRequest]) (*connect.Response[keepwardv1.ListHoursResponse], error) {
	f.live.hours = r.Msg
	return connect.NewResponse(&f.live.hoursAre), nil
}

func TestNextRunsOfAllJobs(t *testing.T) {
	f := newFake(t)
	f.do(t, "job", "next", "--hours", "72").want(t, 0, "no schedule starts a job in the next 72 hours")
	f.live.hoursAre.Found = 7
	f.live.hoursAre.Runs = []*keepwardv1.ComingRun{
		{Job: "docs", Type: "backup", Run: &keepwardv1.NextRun{Time: timestamppb.New(now.Add(time.Hour))}, AboutSeconds: 600},
		{Job: "offsite", Type: "copy", Run: &keepwardv1.NextRun{Time: timestamppb.New(now.Add(time.Hour)), After: "mail"}},
	}
	r := f.do(t, "job", "next", "-n", "2").want(t, 0, "2026-11-01 13:00:00", "1:00 h", "docs", "10:00 min", "offsite", "mail", "5 more runs in the next 24 hours: --count 7")
	if f.live.hours.GetRuns() != 2 || f.live.hours.GetAhead() != 24 {
		t.Errorf("asked for %v: %s", f.live.hours, r.out)
	}
	f.do(t, "job", "next", "docs", "--hours", "3").want(t, 2, "--hours is for the runs of all jobs")
}

func TestFiguresOfAJob(t *testing.T) {
	f := newFake(t)
	grown := int32(12)
	f.live.figures = &keepwardv1.JobFigures{
		Job: "docs", Statuses: []*keepwardv1.StatusCount{{Status: "Completed", Sessions: 29}, {Status: "Failed", Sessions: 1}},
		DurationMillis: &keepwardv1.Figure{Last: 61_000, Least: 60_000, Mean: 62_000, Most: 90_000, Trend: &grown}, ReadBytes: &keepwardv1.Figure{Last: 1 << 20, Mean: 1 << 20},
		Limits: &keepwardv1.Limits{Source: 80, Cpu: 20}, Bottleneck: "source",
		Runs: []*keepwardv1.JobRun{{Session: 12, Status: "Completed", Started: timestamppb.New(now.Add(-2 * time.Second)), Ended: timestamppb.New(now), ReadBytes: 4 << 20, Files: 1234}},
	}
	f.do(t, "job", "stats", "docs", "--since", "-30d", "--runs", "100").want(t, 0, "Completed 29, Failed 1", "source 80 %, CPU 20 %", "bottleneck", "1:01 min", "+12 %", "1 234", "2.00 MiB")
	if w := f.live.wanted; w.GetName() != "docs" || w.GetRuns() != 100 || !w.GetSince().AsTime().Equal(now.Add(-30*24*time.Hour)) {
		t.Errorf("asked for %v", w)
	}
	var m keepwardv1.JobFigures
	if err := protojson.Unmarshal([]byte(f.do(t, "job", "stats", "docs", "-o", "json").want(t, 0).out), &m); err != nil || m.GetDurationMillis().GetTrend() != 12 {
		t.Errorf("as JSON: %v (%v)", &m, err)
	}
	f.live.figures = &keepwardv1.JobFigures{Job: "docs"}
	f.do(t, "job", "stats", "docs").want(t, 0, "no session of job docs has left a result")
}

func TestJitterOfAJob(t *testing.T) {
	f := newFake(t)
	f.do(t, "job", "create", "docs", "--computer", "web1", "--include", "/srv", "--repository", "main", "--schedule", "every 1h offset 5m on mon-fri", "--jitter", "30m").want(t, 0, "30:00 min")
	if d := f.jobs["docs"].GetJitter().AsDuration(); d != 30*time.Minute {
		t.Errorf("the jitter is %s", d)
	}
	f.jobs["docs"].Jitter = durationpb.New(time.Hour)
	f.do(t, "job", "edit", "docs", "--description", "x").want(t, 0)
	if d := f.jobs["docs"].GetJitter().AsDuration(); d != time.Hour {
		t.Errorf("the jitter became %s", d)
	}
}
