package mover

import (
	"bytes"
	"context"
	"testing"

	"google.golang.org/protobuf/encoding/protodelim"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/wire"
	"keepward/internal/wire/wiretest"
)

func TestListenAddressesAreRead(t *testing.T) {
	tests := []struct {
		text        string
		host        string
		first, last int
		ok          bool
	}{
		{"", "", 0, 0, true},
		{":7500", "", 7500, 7500, true},
		{"0.0.0.0:7500-7520", "0.0.0.0", 7500, 7520, true},
		{"[::1]:0", "::1", 0, 0, true},
		{"10.0.0.1", "10.0.0.1", 0, 0, true},
		{"::1", "::1", 0, 0, true},
		{"host:", "host", 0, 0, true},
		{":7520-7500", "", 0, 0, false},
		{":x", "", 0, 0, false},
		{":1-x", "", 0, 0, false},
		{":70000", "", 0, 0, false},
		{":-5", "", 0, 0, false},
	}
	for _, tt := range tests {
		host, first, last, err := ParseListen(tt.text)
		if (err == nil) != tt.ok || host != tt.host || first != tt.first || last != tt.last {
			t.Errorf("%q: %q %d %d %v", tt.text, host, first, last, err)
		}
	}
}

func TestAFullPortRangeSaysWhatToDo(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, err = Listen(l.Addr().String())
	if errs.KindOf(err) != errs.Busy || errs.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}

func TestEventsAreReadUpToTheTornOne(t *testing.T) {
	dir := t.TempDir()
	e, err := openEvents(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, changed := e.after(0)
	for range maxEvents + 50 {
		e.add("info", "c", "t")
	}
	<-changed
	if _, err := e.file.WriteString("\x20torn"); err != nil {
		t.Fatal(err)
	}
	e.close()
	list := ReadEvents(dir)
	if len(list) != maxEvents+1 || list[maxEvents].GetCode() != "events.dropped" || list[7].GetSeq() != 8 {
		t.Errorf("%d events were read", len(list))
	}
	if rest, _ := e.after(maxEvents - 1); len(rest) != 2 {
		t.Errorf("%d events behind the last but one", len(rest))
	}
	if rest, _ := e.after(1 << 40); len(rest) != 0 {
		t.Errorf("%d events behind the end", len(rest))
	}
}

func FuzzEvents(f *testing.F) {
	var b bytes.Buffer
	_, _ = protodelim.MarshalTo(&b, &keepwardv1.Event{Seq: 1, Code: "c"})
	f.Add(b.Bytes())
	f.Fuzz(func(_ *testing.T, b []byte) { decodeEvents(bytes.NewReader(b)) })
}

func FuzzOrder(f *testing.F) {
	ca := wiretest.NewCA(f)
	o, err := NewOrder(&keepwardv1.StartMoverRequest{
		Order: &keepwardv1.Order{Attempt: point.Attempt{1}.String()}, Mode: ModeBackup, Agent: "web1", Owner: make([]byte, 16),
	}, make([]byte, 32), ca.Issue(f, wire.RoleTransport, "tr1"), "/d", "")
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := protodelim.MarshalTo(&b, o); err != nil {
		f.Fatal(err)
	}
	if _, err := readOrder(bytes.NewReader(b.Bytes())); err != nil {
		f.Fatalf("a good order: %v", err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := readOrder(bytes.NewReader(b)); err == nil && o.serves() && len(o.GetTaskKey()) != 32 {
			t.Error("an order without a task key was accepted")
		}
	})
}

func TestAMoverWithoutAnOrderSaysSo(t *testing.T) {
	var out bytes.Buffer
	err := Main(context.Background(), bytes.NewReader(nil), &out)
	if errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	ready := &keepwardv1.MoverReady{}
	if err := protodelim.UnmarshalFrom(&out, ready); err != nil || ready.GetFailure().GetCode() != "order.read" {
		t.Errorf("answered %v, %v", ready, err)
	}
}

func TestRefusalsLeaveRoomInTheLog(t *testing.T) {
	e, err := openEvents(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	task := &task{events: e}
	for range 10_000 {
		task.refused(wire.Refusal{Address: "192.0.2.1:5", Err: errs.New(errs.Denied, "connection.key", "wrong")})
	}
	list, _ := e.after(0)
	if len(list) != maxRefusals {
		t.Errorf("%d events, want %d", len(list), maxRefusals)
	}
}
