package console

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func fakeApprovals() []*keepwardv1.Approval {
	in := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(time.Now().Add(d)) }
	return []*keepwardv1.Approval{
		{Id: 9, User: hostile, Call: "PointService/DeletePoints", What: hostile, Asked: in(-time.Hour), Expires: in(time.Hour), State: "waiting"},
		{Id: 8, User: "x", Call: "RepositoryService/ExportRecoveryKey", What: "give out a key", Asked: in(-time.Hour), Expires: in(time.Hour), State: "waiting", Again: true},
		{Id: 7, User: hostile, What: hostile, Asked: in(-time.Hour), State: "failed", DecidedBy: hostile, Decided: in(0), Note: hostile, Error: hostile},
		{Id: 6, User: "cyd", What: "give out a key", Asked: in(-time.Hour), State: "granted", Again: true, DecidedBy: "x", Decided: in(0)},
	}
}

func (f *fakeAPI) ListApprovals(context.Context, *connect.Request[keepwardv1.ListApprovalsRequest]) (*connect.Response[keepwardv1.ListApprovalsResponse], error) {
	return connect.NewResponse(&keepwardv1.ListApprovalsResponse{Approvals: fakeApprovals()}), nil
}

func (f *fakeAPI) GetApproval(_ context.Context, req *connect.Request[keepwardv1.GetApprovalRequest]) (*connect.Response[keepwardv1.GetApprovalResponse], error) {
	for _, a := range fakeApprovals() {
		if a.GetId() == req.Msg.GetId() {
			return connect.NewResponse(&keepwardv1.GetApprovalResponse{Approval: a}), nil
		}
	}
	return nil, errs.New(errs.NotFound, "approval.unknown", "there is no approval %d", req.Msg.GetId())
}

func (f *fakeAPI) GrantApproval(_ context.Context, req *connect.Request[keepwardv1.GrantApprovalRequest]) (*connect.Response[keepwardv1.GrantApprovalResponse], error) {
	m := &keepwardv1.Approval{Id: req.Msg.GetId(), State: "done"}
	if req.Msg.GetNote() == "it fails" {
		m.State, m.Error = "failed", hostile
	}
	return connect.NewResponse(&keepwardv1.GrantApprovalResponse{Approval: m}), f.did("grant %d %q", req.Msg.GetId(), req.Msg.GetNote())
}

func (f *fakeAPI) RefuseApproval(_ context.Context, req *connect.Request[keepwardv1.RefuseApprovalRequest]) (*connect.Response[keepwardv1.RefuseApprovalResponse], error) {
	return connect.NewResponse(&keepwardv1.RefuseApprovalResponse{}), f.did("refuse %d %q", req.Msg.GetId(), req.Msg.GetNote())
}

func TestApprovalsAreOfferedToWhoMayDecide(t *testing.T) {
	b := loggedIn(t)
	page := text(t, b.get("/approvals"))
	for want, there := range map[string]bool{
		`href="/do/grant-approval?of=8"`: true, `href="/do/refuse-approval?of=8"`: true, `href="/do/withdraw-approval?of=8"`: false,
		`href="/do/grant-approval?of=9"`: false, `href="/do/withdraw-approval?of=9"`: true, // who looks has asked for it
		`href="/do/grant-approval?of=7"`: false, "second_person is off": true, "cyd does it now, once": true,
	} {
		if strings.Contains(page, want) != there {
			t.Errorf("that the page has %s is not %v", want, there)
		}
	}
	if page := text(t, b.get("/do/grant-approval?of=7")); !strings.Contains(page, "nothing to decide any more") || strings.Contains(page, "<button class=\"main") {
		t.Errorf("what was decided can be decided on:\n%s", page)
	}
	if res := b.get("/do/grant-approval?of=x"); res.StatusCode != http.StatusNotFound {
		t.Errorf("an approval without a number: %d", res.StatusCode)
	}
}

func TestAnApprovalWhoseCallFailsSaysSo(t *testing.T) {
	b := loggedIn(t)
	res, page := b.does("/do/grant-approval?of=9", "note", "it fails")
	if res.StatusCode != http.StatusConflict || !strings.Contains(page, "could not be done") || strings.Contains(page, "<script>alert") {
		t.Errorf("answered with %s: %s", res.Status, page)
	}
}

func TestWhatIsAskedForLeadsToTheApprovals(t *testing.T) {
	b := loggedIn(t)
	b.api.refused = errs.New(errs.Denied, "approval.asked", "call PointService/DeletePoints: another administrator must approve it").WithHint("keepward approval show 3")
	_, page := b.does("/do/delete-point?of=3fa1")
	if !strings.Contains(page, `<a href="/approvals">`) || strings.Contains(page, "keepward approval show") || !strings.Contains(page, `class="notice warn" role="alert"`) {
		t.Errorf("the page is\n%s", page)
	}
}
