package server

import (
	"bytes"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

func TestAMessageOfManyEmptyOnesIsNotBuilt(t *testing.T) {
	line := &keepwardv1.Event{Level: "info", Code: "file.changed", Text: "x", Path: []byte("/x")}
	batch := &keepwardv1.ReportEventsRequest{Attempt: "a"}
	for range 256 {
		batch.Events = append(batch.Events, line)
	}
	nested := &keepwardv1.ReportEndRequest{End: &keepwardv1.AttemptEnd{Check: &keepwardv1.CheckReport{}}}
	flood := &keepwardv1.ReportEventsRequest{}
	for range agentFieldsMost + 1 {
		flood.Events = append(flood.Events, &keepwardv1.Event{})
		nested.End.Check.Findings = append(nested.End.Check.Findings, &keepwardv1.CheckFinding{})
	}
	for what, c := range map[string]struct {
		m    proto.Message
		good bool
	}{"a full batch": {batch, true}, "empty lines": {flood, false}, "empty findings": {nested, false}} {
		b, err := proto.Marshal(c.m)
		if err != nil {
			t.Fatal(err)
		}
		got := c.m.ProtoReflect().New().Interface()
		if err := (nodeCodec{agentFieldsMost}).Unmarshal(b, got); (err == nil) != c.good {
			t.Errorf("%s: %v", what, err)
		}
		if proto.Equal(got, c.m) != c.good {
			t.Errorf("%s: it was read", what)
		}
	}
}

func TestANodeIsHeldToShortMessagesInItsEncoding(t *testing.T) {
	s := start(t, t.TempDir())
	n, _ := s.join(wire.RoleAgent, "web1", nil)
	flood := &keepwardv1.ReportEventsRequest{Attempt: "a"}
	for range agentFieldsMost + 1 {
		flood.Events = append(flood.Events, &keepwardv1.Event{})
	}
	if _, err := n.node.ReportEvents(t.Context(), connect.NewRequest(flood)); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a flood of empty lines: %v", err)
	}
	res, err := n.link.Client().Post(wire.LinkURL+keepwardv1connect.NodeServiceReportEventsProcedure, "application/json", bytes.NewReader([]byte(`{"attempt":"a"}`)))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode == http.StatusOK {
		t.Error("JSON was taken, whose fields nobody counts")
	}
}

func FuzzCountFields(f *testing.F) {
	f.Add([]byte{0x12, 0x00, 0x12, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		left := 16
		if countFields(b, (&keepwardv1.ReportEventsRequest{}).ProtoReflect().Descriptor(), &left, nestedMost) && left < 0 {
			t.Error("more was counted than may be")
		}
	})
}
