package cli_test

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func (f *fake) GetSessionSpeed(context.Context, *connect.Request[keepwardv1.GetSessionSpeedRequest]) (*connect.Response[keepwardv1.GetSessionSpeedResponse], error) {
	return connect.NewResponse(&keepwardv1.GetSessionSpeedResponse{Tasks: []*keepwardv1.TaskSpeed{{
		Task: "t", Start: timestamppb.New(now), Every: durationpb.New(10 * time.Second), Until: timestamppb.New(now.Add(25 * time.Second)),
		ReadBytes: []int64{20 << 20, 0, 5 << 20}, SentBytes: []int64{10 << 20, 0, 0}, StoredBytes: []int64{0, 0}, Running: []bool{true, false, true},
	}}}), nil
}

func (f *fake) GetSession(context.Context, *connect.Request[keepwardv1.GetSessionRequest]) (*connect.Response[keepwardv1.GetSessionResponse], error) {
	return connect.NewResponse(&keepwardv1.GetSessionResponse{Session: f.sessions[0]}), nil
}

func TestTheSpeedOfASessionIsToldStepByStep(t *testing.T) {
	f := newFake(t)
	s := state("Running", nil)
	s.Tasks = []*keepwardv1.Task{{Id: "t", Computer: "web\x1b1"}}
	f.sessions = []*keepwardv1.Session{s}
	f.do(t, "session", "speed", "12").want(t, 0, "2.00 MiB/s", "not running", "12:00:20", "1.00 MiB/s", `web\x1b1`)
	f.do(t, "session", "speed", "12", "-o", "json").want(t, 0, `"20971520"`)
	f.do(t, "session", "speed", "x").want(t, 2, "no number of a session")
}
