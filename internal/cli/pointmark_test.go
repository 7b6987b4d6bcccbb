package cli_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// upkeep is what the fake was asked about points and retention.
type upkeep struct {
	changed   []string // action, and the names with the reason
	previewed *keepwardv1.Retention
	swept     *keepwardv1.SweepRepositoryRequest
	edited    *keepwardv1.EditRepositoryRequest
}

func (f *fake) change(action string, r *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	f.upkeep.changed = append(f.upkeep.changed, action+" "+strings.Join(r.Msg.GetNames(), ",")+" "+r.Msg.GetReason())
	if r.Msg.GetNames()[0] == "dead" {
		return nil, errs.New(errs.Denied, "point.held", "delete restore point dead: it is on hold").WithHint("release it first")
	}
	var unchanged []string
	if r.Msg.GetNames()[0] == "same" {
		unchanged = []string{strings.Repeat("ab", 16)}
	}
	return connect.NewResponse(&keepwardv1.ChangePointsResponse{Unchanged: unchanged, Points: []*keepwardv1.Point{{
		Id: strings.Repeat("ab", 16), Completeness: "complete", Deleted: timestamppb.New(now), DeletedBecause: "why not", PurgeAfter: timestamppb.New(now.Add(time.Hour)),
	}}}), nil
}

func (f *fake) DeletePoints(_ context.Context, r *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	return f.change("delete", r)
}

func (f *fake) UndeletePoints(_ context.Context, r *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	return f.change("undelete", r)
}

func (f *fake) HoldPoints(_ context.Context, r *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	return f.change("hold", r)
}

func (f *fake) ReleasePoints(_ context.Context, r *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	return f.change("release", r)
}

func (f *fake) PreviewRetention(_ context.Context, r *connect.Request[keepwardv1.PreviewRetentionRequest]) (*connect.Response[keepwardv1.PreviewRetentionResponse], error) {
	f.upkeep.previewed = r.Msg.GetRetention()
	if r.Msg.GetRetention().GetKeepLast() < 0 {
		return connect.NewResponse(&keepwardv1.PreviewRetentionResponse{Refused: "keep_last is negative"}), nil
	}
	return connect.NewResponse(&keepwardv1.PreviewRetentionResponse{
		Points: []*keepwardv1.Point{
			{Id: strings.Repeat("ab", 16), Completeness: "complete", KeptBecause: []string{"newest 1: number 1"}},
			{Id: strings.Repeat("cd", 16), Completeness: "complete", Deleted: timestamppb.New(now), DeletedBecause: "no rule keeps it"},
		},
		Kept: 1, Deleted: 1, FreedBytes: 2048,
	}), nil
}

