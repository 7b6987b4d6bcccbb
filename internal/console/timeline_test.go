package console

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestATimeLineShowsAnInterruptionAndItsReason(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	v := &view{now: at.Add(100 * time.Second), zone: time.UTC}
	s := &keepwardv1.Session{Status: "Running", Tasks: []*keepwardv1.Task{{Id: "t", Computer: hostile}}}
	c := &turns{}
	for i, to := range []string{"Running", "Interrupted", "Waiting", "Running"} {
		c.take([]*keepwardv1.Event{{Task: "t", To: to, Text: hostile, Time: timestamppb.New(at.Add(time.Duration(i) * 25 * time.Second))}, {Text: "no change"}})
	}
	got := v.timeline(s, c)
	if len(got.lanes) != 1 || len(got.lanes[0].spells) != 4 {
		t.Fatalf("the time line is %+v", got)
	}
	for i, want := range []string{"run", "warn", "idle", "run"} {
		p := got.lanes[0].spells[i]
		if p.tone != want || p.x != laneName+i*laneWidth/4 || p.width != laneWidth/4 {
			t.Errorf("part %d is %+v, want it %s, at %d of width %d", i, p, want, laneName+i*laneWidth/4, laneWidth/4)
		}
		if strings.ContainsAny(p.title, "\u202e\x1b") || !strings.Contains(p.title, "alert(1)") {
			t.Errorf("part %d says %q", i, p.title)
		}
	}
}

func TestATimeLineIsBounded(t *testing.T) {
	v := &view{now: time.Now(), zone: time.UTC}
	c := &turns{}
	for range turnsMost + 5 {
		c.take([]*keepwardv1.Event{{Task: "t", To: "Running", Time: timestamppb.Now()}})
	}
	for i := range lanesMost + 5 {
		c.take([]*keepwardv1.Event{{Task: number(int64(i)), To: "Running", Time: timestamppb.Now()}})
	}
	got := v.timeline(&keepwardv1.Session{}, c)
	if len(got.lanes) != lanesMost || len(got.lanes[0].spells) != turnsMost || got.left != 5+6 {
		t.Errorf("%d lanes, %d parts, %d left out", len(got.lanes), len(got.lanes[0].spells), got.left)
	}
}
