package console

import (
	"context"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

var speedBegan = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// speedLike is the speed of a task: of each slot, of a minute, the MiB that were read; -1: it did not run.
func speedLike(task string, after time.Duration, mib ...int64) *keepwardv1.TaskSpeed {
	begin := speedBegan.Add(after)
	t := &keepwardv1.TaskSpeed{Task: task, Start: timestamppb.New(begin), Every: durationpb.New(time.Minute), Until: timestamppb.New(begin.Add(time.Duration(len(mib)) * time.Minute))}
	for _, n := range mib {
		t.ReadBytes, t.SentBytes, t.StoredBytes = append(t.ReadBytes, max(n, 0)<<20), append(t.SentBytes, 0), append(t.StoredBytes, 0)
		t.Running = append(t.Running, n >= 0)
	}
	return t
}

func (f *fakeAPI) GetSessionSpeed(context.Context, *connect.Request[keepwardv1.GetSessionSpeedRequest]) (*connect.Response[keepwardv1.GetSessionSpeedResponse], error) {
	return connect.NewResponse(&keepwardv1.GetSessionSpeedResponse{Tasks: []*keepwardv1.TaskSpeed{speedLike("t", 0, 60, 120, -1, -1, 30)}}), nil
}

func TestASpeedGraphShowsRatesAndGaps(t *testing.T) {
	v := &view{now: speedBegan.Add(5 * time.Minute), zone: time.UTC}
	s := &keepwardv1.Session{Id: 7, Status: "Running", Tasks: []*keepwardv1.Task{{Id: "t", Computer: hostile}}}
	g := v.speedOf(s, []*keepwardv1.TaskSpeed{speedLike("t", 0, 60, 120, -1, -1, 30)})
	if len(g.lines) != 1 || g.lines[0].label != "read" || g.lines[0].most != "2.00 MiB/s" || g.lines[0].mean != "1.17 MiB/s" {
		t.Fatalf("the lines are %+v", g.lines)
	}
	if n := strings.Count(g.lines[0].path, "M"); n != 2 {
		t.Errorf("the line has %d pieces, want one before the gap and one behind it: %s", n, g.lines[0].path)
	}
	if len(g.gaps) != 1 || g.gaps[0].text != "nothing ran from 10:02:00, 2:00 min" {
		t.Errorf("the gaps are %+v", g.gaps)
	}
	if len(g.looks) == 0 || !strings.Contains(g.looks[0].text, "read 1.00 MiB/s") {
		t.Errorf("pointed at it says %+v", g.looks)
	}
}

// What waits moves nothing: the graph goes on to now.
func TestASpeedGraphOfWhatIsNotOverReachesToNow(t *testing.T) {
	v := &view{now: speedBegan.Add(10 * time.Minute), zone: time.UTC}
	tasks := []*keepwardv1.TaskSpeed{speedLike("t", 0, 60)}
	for status, gaps := range map[string]int{"Suspended": 1, "Completed": 0} {
		if g := v.speedOf(&keepwardv1.Session{Status: status}, tasks); len(g.gaps) != gaps {
			t.Errorf("%s: the gaps are %+v, want %d", status, g.gaps, gaps)
		}
	}
}

func TestTasksBesideEachOtherAddUp(t *testing.T) {
	later := speedLike("u", 90*time.Second, 60, 60)
	later.Every = durationpb.New(2 * time.Minute)
	later.Until = timestamppb.New(speedBegan.Add(330 * time.Second))
	g := sumOf([]*keepwardv1.TaskSpeed{speedLike("t", 0, 60, 60, 60), later}, time.Time{})
	sum := 0.0
	for _, v := range g.slots {
		sum += v.bytes[speedRead]
	}
	if g.every != 2*time.Minute || len(g.slots) != 3 || int64(sum+.5) != 300<<20 {
		t.Errorf("%d slots of %v with %v bytes: %+v", len(g.slots), g.every, sum, g.slots)
	}
}

// What a server of another version answers, or one that lies, draws nothing and ends nothing.
func TestASpeedThatMakesNoSenseIsNotDrawn(t *testing.T) {
	v := &view{now: speedBegan, zone: time.UTC}
	short := speedLike("t", 0, 1, 1)
	short.ReadBytes = short.ReadBytes[:1]
	no := speedLike("t", 0, 1)
	no.Every = nil
	far := speedLike("t", 0, 1)
	far.Until = timestamppb.New(speedBegan.AddDate(200, 0, 0))
	for name, one := range map[string]*keepwardv1.TaskSpeed{"none": {}, "short": short, "no length": no, "far": far} {
		if g := v.speedOf(&keepwardv1.Session{Status: "Completed"}, []*keepwardv1.TaskSpeed{one}); len(g.looks) > speedLooks {
			t.Errorf("%s: %+v", name, g)
		}
	}
}