func (f *fake) SweepRepository(_ context.Context, r *connect.Request[keepwardv1.SweepRepositoryRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	f.upkeep.swept = r.Msg
	return connect.NewResponse(&keepwardv1.StartSessionResponse{Session: 12}), nil
}

func (f *fake) CheckRepository(context.Context, *connect.Request[keepwardv1.CheckRepositoryRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	return connect.NewResponse(&keepwardv1.StartSessionResponse{Session: 12}), nil
}

func (f *fake) RebuildIndex(context.Context, *connect.Request[keepwardv1.RebuildIndexRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	return connect.NewResponse(&keepwardv1.StartSessionResponse{Session: 12}), nil
}

func TestMaintenanceIsWaitedForUnlessSomethingElseIsSaid(t *testing.T) {
	f := newFake(t)
	f.sessions = []*keepwardv1.Session{state("Completed", nil)}
	f.sessions[0].Type = "rebuild-index"
	for _, verb := range []string{"check", "sweep", "rebuild-index"} {
		if r := f.do(t, "repository", verb, "main").want(t, 0, "session 12: Completed"); strings.Contains(r.out, "file") {
			t.Errorf("%s speaks of files: %s", verb, r.out)
		}
		if r := f.do(t, "repository", verb, "main", "--wait=false").want(t, 0); r.out != "12\n" {
			t.Errorf("%s: %+v", verb, r)
		}
	}
}

func (f *fake) EditRepository(_ context.Context, r *connect.Request[keepwardv1.EditRepositoryRequest]) (*connect.Response[keepwardv1.EditRepositoryResponse], error) {
	f.upkeep.edited = r.Msg
	return connect.NewResponse(&keepwardv1.EditRepositoryResponse{Repository: &keepwardv1.Repository{Name: r.Msg.GetName()}}), nil
}

func TestPointsAreMarkedByTheirNames(t *testing.T) {
	f := newFake(t)
	for _, verb := range []string{"delete", "undelete", "hold", "release"} {
		if r := f.do(t, "point", verb, "3fa1", "77b0", "--reason", "case 7", "-o", "wide"); r.code != 0 || !strings.Contains(r.out, "why not") {
			t.Errorf("%s: %+v", verb, r)
		}
	}
	want := []string{"delete 3fa1,77b0 case 7", "undelete 3fa1,77b0 case 7", "hold 3fa1,77b0 case 7", "release 3fa1,77b0 case 7"}
	if d := cmp.Diff(want, f.upkeep.changed); d != "" {
		t.Error(d)
	}
	for verb, remark := range map[string]string{
		"delete": "abababab is deleted already, since 2026-11-01 12:00:00; it is left as it is", "undelete": "abababab is not deleted; it",
		"hold": "abababab is on hold already: ", "release": "abababab is not on hold; it",
	} {
		f.do(t, "point", verb, "same").want(t, 0, remark)
	}
	if r := f.do(t, "point", "delete", "dead", "--yes"); r.code != 5 || !strings.Contains(r.err, "hint: release it first") {
		t.Errorf("a refusal: %+v", r)
	}
	if r := f.do(t, "point", "hold"); r.code != 2 {
		t.Errorf("without a point: %+v", r)
	}
}

func TestRetentionFlagsChangeOnlyWhatIsWritten(t *testing.T) {
	f := newFake(t)
	f.jobs["docs"] = &keepwardv1.Job{Name: "docs", Retention: &keepwardv1.Retention{KeepLast: 7, Weekly: 4}}
	if r := f.do(t, "job", "edit", "docs", "--keep-weekly", "0", "--keep-yearly", "10"); r.code != 0 || !strings.Contains(r.out, "keep the newest 7, 10 yearly") {
		t.Errorf("%+v", r)
	}
	if d := cmp.Diff(&keepwardv1.Retention{KeepLast: 7, Yearly: 10}, f.jobs["docs"].GetRetention(), protocmp.Transform()); d != "" {
		t.Error(d)
	}
	if r := f.do(t, "job", "create", "plain", "--computer", "web1", "--include", "/srv", "--repository", "main"); !strings.Contains(r.out, "keep everything") || f.jobs["plain"].GetRetention() != nil {
		t.Errorf("a job without rules: %+v", r)
	}
}

func TestPreviewShowsTheFateOfEachPoint(t *testing.T) {
	f := newFake(t)
	r := f.do(t, "job", "retention", "preview", "docs")
	if r.code != 0 || f.upkeep.previewed != nil || !strings.Contains(r.out, "newest 1: number 1") || !strings.Contains(r.err, "1 kept, 1 would be deleted, about 2.00 KiB would be freed") {
		t.Errorf("%+v", r)
	}
	for _, line := range strings.Split(r.out, "\n") {
		if strings.HasPrefix(line, "cdcd") && (!strings.Contains(line, "deleted") || strings.Contains(line, "deleted, complete")) {
			t.Errorf("the second: %s", line)
		}
	}
	if r := f.do(t, "job", "retention", "preview", "docs", "--keep-last", "-1"); r.code != 2 || !strings.Contains(r.err, "negative") {
		t.Errorf("refused rules: %+v", r)
	}
}

func TestSweepAndUpkeepAreOrderedAsWritten(t *testing.T) {
	f := newFake(t)
	if r := f.do(t, "repository", "sweep", "main", "--dry-run", "--compact", "--wait=false"); r.code != 0 || strings.TrimSpace(r.out) != "12" {
		t.Errorf("%+v", r)
	}
	if d := cmp.Diff(&keepwardv1.SweepRepositoryRequest{Name: "main", DryRun: true, Compact: true}, f.upkeep.swept, protocmp.Transform()); d != "" {
		t.Error(d)
	}
	f.sessions = []*keepwardv1.Session{{Id: 12, Type: "sweep", Status: "Completed", Report: &keepwardv1.TaskReport{Sweep: &keepwardv1.SweepReport{PurgedPoints: 2, DeletedPacks: 3, DeletedBytes: 4096}}}}
	if r := f.do(t, "repository", "sweep", "main"); r.code != 0 || !strings.Contains(r.out, "2 restore points purged, 4.00 KiB freed, 3 packs deleted") {
		t.Errorf("%+v", r)
	}
	if r := f.do(t, "repository", "edit", "main", "--undelete-grace", "0s", "--unprotected-after", "90d"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	want := &keepwardv1.EditRepositoryRequest{Name: "main", UndeleteGrace: durationpb.New(0), UnprotectedAfter: durationpb.New(90 * 24 * time.Hour)}
	if d := cmp.Diff(want, f.upkeep.edited, protocmp.Transform()); d != "" {
		t.Error(d)
	}
	if r := f.do(t, "repository", "edit", "main"); r.code != 2 {
		t.Errorf("nothing to change: %+v", r)
	}
}
