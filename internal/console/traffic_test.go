package console

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestTheTrafficOfTheLastMinutesIsDrawn(t *testing.T) {
	until := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	m := &keepwardv1.ListTrafficRulesResponse{
		RecentBytesPerSecond: []int64{0, 4 << 20, 2 << 20, 2 << 20}, RecentEvery: durationpb.New(5 * time.Second), RecentUntil: timestamppb.New(until),
		Rules: []*keepwardv1.TrafficRule{
			{Name: "idle"},
			{Name: "little", RecentBytesPerSecond: []int64{1}},
			{Name: hostile, RecentBytesPerSecond: []int64{0, 2 << 20, 0, 1 << 20}},
			{Name: "longer than all", RecentBytesPerSecond: []int64{9, 9, 9, 9, 9, 1 << 20}},
			{Name: "third", RecentBytesPerSecond: []int64{5}},
		},
	}
	v := &view{zone: time.UTC, now: until}
	g := v.trafficOf(m)
	if len(g.lines) != 3 || g.lines[0].label != "all tasks" || g.lines[0].most != "4.00 MiB/s" || g.lines[0].mean != "2.00 MiB/s" || g.lines[1].most != "2.00 MiB/s" || g.lines[2].label != "rule longer than all" {
		t.Fatalf("it draws %+v", g.lines)
	}
	if g.from != v.clock(until.Add(-20*time.Second)) || g.to != v.clock(until) || g.slot != "5.0 s" || len(g.gaps) != 0 {
		t.Errorf("it goes from %s to %s by %s, with %v", g.from, g.to, g.slot, g.gaps)
	}
	if text := g.looks[1].text; !strings.Contains(text, "all tasks 4.00 MiB/s, rule ") || strings.Contains(text, "<script>alert(1)</script>\u202e") {
		t.Errorf("a part says %q", text)
	}
	if text := g.looks[3].text; !strings.Contains(text, "all tasks 2.00 MiB/s") || !strings.Contains(text, "rule longer than all 1.00 MiB/s") {
		t.Errorf("the newest part says %q", text)
	}
	var out strings.Builder
	if err := trafficPart(g).Render(t.Context(), &out); err != nil || strings.Contains(out.String(), "<script>") || !strings.Contains(out.String(), "all tasks 2.00 MiB/s in the mean") {
		t.Errorf("it is %s (%v)", out.String(), err)
	}
	out.Reset()
	if err := trafficPart(v.trafficOf(&keepwardv1.ListTrafficRulesResponse{Rules: m.GetRules()})).Render(t.Context(), &out); err != nil || out.Len() != 0 {
		t.Errorf("of nothing it draws %s (%v)", out.String(), err)
	}
}
