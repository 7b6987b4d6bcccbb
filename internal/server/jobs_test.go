package server

import (
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func docs() *keepwardv1.Job {
	return &keepwardv1.Job{
		Name: "docs", Computers: []string{"web1"}, Repository: "main", Schedule: "daily 22:00",
		Files: &keepwardv1.FileSelection{Include: []string{"/usr/share"}},
	}
}

func withRepository(t *testing.T) (*testServer, *fakeTransport) {
	t.Helper()
	s, f := withTransport(t)
	if _, err := s.createRepository("main", "t1", "/srv/main"); err != nil {
		t.Fatal(err)
	}
	return s, f
}

func (s *testServer) createJob(j *keepwardv1.Job) (*keepwardv1.Job, error) {
	s.t.Helper()
	res, err := s.jobs().CreateJob(s.t.Context(), connect.NewRequest(&keepwardv1.CreateJobRequest{Job: j}))
	if err != nil {
		return nil, err
	}
	return res.Msg.Job, nil
}

func TestJobLife(t *testing.T) {
	s, _ := withRepository(t)
	ctx, api := t.Context(), s.jobs()
	j, err := s.createJob(docs())
	if err != nil {
		t.Fatal(err)
	}
	if j.Compression != "auto" || j.Type != "backup" || j.Created == nil || j.NextRun == nil {
		t.Errorf("created %v", j)
	}
	if _, err := s.createJob(docs()); errs.KindOf(err) != errs.Exists {
		t.Errorf("twice: %v", err)
	}
	j.Schedule, j.Disabled = "", true
	updated := must(api.UpdateJob(ctx, connect.NewRequest(&keepwardv1.UpdateJobRequest{Job: j})))(t).Job
	if updated.Schedule != "" || !updated.Disabled || updated.NextRun != nil || !updated.Created.AsTime().Equal(j.Created.AsTime()) {
		t.Errorf("updated %v", updated)
	}
	got := must(api.GetJob(ctx, connect.NewRequest(&keepwardv1.GetJobRequest{Name: "docs", NextRuns: 3})))(t)
	if diff := cmp.Diff(updated, got.Job, protocmp.Transform()); diff != "" || len(got.NextRuns) != 0 {
		t.Error(got.NextRuns, diff)
	}
	must(api.DeleteJob(ctx, connect.NewRequest(&keepwardv1.DeleteJobRequest{Name: "docs"})))(t)
	if list := must(api.ListJobs(ctx, connect.NewRequest(&keepwardv1.ListJobsRequest{})))(t).Jobs; len(list) != 0 {
		t.Errorf("left: %v", list)
	}
}

func TestNextRunsOfAJob(t *testing.T) {
	s, _ := withRepository(t)
	if _, err := s.createJob(docs()); err != nil {
		t.Fatal(err)
	}
	runs := must(s.jobs().GetJob(t.Context(), connect.NewRequest(&keepwardv1.GetJobRequest{Name: "docs", NextRuns: 3})))(t).NextRuns
	if len(runs) != 3 || !runs[0].AsTime().Before(runs[1].AsTime()) || runs[0].AsTime().Local().Hour() != 22 {
		t.Errorf("got %v", runs)
	}
}

func TestBadJobsAreRefusedAtTheDoor(t *testing.T) {
	s, _ := withRepository(t)
	for what, tt := range map[string]struct {
		change func(*keepwardv1.Job)
		kind   errs.Kind
		hint   string
	}{
		"unknown computer":   {func(j *keepwardv1.Job) { j.Computers = []string{"web11"} }, errs.NotFound, "did you mean web1?"},
		"unknown repository": {func(j *keepwardv1.Job) { j.Repository = "man" }, errs.NotFound, "did you mean main?"},
		"relative include":   {func(j *keepwardv1.Job) { j.Files.Include = []string{"usr"} }, errs.Invalid, ""},
		"bad glob":           {func(j *keepwardv1.Job) { j.Files.Exclude = []string{"[a"} }, errs.Invalid, ""},
		"no selection":       {func(j *keepwardv1.Job) { j.Files = nil }, errs.Invalid, ""},
	} {
		j := docs()
		tt.change(j)
		_, err := s.createJob(j)
		if errs.KindOf(err) != tt.kind || tt.hint != "" && errs.HintOf(err) != tt.hint {
			t.Errorf("%s: %v (%s)", what, err, errs.HintOf(err))
		}
	}
	if _, err := s.createJob(nil); errs.KindOf(err) != errs.Invalid {
		t.Errorf("nothing: %v", err)
	}
	ctx, api := t.Context(), s.jobs()
	unknown := docs()
	unknown.Name = "dcos"
	_, errUpdate := api.UpdateJob(ctx, connect.NewRequest(&keepwardv1.UpdateJobRequest{Job: unknown}))
	_, errGet := api.GetJob(ctx, connect.NewRequest(&keepwardv1.GetJobRequest{Name: "dcos"}))
	_, errDelete := api.DeleteJob(ctx, connect.NewRequest(&keepwardv1.DeleteJobRequest{Name: "dcos"}))
	_, errRun := api.RunJob(ctx, connect.NewRequest(&keepwardv1.RunJobRequest{Name: "dcos"}))
	for _, err := range []error{errUpdate, errGet, errDelete, errRun} {
		if errs.KindOf(err) != errs.NotFound {
			t.Errorf("unknown job: %v", err)
		}
	}
}

func TestJobWithAnActiveSessionIsNotDeleted(t *testing.T) {
	s, _ := withRepository(t)
	if _, err := s.createJob(docs()); err != nil {
		t.Fatal(err)
	}
	session := must(s.jobs().RunJob(t.Context(), connect.NewRequest(&keepwardv1.RunJobRequest{Name: "docs"})))(t).Session
	if active := s.status().Active; len(active) != 1 || active[0].Id != session {
		t.Fatalf("the session is not active: %v", s.status().Recent)
	}
	_, err := s.jobs().DeleteJob(t.Context(), connect.NewRequest(&keepwardv1.DeleteJobRequest{Name: "docs"}))
	if errs.KindOf(err) != errs.Busy {
		t.Errorf("got %v", err)
	}
}

func TestRemovedComputerLeavesItsJobs(t *testing.T) {
	s, _ := withRepository(t)
	if _, err := s.createJob(docs()); err != nil {
		t.Fatal(err)
	}
	must(s.computers().RemoveComputer(t.Context(), connect.NewRequest(&keepwardv1.RemoveComputerRequest{Name: "web1"})))(t)
	j := must(s.jobs().GetJob(t.Context(), connect.NewRequest(&keepwardv1.GetJobRequest{Name: "docs"})))(t).Job
	if len(j.Computers) != 0 || !j.Disabled {
		t.Errorf("got %v", j)
	}
}

func TestChainsOfJobsAtTheDoor(t *testing.T) {
	s, _ := withRepository(t)
	ctx, api := t.Context(), s.jobs()
	follow := docs()
	follow.Name, follow.Schedule = "mail", "after docs"
	if _, err := s.createJob(follow); errs.CodeOf(err) != "job.unknown" {
		t.Errorf("after a job that is not there: %v", err)
	}
	told := docs()
	told.Schedule = ""
	if _, err := s.createJob(told); err != nil {
		t.Fatal(err)
	}
	made := must(api.CreateJob(ctx, connect.NewRequest(&keepwardv1.CreateJobRequest{Job: follow})))(t)
	if len(made.Warnings) != 1 {
		t.Errorf("a chain that nothing begins: warnings %v", made.Warnings)
	}
	told.Schedule = "after mail"
	if _, err := api.UpdateJob(ctx, connect.NewRequest(&keepwardv1.UpdateJobRequest{Job: told})); errs.CodeOf(err) != "job.circle" {
		t.Errorf("a circle: %v", err)
	}
	told.Schedule = "daily 22:00"
	if m := must(api.UpdateJob(ctx, connect.NewRequest(&keepwardv1.UpdateJobRequest{Job: told})))(t); len(m.Warnings) != 0 {
		t.Errorf("warnings %v", m.Warnings)
	}
	got := must(api.GetJob(ctx, connect.NewRequest(&keepwardv1.GetJobRequest{Name: "mail", NextRuns: 2})))(t)
	if len(got.NextRuns) != 0 || len(got.Coming) != 2 || got.Coming[0].After != "docs" || got.When == "" {
		t.Errorf("next runs: %v, %v, %q", got.NextRuns, got.Coming, got.When)
	}
	_, err := api.DeleteJob(ctx, connect.NewRequest(&keepwardv1.DeleteJobRequest{Name: "docs"}))
	if errs.CodeOf(err) != "job.followed" {
		t.Errorf("deleting what another follows: %v", err)
	}
	must(api.DeleteJob(ctx, connect.NewRequest(&keepwardv1.DeleteJobRequest{Name: "mail"})))(t)
	must(api.DeleteJob(ctx, connect.NewRequest(&keepwardv1.DeleteJobRequest{Name: "docs"})))(t)
}

func TestFiguresOfAJobAtTheDoor(t *testing.T) {
	s, _ := withRepository(t)
	if _, err := s.createJob(docs()); err != nil {
		t.Fatal(err)
	}
	f := must(s.jobs().GetJobFigures(t.Context(), connect.NewRequest(&keepwardv1.GetJobFiguresRequest{Name: "docs"})))(t).Figures
	if f.Job != "docs" || len(f.Runs) != 0 {
		t.Errorf("figures %v", f)
	}
	if _, err := s.jobs().GetJobFigures(t.Context(), connect.NewRequest(&keepwardv1.GetJobFiguresRequest{Name: "dcos"})); errs.KindOf(err) != errs.NotFound {
		t.Errorf("of a job that is not there: %v", err)
	}
}
