package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// fakeThings are what the deeds are done to, and what was asked of them.
type fakeThings struct {
	asked   []string // the calls that change something, in words
	refused error    // what they are answered with
	held    bool
	gone    bool // deleted
	points  int  // how many there are; 0: one
	group   *keepwardv1.Group
	away    bool // the host of the repository
}

// did notes a call that changes something.
func (f *fakeThings) did(format string, args ...any) error {
	if f.refused != nil {
		return f.refused
	}
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	return nil
}

func (f *fakeThings) point(n int) *keepwardv1.Point {
	p := &keepwardv1.Point{
		Id: fmt.Sprintf("3fa1%016d", n), Computer: hostile, Job: hostile, Repository: hostile, Time: timestamppb.Now(), KeptBecause: []string{hostile}, KeptUntil: timestamppb.Now(),
		Held: f.held, Files: &keepwardv1.FileSelection{Include: []string{hostile}},
	}
	if f.held {
		p.HoldReason = hostile
	}
	if f.gone {
		p.Deleted, p.PurgeAfter, p.DeletedBecause = timestamppb.Now(), timestamppb.New(time.Now().Add(time.Hour)), hostile
	}
	return p
}

func (f *fakeAPI) ListPoints(_ context.Context, req *connect.Request[keepwardv1.ListPointsRequest]) (*connect.Response[keepwardv1.ListPointsResponse], error) {
	m := &keepwardv1.ListPointsResponse{}
	for n := range max(f.points, 1) {
		p := f.point(n)
		if p.GetId() > req.Msg.GetBehind() && len(m.GetPoints()) < int(req.Msg.GetLimit()) {
			m.Points = append(m.Points, p)
		}
	}
	return connect.NewResponse(m), nil
}

func (f *fakeAPI) GetPoint(_ context.Context, req *connect.Request[keepwardv1.GetPointRequest]) (*connect.Response[keepwardv1.GetPointResponse], error) {
	if req.Msg.GetName() == "" && req.Msg.GetBefore() != "2026-11-01T22:00:00Z" {
		return nil, errs.New(errs.NotFound, "point.not-found", "there is no restore point before %s", req.Msg.GetBefore())
	}
	if !strings.HasPrefix(f.point(0).GetId(), req.Msg.GetName()) {
		return nil, errs.New(errs.NotFound, "point.not-found", "there is no restore point %s", req.Msg.GetName())
	}
	return connect.NewResponse(&keepwardv1.GetPointResponse{Point: f.point(0)}), nil
}

func (f *fakeAPI) changePoints(verb string, req *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	return connect.NewResponse(&keepwardv1.ChangePointsResponse{}), f.did("%s %v %s", verb, req.Msg.GetNames(), req.Msg.GetReason())
}

func (f *fakeAPI) HoldPoints(_ context.Context, req *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	return f.changePoints("hold", req)
}

func (f *fakeAPI) ReleasePoints(_ context.Context, req *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	return f.changePoints("release", req)
}

func (f *fakeAPI) DeletePoints(_ context.Context, req *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	return f.changePoints("delete", req)
}

func (f *fakeAPI) UndeletePoints(_ context.Context, req *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	return f.changePoints("undelete", req)
}

func (f *fakeAPI) GetRepository(context.Context, *connect.Request[keepwardv1.GetRepositoryRequest]) (*connect.Response[keepwardv1.GetRepositoryResponse], error) {
	r := fakeRepository()
	r.Proof = &keepwardv1.ProofState{Packs: 9, Bytes: 90, ProvedPacks: 7, ProvedBytes: 70, Oldest: timestamppb.Now()}
	return connect.NewResponse(&keepwardv1.GetRepositoryResponse{Repository: r}), nil
}

// done asks for a page, fills the form on it in as told, and sends it as a browser does.
func (b *browser) does(path string, pairs ...string) (*http.Response, string) {
	b.t.Helper()
	form := formOn(text(b.t, b.get(path)))
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	res := b.post(path, form)
	return res, text(b.t, res)
}

