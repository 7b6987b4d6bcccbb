package manager

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestTheStateOfATimeIsOfAPointThatWasWholeByThen(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 11, 1, hour, 0, 0, 0, time.UTC) }
	ends := map[string]time.Time{"third": at(23), "second": at(15)} // of the first it is not known
	var points []*keepwardv1.Point
	for _, p := range []struct {
		id    string
		begun int
	}{{"third", 20}, {"second", 10}, {"first", 5}} {
		points = append(points, &keepwardv1.Point{Id: p.id, Time: timestamppb.New(at(p.begun))})
	}
	for _, c := range []struct {
		hour int
		of   []*keepwardv1.Point
		want string
	}{
		{0, points, "third"}, // none is wanted
		{23, points, "third"},
		{21, points, "second"}, // the third was being made
		{15, points, "second"},
		{12, points, "first"},
		{12, points[:2], "second"}, // there is no other
		{4, points, ""},
	} {
		var to *timestamppb.Timestamp
		if c.hour > 0 {
			to = timestamppb.New(at(c.hour))
		}
		got, err := pointBefore(c.of, to, func(p *keepwardv1.Point) (time.Time, error) { return ends[p.GetId()], nil })
		if err != nil || got.GetId() != c.want {
			t.Errorf("at %d: %s, %v; want %s", c.hour, got.GetId(), err, c.want)
		}
	}
}
