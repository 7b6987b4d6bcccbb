package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/wire"
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

// waiting is an agent that joined and waits for its server at a door; what comes is told in links.
func (s *testServer) waiting(name string) (address string, links chan *testNode) {
	s.t.Helper()
	creds, err := s.enrol(s.joinToken(wire.RoleAgent, name), wire.RoleAgent, name)
	if err != nil {
		s.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	links = make(chan *testNode, 8)
	door := wire.NewDoor(wire.DoorConfig{
		Listener: l, Credentials: func() (wire.Credentials, bool) { return creds, true },
		Link: func(_ context.Context, c *tls.Conn) {
			link, err := wire.AcceptLink(c, http.NotFoundHandler())
			if err != nil {
				return
			}
			links <- &testNode{s.t, link, keepwardv1connect.NewNodeServiceClient(link.Client(), wire.LinkURL, connect.WithInterceptors(wire.Errors()))}
		},
		Pairing: func() (tls.Certificate, func(context.Context, *tls.Conn), bool) { return tls.Certificate{}, nil, false },
	})
	ctx, cancel := context.WithCancel(context.Background())
	var own sync.WaitGroup
	own.Go(func() { door.Serve(ctx) })
	s.t.Cleanup(func() {
		cancel()
		own.Wait()
		for len(links) > 0 {
			_ = (<-links).link.Close()
		}
	})
	return l.Addr().String(), links
}

func TestALinkThatTheServerDialledOutlivesAnEdit(t *testing.T) {
	s := start(t, t.TempDir())
	address, links := s.waiting("web1")
	edit := func(m *keepwardv1.EditComputerRequest) {
		t.Helper()
		m.Name = "web1"
		must(s.connections().EditComputer(t.Context(), connect.NewRequest(m)))(t)
	}
	edit(&keepwardv1.EditComputerRequest{Control: "server", SetAddresses: true, Addresses: []string{address}})
	n := <-links
	t.Cleanup(func() { _ = n.link.Close() })
	if err := n.heartbeat(time.Now()); err != nil {
		t.Fatal(err)
	}
	// Another way of data, an address where nobody is, and at last it is to dial itself, which it cannot.
	edit(&keepwardv1.EditComputerRequest{Data: "mover"})
	edit(&keepwardv1.EditComputerRequest{SetAddresses: true, Addresses: []string{"127.0.0.1:1"}})
	edit(&keepwardv1.EditComputerRequest{Control: "agent"})
	// The dialler has heard of each by then: another computer that it is told of later is tried.
	must(s.connections().AddComputer(t.Context(), connect.NewRequest(&keepwardv1.AddComputerRequest{Name: "web2"})))(t)
	must(s.connections().EditComputer(t.Context(), connect.NewRequest(&keepwardv1.EditComputerRequest{
		Name: "web2", Control: "server", SetAddresses: true, Addresses: []string{"127.0.0.1:1"},
	})))(t)
	waitFor(t, func() bool { return s.computer("web2").ControlError != "" })
	select {
	case <-n.link.Done():
		t.Fatal("the link ended with the edit")
	default:
	}
	if err := n.heartbeat(time.Now()); err != nil {
		t.Errorf("over the link that stood: %v", err)
	}
	if got := s.computer("web1"); got.Status != statusOnline || got.ControlError != "" {
		t.Errorf("it is %s (%s)", got.Status, got.ControlError)
	}
	// A computer that is removed loses it.
	must(s.computers().RemoveComputer(t.Context(), connect.NewRequest(&keepwardv1.RemoveComputerRequest{Name: "web1"})))(t)
	n.gone()
}
