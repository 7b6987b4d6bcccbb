package cli_test

import (
	"context"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func (f *fake) ListAudit(_ context.Context, r *connect.Request[keepwardv1.ListAuditRequest]) (*connect.Response[keepwardv1.ListAuditResponse], error) {
	f.audited = r.Msg
	return connect.NewResponse(&keepwardv1.ListAuditResponse{Calls: []*keepwardv1.AuditedCall{
		{
			Number: 7, Time: timestamppb.New(now), Ended: timestamppb.New(now), User: []byte("\x1b[31m\u202eann\xff"), Call: "JobService/DeleteJob", Outcome: "ok", Times: 1,
			Named:    []*keepwardv1.AuditNamed{{Field: "name", Value: []byte("a\nb, full=true")}, {Field: "path", Value: []byte("/x\x00")}},
			Answered: []*keepwardv1.AuditNamed{{Field: "session", Value: []byte("12")}},
		},
		{Number: 6, Time: timestamppb.New(now), User: []byte("ben"), Call: "JobService/RunJob", Times: 1},
	}}), nil
}

func TestTheAuditLogShowsHostileNamesAsText(t *testing.T) {
	f := newFake(t)
	r := f.do(t, "audit", "list", "-o", "wide")
	r.want(t, 0, `\x1b[31m\u202eann\xff`, `name="a\nb, full=true", path=/x\x00 -> session=12`, "ben", "unknown")
	if strings.ContainsAny(r.out, "\x1b\u202e\x00") || strings.Count(r.out, "\n") != 3 {
		t.Errorf("printed %q", r.out)
	}
	var m keepwardv1.ListAuditResponse
	if err := protojson.Unmarshal([]byte(f.do(t, "audit", "list", "-o", "json").out), &m); err != nil {
		t.Fatal(err)
	}
	if c := m.GetCalls()[0]; string(c.GetUser()) != "\x1b[31m\u202eann\xff" || c.GetUserText() != `\x1b[31m\u202eann\xff` || c.GetNamed()[1].GetValueText() != `/x\x00` {
		t.Errorf("as JSON %v", c)
	}
}

func TestAuditListAsksForWhatItsFlagsSay(t *testing.T) {
	f := newFake(t)
	f.do(t, "audit", "list", "--user", "ann", "--call", "Login", "--since", "-1h", "--until", "now", "--limit", "3", "--before", "9").want(t, 0)
	if a := f.audited; a.GetUser() != "ann" || a.GetCall() != "Login" || a.GetLimit() != 3 || a.GetBefore() != 9 ||
		!a.GetSince().AsTime().Equal(now.Add(-3600e9)) || !a.GetUntil().AsTime().Equal(now) {
		t.Errorf("asked for %v", a)
	}
	f.do(t, "audit", "list", "--since", "soon").want(t, 2, "is no time")
}
