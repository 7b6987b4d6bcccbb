package server

import (
	"strings"
	"testing"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
)

func (s *testServer) connections() keepwardv1connect.ConnectionServiceClient {
	return keepwardv1connect.NewConnectionServiceClient(s.client, s.url(), as(s.token))
}

func TestHowAComputerIsReachedIsConfiguration(t *testing.T) {
	s := start(t, t.TempDir())
	add := func(m *keepwardv1.AddComputerRequest) error {
		_, err := s.connections().AddComputer(t.Context(), connect.NewRequest(m))
		return err
	}
	how := &keepwardv1.ComputerConnection{Data: "mover", Addresses: []string{"10.0.0.5:7482", "[fd00::5]:7482"}}
	if err := add(&keepwardv1.AddComputerRequest{Name: "web1", Connection: how}); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		m    *keepwardv1.AddComputerRequest
		code string
	}{
		"twice":          {&keepwardv1.AddComputerRequest{Name: "web1"}, "connection.exists"},
		"no code":        {&keepwardv1.AddComputerRequest{Name: "db1", Connection: &keepwardv1.ComputerConnection{Control: "server", Addresses: []string{"h:1"}}}, "pair.code-missing"},
		"no address":     {&keepwardv1.AddComputerRequest{Name: "db1", Connection: &keepwardv1.ComputerConnection{Control: "server"}}, "connection.no-address"},
		"a bad address":  {&keepwardv1.AddComputerRequest{Name: "db1", Connection: &keepwardv1.ComputerConnection{Addresses: []string{"fd00::5"}}}, "connection.address"},
		"a bad name":     {&keepwardv1.AddComputerRequest{Name: "../x"}, "name.characters"},
		"a bad code":     {&keepwardv1.AddComputerRequest{Name: "db1", Code: "1234", Connection: &keepwardv1.ComputerConnection{Addresses: []string{"h:1"}}}, "pair.code"},
		"who dials what": {&keepwardv1.AddComputerRequest{Name: "db1", Connection: &keepwardv1.ComputerConnection{Data: "server"}}, "connection.direction"},
	} {
		if err := add(tt.m); errs.CodeOf(err) != tt.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	text := s.export()
	if want := "kind: computer\nname: web1\ndata: mover\naddresses:\n  - 10.0.0.5:7482\n  - '[fd00::5]:7482'\n"; text != want {
		t.Errorf("exported:\n%s", text)
	}
	if res := s.apply(false, text); len(res.Changes)+len(res.Faults) > 0 {
		t.Errorf("an export changes something: %v", res)
	}
	res := s.apply(false, "kind: computer\nname: web1\n---\nkind: computer\nname: web2\ndata: mover\n---\nkind: computer\nname: web3\ncontrol: server\naddresses: [h:1]\n")
	if len(res.Faults) != 1 || !strings.Contains(res.Faults[0].Text, "paired first") {
		t.Errorf("one that is not paired: %v", res)
	}
	res = s.apply(false, "kind: computer\nname: web1\n---\nkind: computer\nname: web2\ndata: mover\n")
	if len(res.Changes) != 2 || res.Changes[0].Action != actionChange || res.Changes[1].Action != actionCreate {
		t.Errorf("applied: %v", res)
	}
	if got := s.computer("web1").Connection; got.Control != "agent" || got.Data != "agent" || len(got.Addresses) > 0 {
		t.Errorf("web1 is reached by %v", got)
	}
	edit := func(m *keepwardv1.EditComputerRequest) error {
		_, err := s.connections().EditComputer(t.Context(), connect.NewRequest(m))
		return err
	}
	if err := edit(&keepwardv1.EditComputerRequest{Name: "web2", Control: "server"}); errs.CodeOf(err) != "connection.no-address" {
		t.Errorf("to be dialled without an address: %v", err)
	}
	if err := edit(&keepwardv1.EditComputerRequest{Name: "web2", Control: "server", SetAddresses: true, Addresses: []string{"127.0.0.1:1"}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return strings.Contains(s.computer("web2").ControlError, "127.0.0.1:1") })
	if err := edit(&keepwardv1.EditComputerRequest{Name: "nobody", Data: "mover"}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("one that is not there: %v", err)
	}
	// A removed computer is dialled no more, and comes back with nothing of it.
	must(s.computers().RemoveComputer(t.Context(), connect.NewRequest(&keepwardv1.RemoveComputerRequest{Name: "web2"})))(t)
	if err := add(&keepwardv1.AddComputerRequest{Name: "web2"}); err != nil {
		t.Fatal(err)
	}
	if got := s.computer("web2").Connection; got.Control != "agent" || len(got.Addresses) > 0 {
		t.Errorf("it is still reached by %v", got)
	}
}

func TestAConnectionTestSaysWhyNothingCouldBeTried(t *testing.T) {
	s := start(t, t.TempDir())
	if _, err := s.connections().AddComputer(t.Context(), connect.NewRequest(&keepwardv1.AddComputerRequest{Name: "web1"})); err != nil {
		t.Fatal(err)
	}
	m := must(s.connections().TestConnection(t.Context(), connect.NewRequest(&keepwardv1.TestConnectionRequest{Name: "web1"})))(t)
	if m.Works || len(m.Checks) != 2 {
		t.Errorf("it says %v", m)
	}
	for _, c := range m.Checks {
		if c.Result != checkNotTested || c.GetFailure().GetMessage() == "" || c.Used != (c.From == "agent web1") {
			t.Errorf("it says %v", c)
		}
	}
	if _, err := s.connections().TestConnection(t.Context(), connect.NewRequest(&keepwardv1.TestConnectionRequest{Name: "web1", Transports: []string{"t9"}})); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a transport that is not there: %v", err)
	}
}
