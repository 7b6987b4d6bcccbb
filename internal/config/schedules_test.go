package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// chained is a site of jobs that follow each other: nightly, then a, then b; x has no schedule.
func chained() Site {
	s := site
	s.Schedules = map[string]string{"nightly": "daily 22:00", "a": "after nightly", "b": "After a if completed", "x": "", "y": "after x"}
	return s
}

func TestChainsOfJobs(t *testing.T) {
	for _, tt := range []struct {
		name, schedule, code, text string
	}{
		{"docs", "after b", "", ""},
		{"docs", "after nightly if completed", "", ""},
		{"docs", "after nobody", "job.unknown", "nobody"},
		{"docs", "after docs", "job.circle", "docs → docs"},
		{"nightly", "after b", "job.circle", "nightly → b → a → nightly"},
		{"a", "after b", "job.circle", "a → b → a"},
		{"b", "after nightly", "", ""},
	} {
		j := goodJob()
		j.Name, j.Schedule = tt.name, tt.schedule
		f := CheckJob(j, chained())
		switch {
		case tt.code == "" && len(f) > 0:
			t.Errorf("%s %s: %v", tt.name, tt.schedule, Error(f))
		case tt.code == "":
		case len(f) != 1 || f[0].Field != "schedule" || f[0].Err.Code != tt.code || !strings.Contains(f[0].Err.Error(), tt.text):
			t.Errorf("%s %s: %v (%v), want %s", tt.name, tt.schedule, f, Error(f), tt.code)
		}
	}
	j := goodJob()
	j.Schedule, j.Disabled = "after b", true
	if f := CheckJob(j, chained().With(&keepwardv1.Job{Name: "nightly", Schedule: "after docs"})); len(f) != 1 || f[0].Err.Code != "job.circle" {
		t.Errorf("a circle of jobs that are saved together, one of them disabled: %v", Error(f))
	}
}

func TestWhoFollowsAJob(t *testing.T) {
	if got := Followers(chained().With(&keepwardv1.Job{Name: "c", Schedule: "after nightly"}), "nightly"); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("followers are %v", got)
	}
	if got := Followers(chained().With(&keepwardv1.Job{Name: "a", Schedule: "after nightly", Disabled: true}), "nightly"); len(got) != 0 {
		t.Errorf("a disabled job follows: %v", got)
	}
}

func TestJitterAndSchedulesHaveBounds(t *testing.T) {
	for d, good := range map[time.Duration]bool{0: true, time.Hour: true, 24 * time.Hour: true, 25 * time.Hour: false, -time.Second: false} {
		j := goodJob()
		j.Jitter = durationpb.New(d)
		if f := CheckJob(j, site); (len(f) == 0) != good || !good && (f[0].Field != "jitter" || f[0].Err.Kind != errs.Invalid) {
			t.Errorf("jitter %s: %v", d, Error(f))
		}
	}
	r := &keepwardv1.Repository{Name: "r", Transport: "t1", Path: "/r", Maintenance: "after docs"}
	CompleteRepository(r)
	if f := CheckRepository(r, site); len(f) != 1 || f[0].Field != "maintenance" {
		t.Errorf("maintenance that follows a job: %v", Error(f))
	}
}

func TestWhatMayNotBeMeant(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.Local)
	for _, tt := range []struct {
		name   string
		change func(j *keepwardv1.Job)
		want   string
	}{
		{"every day", func(*keepwardv1.Job) {}, ""},
		{"a leap day", func(j *keepwardv1.Job) { j.Schedule = "0 12 29 feb *" }, "does not run before 2028-02-29"},
		{"a chain", func(j *keepwardv1.Job) { j.Schedule = "after b" }, ""},
		{"a chain that nothing begins", func(j *keepwardv1.Job) { j.Schedule = "after y" }, "it follows job x, which is disabled or has no schedule"},
		{"the same, disabled", func(j *keepwardv1.Job) { j.Schedule, j.Disabled = "after y", true }, ""},
		{"a spread", func(j *keepwardv1.Job) { j.Schedule, j.Jitter = "every 1h", durationpb.New(time.Hour) }, ""},
		{"a long spread", func(j *keepwardv1.Job) { j.Schedule, j.Jitter = "every 1h", durationpb.New(90*time.Minute) }, "over 1h30m, which is longer"},
		{"continuously", func(j *keepwardv1.Job) { j.Schedule = "continuously" }, ""},
		{"when told", func(j *keepwardv1.Job) { j.Schedule = "" }, ""},
	} {
		j := goodJob()
		tt.change(j)
		got := strings.Join(WarnJob(j, chained(), now), "; ")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestJitterComesBackFromAnExport(t *testing.T) {
	docs, faults := Parse(files("kind: job\nname: docs\ncomputers: [web1]\nfiles: {include: [/srv]}\nrepository: main\nschedule: daily 22:00 in computer\njitter: 90m\n"))
	if len(faults) != 0 || len(docs) != 1 || docs[0].Job.Jitter.AsDuration() != 90*time.Minute {
		t.Fatalf("%v, %v", docs, faults)
	}
	text, err := Export(nil, []*keepwardv1.Job{docs[0].Job})
	if err != nil || !strings.Contains(string(text), "jitter: 1h30m\n") {
		t.Errorf("exported (%v):\n%s", err, text)
	}
}
