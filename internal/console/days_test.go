package console

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// ListProtectionDays answers with a computer of every result, and one that a newer server would tell.
func (f *fakeAPI) ListProtectionDays(_ context.Context, req *connect.Request[keepwardv1.ListProtectionDaysRequest]) (*connect.Response[keepwardv1.ListProtectionDaysResponse], error) {
	if req.Msg.GetGroup() == "unknown" {
		return nil, errs.New(errs.NotFound, "group.unknown", "there is no group %q", hostile)
	}
	last := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	results := make([]string, req.Msg.GetDays())
	copy(results, []string{"success", "warning", "partial", "failed", "", hostile})
	return connect.NewResponse(&keepwardv1.ListProtectionDaysResponse{
		First: last.AddDate(0, 0, 1-int(req.Msg.GetDays())).Format(time.DateOnly), Last: last.Format(time.DateOnly), Found: 120, WithHole: 3,
		Computers: []*keepwardv1.ProtectedComputer{{Computer: hostile, HoleDays: 9, FailedDays: 1, Results: results}},
	}), nil
}

func TestEachDayOfAComputerSaysWhatItIsAndLeadsToItsSessions(t *testing.T) {
	b := loggedIn(t)
	page := text(t, b.get("/computers/days?days=7"))
	for _, want := range []string{", 2026-11-17: success", ", 2026-11-19: not all of it", ", 2026-11-20: failed", ", 2026-11-21: no backup", "3 of 120 computers", "skip=1"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if !strings.Contains(page, "day=2026-11-20") {
		t.Error("no day leads to its sessions")
	}
	if n := strings.Count(page, `<td><a class="`); n != 7 {
		t.Errorf("a computer has %d days, want 7", n)
	}
	res := b.get("/computers/days?group=unknown")
	if said := text(t, res); res.StatusCode != http.StatusNotFound || !strings.Contains(said, "there is no group") || !strings.Contains(said, `name="group"`) {
		t.Errorf("%s: what is wrong stands above the form that puts it right", res.Status)
	}
	f := filterOf(map[string][]string{"computer": {"web1"}, "day": {"2026-11-20"}})
	req := f.request(time.Now())
	if from, to := req.GetSince().AsTime(), req.GetUntil().AsTime(); to.Sub(from) >= 24*time.Hour || from.Format(time.DateTime) != "2026-11-20 00:00:00" || to.Format(time.DateOnly) != "2026-11-20" {
		t.Errorf("the sessions of the day are those from %s to %s", from, to)
	}
	if got := f.link("/sessions", 0); !strings.Contains(got, "day=2026-11-20") {
		t.Errorf("the next page forgets the day: %s", got)
	}
}
