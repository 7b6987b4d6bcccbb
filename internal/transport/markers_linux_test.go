package transport_test

import (
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/wire"
)

var marked = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)

// mark marks points, and answers the code of each one's failure.
func (h *host) mark(action string, points ...point.Attempt) []string {
	h.t.Helper()
	req := &keepwardv1.MarkPointsRequest{
		RepositoryPath: h.path, RepositoryId: h.id[:], Term: 1, Action: action, Time: timestamppb.New(marked), Reason: "because",
		Owner: []byte("server"),
	}
	for _, p := range points {
		req.Points = append(req.Points, p.String())
	}
	res, err := h.calls().MarkPoints(h.t.Context(), connect.NewRequest(req))
	must(h.t, err)
	var out []string
	for i, p := range res.Msg.GetPoints() {
		if p.GetPoint() != points[i].String() {
			h.t.Errorf("answer %d is about %s", i, p.GetPoint())
		}
		out = append(out, errs.CodeOf(wire.FromFailure(p.GetFailure())))
	}
	return out
}

func (h *host) markers() (names int, of map[string]*keepwardv1.PointMarkers) {
	h.t.Helper()
	res, err := h.calls().ListMarkers(h.t.Context(), connect.NewRequest(&keepwardv1.ListMarkersRequest{RepositoryPath: h.path, RepositoryId: h.id[:], Term: 1}))
	must(h.t, err)
	of = map[string]*keepwardv1.PointMarkers{}
	for _, m := range res.Msg.GetMarked() {
		of[m.GetPoint()] = m
	}
	return len(res.Msg.GetNames()), of
}

func TestPointsAreMarkedOneByOneAndTold(t *testing.T) {
	h := newHost(t)
	a, b, none := h.backup(text), h.backup(text), newAttempt()
	for _, step := range []struct {
		action string
		points []point.Attempt
		want   []string
	}{
		{"delete", []point.Attempt{a, none, b}, []string{"", "point.not-found", ""}},
		{"delete", []point.Attempt{a}, []string{""}}, // again
		{"undelete", []point.Attempt{b}, []string{""}},
		{"hold", []point.Attempt{b}, []string{""}},
		{"delete", []point.Attempt{b}, []string{"point.held"}},
		{"release", []point.Attempt{none}, []string{"point.not-found"}},
	} {
		got := h.mark(step.action, step.points...)
		for i, want := range step.want {
			if got[i] != want {
				t.Errorf("%s %s: %q, want %q", step.action, step.points[i], got[i], want)
			}
		}
	}
	names, of := h.markers()
	if m := of[a.String()]; names != 2 || !m.GetDeleted() || !m.GetDeletedAt().AsTime().Equal(marked) || m.GetDeletedBecause() != "because" || m.GetHeld() {
		t.Errorf("%d names, the first is %v", names, m)
	}
	if m := of[b.String()]; m.GetDeleted() || !m.GetHeld() || m.GetHoldReason() != "because" {
		t.Errorf("the second is %v", m)
	}
	h.mark("release", b)
	h.mark("undelete", a)
	if _, of := h.markers(); len(of) != 0 {
		t.Errorf("left are %v", of)
	}
}

func TestMarksOfAnotherServerOrKindAreRefused(t *testing.T) {
	h := newHost(t)
	a := h.backup(text)
	req := func() *keepwardv1.MarkPointsRequest {
		return &keepwardv1.MarkPointsRequest{RepositoryPath: h.path, RepositoryId: h.id[:], Term: 1, Action: "delete", Points: []string{a.String()}, Owner: []byte("server")}
	}
	for name, change := range map[string]func(*keepwardv1.MarkPointsRequest){
		"an unknown action":  func(r *keepwardv1.MarkPointsRequest) { r.Action = "purge" },
		"another repository": func(r *keepwardv1.MarkPointsRequest) { r.RepositoryId = make([]byte, 16) },
		"a relative path":    func(r *keepwardv1.MarkPointsRequest) { r.RepositoryPath = "repository" },
		"an older term":      func(r *keepwardv1.MarkPointsRequest) { r.Term = 0 },
		"a clone's":          func(r *keepwardv1.MarkPointsRequest) { r.Owner = []byte("clone") },
	} {
		r := req()
		change(r)
		if _, err := h.calls().MarkPoints(t.Context(), connect.NewRequest(r)); err == nil {
			t.Errorf("%s: marked", name)
		}
	}
	if _, of := h.markers(); len(of) != 0 {
		t.Errorf("marked are %v", of)
	}
}