// A point is marked as the button says, with the reason that was given, and only once somebody has seen
// what comes of it.
func TestPointsAreMarkedWithAReason(t *testing.T) {
	id := (&fakeThings{}).point(0).GetId()
	for _, one := range []struct {
		deed       string
		held, gone bool
	}{{"hold", false, false}, {"delete", false, false}, {"release", true, false}, {"undelete", false, true}} {
		b := loggedIn(t)
		b.api.held, b.api.gone = one.held, one.gone
		page := text(t, b.get("/points/show?point="+id))
		for _, name := range []string{"hold", "delete", "release", "undelete"} {
			b.api.asked = nil
			offered := strings.Contains(page, "/do/"+name+"-point?of="+id)
			res, page := b.does("/do/"+name+"-point?of="+id, "reason", "case 117", "whole", "yes")
			fits := name == one.deed || !one.held && !one.gone && (name == "hold" || name == "delete")
			if offered != fits {
				t.Errorf("a point that is held %v and deleted %v: %s is offered: %v", one.held, one.gone, name, offered)
			}
			want := ""
			if fits {
				want = fmt.Sprintf("%s [%s] case 117", name, id)
			}
			if got := strings.Join(b.api.asked, "; "); got != want {
				t.Errorf("%s: the API was asked for %q, want %q", name, got, want)
			}
			if fits && (res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/points/show?point="+id) {
				t.Errorf("%s is answered with %s to %s", name, res.Status, res.Header.Get("Location"))
			}
			if !fits && (res.StatusCode != http.StatusConflict || !strings.Contains(page, "There is nothing to do")) {
				t.Errorf("%s, which makes no sense, is answered with %s: %s", name, res.Status, page)
			}
		}
	}
}

// What the API refuses is said on the page, with what was filled in.
func TestARefusedDeedKeepsWhatWasFilledIn(t *testing.T) {
	b := loggedIn(t)
	b.api.refused = errs.New(errs.Busy, "point.held", "delete it: %s", hostile).WithHint("release it")
	res, page := b.does("/do/delete-point?of=3fa1", "reason", `wrong "paths"`)
	if res.StatusCode != http.StatusConflict || !strings.Contains(page, "point.held") || !strings.Contains(page, `value="wrong &#34;paths&#34;"`) || strings.Contains(page, "<script>alert") {
		t.Errorf("answered with %s: %s", res.Status, page)
	}
}

// Where the login must be confirmed first, the page leads there, and not to the command line.
func TestALoginThatMustBeConfirmedIsLedToIt(t *testing.T) {
	b := loggedIn(t)
	b.api.refused = errs.New(errs.Denied, "access.unconfirmed", "call PointService/DeletePoints: not confirmed").WithHint("keepward login confirm")
	res, page := b.does("/do/delete-point?of=3fa1", "reason", "disk full")
	if res.StatusCode != http.StatusForbidden || !strings.Contains(page, `href="/do/confirm-login"`) || !strings.Contains(page, `value="disk full"`) || strings.Contains(page, "keepward login confirm") {
		t.Errorf("answered with %s: %s", res.Status, page)
	}
}

// A form of which only a part came does nothing: a browser that was cut off sends less than it had.
func TestAPartOfAFormDoesNothing(t *testing.T) {
	b := loggedIn(t)
	if res := b.post("/do/delete-point?of=3fa1", url.Values{"reason": {"x"}}); res.StatusCode != http.StatusBadRequest || len(b.api.asked) > 0 {
		t.Errorf("answered with %s, the API was asked for %v", res.Status, b.api.asked)
	}
}

// Who may not is offered nothing, and is told so where he comes by the path.
func TestAViewerSeesNoButtons(t *testing.T) {
	b := loggedIn(t)
	b.api.role = "viewer"
	for _, path := range pages {
		if page := text(t, b.get(path)); strings.Contains(page, `href="/do/`) {
			t.Errorf("%s leads a viewer to a deed", path)
		}
	}
	for _, a := range deeds {
		res := b.get(deedLink(a.name, "3fa1", "level", "server"))
		if page := text(t, res); strings.Contains(page, `class="deed"`) || res.StatusCode == http.StatusOK {
			t.Errorf("%s is answered with %s for a viewer:\n%s", a.name, res.Status, page)
		}
	}
}

// The list goes on where its page ends, without the filter being lost.
func TestThePointsComeInPages(t *testing.T) {
	b := loggedIn(t)
	b.api.points = pointsShown + 7
	page := text(t, b.get("/points?job=docs"))
	last := b.api.point(pointsShown - 1).GetId()
	next := "/points?behind=" + last + "&amp;job=docs"
	if n := strings.Count(page, "/points/show?point="); n != pointsShown || !strings.Contains(page, next) {
		t.Fatalf("the first page has %d points, and %v a way to %s", n, strings.Contains(page, next), next)
	}
	page = text(t, b.get("/points?behind="+last+"&job=docs"))
	if n := strings.Count(page, "/points/show?point="); n != 7 || strings.Contains(page, "Older ones") {
		t.Errorf("the second page has %d points: %s", n, page)
	}
}
