package server

import (
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
)

func (s *testServer) preview(m *keepwardv1.PreviewJobRequest) *keepwardv1.PreviewJobResponse {
	s.t.Helper()
	return must(keepwardv1connect.NewJobPreviewServiceClient(s.client, s.url(), as(s.token)).PreviewJob(s.t.Context(), connect.NewRequest(m)))(s.t)
}

// Two who read a job and change it: the second is told, and what the first wrote stands.
func TestAChangeOfAJobThatSomebodyElseChangedIsRefused(t *testing.T) {
	s, _ := withRepository(t)
	ctx, api := t.Context(), s.jobs()
	if _, err := s.createJob(docs()); err != nil {
		t.Fatal(err)
	}
	read := func() *keepwardv1.Job {
		return must(api.GetJob(ctx, connect.NewRequest(&keepwardv1.GetJobRequest{Name: "docs"})))(t).Job
	}
	update := func(j *keepwardv1.Job) error {
		_, err := api.UpdateJob(ctx, connect.NewRequest(&keepwardv1.UpdateJobRequest{Job: j}))
		return err
	}
	first, second := read(), read()
	if first.Revision == 0 || first.Revision != second.Revision {
		t.Fatalf("read twice, the revisions are %d and %d", first.Revision, second.Revision)
	}
	first.Description = "the first one's"
	if err := update(first); err != nil {
		t.Fatal(err)
	}
	second.Schedule = "daily 23:00"
	if err := update(second); errs.CodeOf(err) != "job.changed" || errs.KindOf(err) != errs.Busy {
		t.Errorf("the second change: %v", err)
	}
	now := read()
	if now.Description != "the first one's" || now.Schedule != "daily 22:00" || now.Revision <= first.Revision {
		t.Errorf("the job is now %v", now)
	}
	second.Revision = now.Revision
	if err := update(second); err != nil {
		t.Errorf("with the present revision: %v", err)
	}
	second.Revision = 0 // who does not say what he has read, as an older client
	if err := update(second); err != nil {
		t.Errorf("without one: %v", err)
	}
	// One that was deleted and made anew is another one.
	old := read()
	if _, err := api.DeleteJob(ctx, connect.NewRequest(&keepwardv1.DeleteJobRequest{Name: "docs"})); err != nil {
		t.Fatal(err)
	}
	if _, err := s.createJob(docs()); err != nil {
		t.Fatal(err)
	}
	if err := update(old); errs.CodeOf(err) != "job.changed" {
		t.Errorf("a change of the job that was deleted: %v", err)
	}
}

// What the preview says is what saving says, and it writes nothing.
func TestAPreviewOfAJobSaysWhatSavingWouldSay(t *testing.T) {
	s, _ := withRepository(t)
	bad := docs()
	bad.Files.Include, bad.Repository, bad.Schedule = []string{"usr"}, "none", "daily 25:00"
	m := s.preview(&keepwardv1.PreviewJobRequest{Job: bad, NextRuns: 3})
	var fields []string
	for _, f := range m.Faults {
		fields = append(fields, f.Field)
		if f.Text == "" || f.Code == "" {
			t.Errorf("a fault without text or code: %v", f)
		}
	}
	slices.Sort(fields)
	if want := []string{"files.include[0]", "repository", "schedule"}; !slices.Equal(fields, want) {
		t.Errorf("the faults are of %v, want %v", fields, want)
	}
	if _, err := s.createJob(bad); err == nil || !strings.Contains(err.Error(), m.Faults[0].Text) {
		t.Errorf("saving says %v, the preview said %q", err, m.Faults[0].Text)
	}

	m = s.preview(&keepwardv1.PreviewJobRequest{Job: docs(), NextRuns: 3})
	if len(m.Faults) != 0 || len(m.Coming) != 3 || !strings.Contains(string(m.Yaml), "schedule: daily 22:00") || m.Job.Compression != "auto" {
		t.Errorf("a good job: %v", m)
	}
	if list := must(s.jobs().ListJobs(t.Context(), connect.NewRequest(&keepwardv1.ListJobsRequest{})))(t).Jobs; len(list) != 0 {
		t.Fatalf("the preview wrote %v", list)
	}

	if _, err := s.createJob(docs()); err != nil {
		t.Fatal(err)
	}
	if m = s.preview(&keepwardv1.PreviewJobRequest{Job: docs()}); len(m.Faults) != 1 || m.Faults[0].Code != "job.exists" || m.Faults[0].Field != "name" {
		t.Errorf("a new job of a name that is taken: %v", m.Faults)
	}
	other := docs()
	other.Schedule = "daily 23:00"
	m = s.preview(&keepwardv1.PreviewJobRequest{Job: other, InsteadOf: "docs"})
	if len(m.Faults) != 0 || !slices.Equal(m.Changed, []string{"schedule"}) || m.Revision == 0 || m.Revised == nil {
		t.Errorf("in place of the one that is there: %v", m)
	}
}

