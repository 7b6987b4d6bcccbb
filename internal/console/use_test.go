package console

import (
	"context"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func fakeGrowth() *keepwardv1.Growth {
	return &keepwardv1.Growth{Days: 10, BytesADay: 3 << 20, FullAbout: timestamppb.New(time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC))}
}

// ListRepositoryDays answers with two days, and one that only a newer server can mean.
func (f *fakeAPI) ListRepositoryDays(context.Context, *connect.Request[keepwardv1.ListRepositoryDaysRequest]) (*connect.Response[keepwardv1.ListRepositoryDaysResponse], error) {
	return connect.NewResponse(&keepwardv1.ListRepositoryDaysResponse{Growth: fakeGrowth(), Days: []*keepwardv1.RepositoryDay{
		{Day: "2026-11-20", SizeBytes: 10, FreeBytes: 90}, {Day: hostile}, {Day: "2026-11-23", SizeBytes: 40, FreeBytes: 60},
	}}), nil
}

func TestUseIsDrawnToScaleAndGoesOnAsItGrows(t *testing.T) {
	m := &keepwardv1.ListRepositoryDaysResponse{
		Growth: &keepwardv1.Growth{Days: 6, BytesADay: 10},
		Days: []*keepwardv1.RepositoryDay{
			{Day: "2026-11-14", SizeBytes: 20, FreeBytes: 80}, {Day: "2026-11-17", SizeBytes: 50, FreeBytes: 50}, {Day: "2026-11-20", SizeBytes: 80, FreeBytes: 20},
		},
	}
	u := drawUse(m)
	// Six days and two more are 790 wide, 100 bytes 146 high of 150: the first and the second day are three apart.
	if want := "M86 150L86 121L382 77L679 33V150Z"; u.held != want {
		t.Errorf("held %s, want %s", u.held, want)
	}
	if want := "M86 4L382 4L679 4H876"; u.room != want {
		t.Errorf("room %s, want %s", u.room, want)
	}
	if want := "M679 33L876 4"; u.coming != want { // full in two days
		t.Errorf("coming %s, want %s", u.coming, want)
	}
	if u.now != 679 || u.says != "Use of the repository from 2026-11-14 to 2026-11-20: from 20 B to 80 B of 100 B" {
		t.Errorf("now at %d, says %q", u.now, u.says)
	}
	if len(u.looks) != 3 || u.looks[1].text != "2026-11-17: 50 B of 100 B" {
		t.Errorf("to point at: %v", u.looks)
	}
	m.Growth.BytesADay = 20
	if u = drawUse(m); u.coming != "M679 33L777 4" { // it ends where it is full
		t.Errorf("coming %s", u.coming)
	}
	m.Growth = nil
	if u = drawUse(m); u.coming != "" {
		t.Errorf("it goes on as nobody knows: %s", u.coming)
	}
	for _, days := range [][]*keepwardv1.RepositoryDay{nil, m.Days[:1], {m.Days[0], m.Days[0]}} {
		if drawUse(&keepwardv1.ListRepositoryDaysResponse{Days: days}) != nil {
			t.Errorf("%d days are drawn", len(days))
		}
	}
	many := &keepwardv1.ListRepositoryDaysResponse{}
	for i := range 400 {
		many.Days = append(many.Days, &keepwardv1.RepositoryDay{Day: time.Unix(int64(i)*86400, 0).UTC().Format(time.DateOnly), SizeBytes: int64(i), FreeBytes: 1 << 40})
	}
	if u = drawUse(many); len(u.looks) != useLooks || len(u.times) > 8 {
		t.Errorf("of 400 days: %d to point at, %d named", len(u.looks), len(u.times))
	}
}

func TestListsSayWhenARepositoryIsFull(t *testing.T) {
	b := loggedIn(t)
	for _, path := range []string{"/overview", "/repositories", "/repositories/show?repository=x"} {
		page := text(t, b.get(path))
		for _, want := range []string{"2027-03-01", "3.00 MiB a day over 10 days"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s does not have %q", path, want)
			}
		}
	}
	page := text(t, b.get("/repositories/show?repository=x"))
	if !strings.Contains(page, `aria-label="Use of the repository from 2026-11-20 to 2026-11-23: from 10 B to 40 B of 100 B"`) {
		t.Error("the page has no picture of its use")
	}
}
