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

// ListHours answers with an hour of every kind.
func (f *fakeAPI) ListHours(context.Context, *connect.Request[keepwardv1.ListHoursRequest]) (*connect.Response[keepwardv1.ListHoursResponse], error) {
	now := time.Now().Truncate(time.Hour)
	return connect.NewResponse(&keepwardv1.ListHoursResponse{
		Hours: []*keepwardv1.Hour{
			{Start: timestamppb.New(now.Add(-time.Hour)), Success: 3, Warning: 2, Failed: 1}, {Start: timestamppb.New(now), Success: 1, Coming: 1}, {Start: timestamppb.New(now.Add(time.Hour))},
		},
		Runs: []*keepwardv1.ComingRun{{Job: hostile, Type: hostile, Run: fakeRuns()[0], AboutSeconds: 90}}, Found: 3,
	}), nil
}

func TestTheHoursAreDrawnToScaleAndNothingIsTooSmallToBeSeen(t *testing.T) {
	v := &view{zone: time.FixedZone("", 2*3600), now: time.Date(2026, 11, 24, 10, 30, 0, 0, time.UTC)}
	start := func(h int) *timestamppb.Timestamp {
		return timestamppb.New(time.Date(2026, 11, 24, h, 0, 0, 0, time.UTC))
	}
	d := v.drawHours(&keepwardv1.ListHoursResponse{Found: 1000, Hours: []*keepwardv1.Hour{
		{Start: start(9), Success: 500, Warning: 250, Failed: 250}, {Start: start(10), Failed: 1, Coming: 999}, {Start: start(11)}, {Start: start(12), Coming: 1},
	}})
	want := []hourBox{
		{"good", 41, 48, 208, 48},
		{"warn", 41, 24, 208, 24},
		{"bad", 41, 0, 208, 24},
		{"bad", 251, 94, 208, 2}, // one of a thousand
		{"coming", 251, 0, 208, 94},
		{"coming", 671, 94, 208, 2},
	}
	if len(d.boxes) != len(want) {
		t.Fatalf("%d boxes, want %d: %v", len(d.boxes), len(want), d.boxes)
	}
	for i := range want {
		if d.boxes[i] != want[i] {
			t.Errorf("box %d is %v, want %v", i, d.boxes[i], want[i])
		}
	}
	if d.now != 250+105 {
		t.Errorf("now is at %d", d.now)
	}
	if len(d.times) != 1 || d.times[0].text != "12:00" || d.times[0].at != 250 {
		t.Errorf("times %v", d.times)
	}
	if len(d.looks) != 3 || d.looks[0].text != "Tuesday 11:00 to 12:00: 500 succeeded, 250 ended with warnings, 250 failed" {
		t.Errorf("to point at: %v", d.looks)
	}
	if !strings.Contains(d.says, "500 succeeded, 250 ended with warnings and 251 failed; ") {
		t.Error(d.says)
	}
	// One alone is no full column.
	if d := v.drawHours(&keepwardv1.ListHoursResponse{Hours: []*keepwardv1.Hour{{Start: start(9), Success: 1}}}); d.boxes[0].high != hoursHeight/hoursLeast {
		t.Errorf("one session is %d high", d.boxes[0].high)
	}
}
