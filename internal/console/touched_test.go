package console

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func (f *fakeAPI) ListScripts(context.Context, *connect.Request[keepwardv1.ListScriptsRequest]) (*connect.Response[keepwardv1.ListScriptsResponse], error) {
	began := timestamppb.New(speedBegan)
	return connect.NewResponse(&keepwardv1.ListScriptsResponse{Scripts: []*keepwardv1.SessionScript{
		{Place: "server-before", Path: "/" + hostile, Ordered: began, End: &keepwardv1.ScriptEnd{Started: began, Ended: timestamppb.New(speedBegan.Add(2 * time.Second)), Output: []string{hostile}, LeftOutBytes: 2048}},
		{Place: "agent-before", Task: "t", Path: "/b", Ordered: began, End: &keepwardv1.ScriptEnd{Exit: 3, Failure: &keepwardv1.Failure{Message: hostile}}},
		{Place: "agent-after", Task: "t", Path: "/c", Ordered: began},
	}}), nil
}

func TestScriptsAreShownWithHowTheyEndedAndWhatTheyPrinted(t *testing.T) {
	page := text(t, loggedIn(t).get("/sessions/7"))
	for _, want := range []string{"server-before", "exit 0", "took 2.0 s", "2.00 KiB of what it printed are left out", "exit 3: &lt;script&gt;", "runs, or nobody knows yet", "It printed nothing."} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestWhoTouchedASessionIsSaidOnceForAllItsTasks(t *testing.T) {
	line := func(after time.Duration, actor, to string) *keepwardv1.Event {
		return &keepwardv1.Event{Actor: actor, To: to, Time: timestamppb.New(speedBegan.Add(after))}
	}
	resumed := line(time.Hour, "bob", "Queued")
	resumed.From = "Suspended"
	resumed.Time = timestamppb.New(speedBegan.Add(time.Second)) // at once after the start
	resumed.Actor = "ann"
	let := line(time.Minute, hostile, "Suspended")
	let.From = "Suspend Pending"
	list := touchesOf([]*keepwardv1.Event{
		line(0, "ann", "Queued"), line(0, "ann", "Queued"), line(1, "server", "Running"), resumed, line(time.Minute, hostile, "Suspend Pending"), let,
		line(2*time.Hour, "bob", "Kill Pending"),
	})
	var got []string
	for _, one := range list {
		got = append(got, one.who+" "+one.did())
	}
	want := []string{"ann started it, 2 tasks", "ann resumed it", " suspended it", "bob ended it"}
	if len(got) != 4 || !slices.Equal(got[:2], want[:2]) || !strings.HasSuffix(got[2], want[2]) || strings.ContainsAny(got[2], "\x1b\u202e") || got[3] != want[3] {
		t.Errorf("it says %q", got)
	}
}