// Where a computer is taken out of a job, what the job has for it alone goes with it, and that is said.
func TestAPreviewLeavesOutWhatIsForNobody(t *testing.T) {
	s, _ := withRepository(t)
	j := docs()
	j.Overrides = []*keepwardv1.FileOverride{{Computer: "web9", Include: &keepwardv1.TextList{Items: []string{"/srv"}}}}
	j.Applications = []*keepwardv1.Application{{Kind: "postgresql", Name: "shop", Computers: []string{"web9"}}}
	j.Commands = []*keepwardv1.CommandSource{{Name: "dump.sql", Path: "/usr/bin/dump", Computers: []string{"web9"}}}
	if m := s.preview(&keepwardv1.PreviewJobRequest{Job: j}); len(m.Faults) == 0 {
		t.Error("what is for a computer that is none of the job's is no fault")
	}
	m := s.preview(&keepwardv1.PreviewJobRequest{Job: j, LeaveOutStrangers: true})
	if len(m.Faults) != 0 || len(m.Job.Overrides)+len(m.Job.Applications)+len(m.Job.Commands) != 0 {
		t.Errorf("left are %v, with %v", m.Job, m.Faults)
	}
	if said := strings.Join(m.LeftOut, "; "); !strings.Contains(said, "web9") || !strings.Contains(said, "shop") || !strings.Contains(said, "dump.sql") {
		t.Errorf("it says %q", said)
	}
}

// What would be there of a year goes by the schedule where it has moments of its own, and says so where
// it has none.
func TestAPreviewTellsWhatWouldBeThereOfAYear(t *testing.T) {
	s, _ := withRepository(t)
	count := func(m *keepwardv1.PreviewJobResponse) (days, made, kept int) {
		for _, d := range m.GetYear() {
			days, made, kept = days+1, made+int(d.GetMade()), kept+int(d.GetKept())
		}
		return days, made, kept
	}
	for _, tt := range []struct {
		schedule   string
		made, kept int
		daily      bool
	}{
		{"weekly Sun 03:00", 52, 5, false},
		{"every 1h", 8760, 8, false}, // the newest five of one day, and the newest of three weeks before
		{"", 365, 8, true},
	} {
		j := docs()
		j.Schedule, j.Retention = tt.schedule, &keepwardv1.Retention{KeepLast: 5, Weekly: 4}
		res := s.preview(&keepwardv1.PreviewJobRequest{Job: j, Year: true})
		days, made, kept := count(res)
		if days != 365 || made < tt.made-30 || made > tt.made+30 || kept > tt.kept || kept < tt.kept-2 || res.GetYearDaily() != tt.daily {
			t.Errorf("%q: %d days, %d made, %d kept, daily %v", tt.schedule, days, made, kept, res.GetYearDaily())
		}
	}
	bad := docs()
	bad.Retention = &keepwardv1.Retention{KeepLast: -1}
	if res := s.preview(&keepwardv1.PreviewJobRequest{Job: bad, Year: true}); len(res.GetYear()) != 0 || len(res.GetFaults()) == 0 {
		t.Errorf("of rules that cannot be it tells a year: %v", res)
	}
	if res := s.preview(&keepwardv1.PreviewJobRequest{Job: docs()}); len(res.GetYear()) != 0 {
		t.Error("a year is told that nobody asked for")
	}
}
