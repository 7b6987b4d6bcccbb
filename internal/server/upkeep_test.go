package server

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// ListMarkers says that every point is on hold.
func (f *fakeTransport) ListMarkers(_ context.Context, req *connect.Request[keepwardv1.ListMarkersRequest]) (*connect.Response[keepwardv1.ListMarkersResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	res := &keepwardv1.ListMarkersResponse{}
	for _, o := range f.points[req.Msg.RepositoryPath] {
		res.Names = append(res.Names, o.Id)
		res.Marked = append(res.Marked, &keepwardv1.PointMarkers{Point: o.Id, Held: true, HoldReason: "case 7"})
	}
	return connect.NewResponse(res), nil
}

func TestAHoldSurvivesTheLossOfTheServer(t *testing.T) {
	old := loseServer(t)
	s := start(t, t.TempDir())
	s.joinTransport(old.f)
	if _, err := s.attach(attachMain(old.key, true)); err != nil {
		t.Fatal(err)
	}
	points := must(keepwardv1connect.NewPointServiceClient(s.client, s.url(), as(s.token)).ListPoints(t.Context(), connect.NewRequest(&keepwardv1.ListPointsRequest{})))(t).Points
	if len(points) == 0 {
		t.Fatal("no point came back")
	}
	for _, p := range points {
		if !p.Held || p.HoldReason != "case 7" {
			t.Errorf("%v", p)
		}
	}
}

func TestUpkeepOfARepositoryIsSetAndShown(t *testing.T) {
	s, _ := withTransport(t)
	made, err := s.createRepository("main", "t1", "/srv/main")
	if err != nil {
		t.Fatal(err)
	}
	if made.GetRepository().GetUndeleteGrace().AsDuration() != job.DefaultUndeleteGrace || made.GetRepository().GetMaintenance() != job.DefaultMaintenance {
		t.Errorf("made as %v", made.GetRepository())
	}
	edit := func(req *keepwardv1.EditRepositoryRequest) (*keepwardv1.Repository, error) {
		req.Name = "main"
		res, err := s.repositories().EditRepository(t.Context(), connect.NewRequest(req))
		if err != nil {
			return nil, err
		}
		return res.Msg.GetRepository(), nil
	}
	never, wrong := "never", "sometimes"
	r, err := edit(&keepwardv1.EditRepositoryRequest{UndeleteGrace: durationpb.New(0), Maintenance: &never})
	if err != nil || r.GetUndeleteGrace() == nil || r.GetUndeleteGrace().AsDuration() != 0 || r.GetMaintenance() != never || r.GetStreams() != job.DefaultStreams {
		t.Errorf("%v, %v", r, err)
	}
	r, err = edit(&keepwardv1.EditRepositoryRequest{UnprotectedAfter: durationpb.New(90 * 24 * time.Hour)})
	if err != nil || r.GetUndeleteGrace().AsDuration() != 0 || r.GetUnprotectedAfter().AsDuration() != 90*24*time.Hour {
		t.Errorf("the rest changed, or this did not: %v, %v", r, err)
	}
	for _, bad := range []*keepwardv1.EditRepositoryRequest{{Maintenance: &wrong}, {UndeleteGrace: durationpb.New(-1)}} {
		if _, err := edit(bad); errs.CodeOf(err) != "repository.upkeep" {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestAJobWithImpossibleRetentionIsNotSaved(t *testing.T) {
	s, _ := withTransport(t)
	s.apply(false, siteYAML)
	j := must(s.jobs().GetJob(t.Context(), connect.NewRequest(&keepwardv1.GetJobRequest{Name: "docs"})))(t).Job
	j.Retention = &keepwardv1.Retention{KeepLast: 2, MinPoints: 9}
	if _, err := s.jobs().UpdateJob(t.Context(), connect.NewRequest(&keepwardv1.UpdateJobRequest{Job: j})); errs.CodeOf(err) != "retention.policy" || errs.HintOf(err) == "" {
		t.Errorf("saved: %v", err)
	}
	if res := must(s.jobs().PreviewRetention(t.Context(), connect.NewRequest(&keepwardv1.PreviewRetentionRequest{Job: "docs", Retention: j.Retention})))(t); res.Refused == "" {
		t.Errorf("the preview does not refuse it: %v", res)
	}
	if res := must(s.jobs().ResumeRetention(t.Context(), connect.NewRequest(&keepwardv1.ResumeRetentionRequest{})))(t); res.Jump != nil {
		t.Errorf("the clock jumped: %v", res)
	}
	if _, err := s.repositories().SweepRepository(t.Context(), connect.NewRequest(&keepwardv1.SweepRepositoryRequest{Name: "mian"})); errs.KindOf(err) != errs.NotFound {
		t.Errorf("sweep of an unknown repository: %v", err)
	}
}
