package wire_test

import (
	"context"
	"crypto/tls"
	"io"
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
	"keepward/internal/wire/wiretest"
)

// agentHandler answers every stop with who asked.
type agentHandler struct {
	keepwardv1connect.UnimplementedAgentServiceHandler
}

func (agentHandler) StopAttempt(ctx context.Context, req *connect.Request[keepwardv1.StopAttemptRequest]) (*connect.Response[keepwardv1.StopAttemptResponse], error) {
	peer, ok := wire.Peer(ctx)
	if !ok {
		return nil, errs.New(errs.Internal, "", "no peer")
	}
	return nil, errs.New(errs.NoSpace, "some.code", "asked by %s: %s", peer, req.Msg.GetReason()).WithHint("a hint")
}

func TestALinkCarriesCallsBothWays(t *testing.T) {
	s := wiretest.NewServer(t)
	mux := http.NewServeMux()
	mux.Handle(keepwardv1connect.NewAgentServiceHandler(agentHandler{}, connect.WithInterceptors(wire.Errors(), wire.Only(wire.RoleServer))))
	l, err := wire.DialLink(t.Context(), s.Addr, s.CA.Issue(t, wire.RoleAgent, "web1"), mux)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if l.Peer().Role != wire.RoleServer {
		t.Errorf("peer: %v", l.Peer())
	}
	node := keepwardv1connect.NewNodeServiceClient(l.Client(), wire.LinkURL, connect.WithInterceptors(wire.Errors()))
	if _, err := node.Heartbeat(t.Context(), connect.NewRequest(&keepwardv1.HeartbeatRequest{Boot: "b"})); err != nil {
		t.Fatal(err)
	}
	agent := keepwardv1connect.NewAgentServiceClient(s.Link(wire.RoleAgent, "web1").Client(), wire.LinkURL, connect.WithInterceptors(wire.Errors()))
	_, err = agent.StopAttempt(t.Context(), connect.NewRequest(&keepwardv1.StopAttemptRequest{Reason: "r"}))
	if errs.KindOf(err) != errs.NoSpace || errs.CodeOf(err) != "some.code" || errs.HintOf(err) != "a hint" || err.Error() != "asked by server server: r" {
		t.Errorf("stop: %v (kind %s, code %s, hint %s)", err, errs.KindOf(err), errs.CodeOf(err), errs.HintOf(err))
	}
	s.Stop()
	select {
	case <-l.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the link outlives its server")
	}
	_, err = node.Heartbeat(t.Context(), connect.NewRequest(&keepwardv1.HeartbeatRequest{}))
	if errs.KindOf(err) != errs.Unavailable {
		t.Errorf("call over a lost link: %v (kind %s)", err, errs.KindOf(err))
	}
}

func TestThePortSpeaksHTTP2ToClientsWithoutACertificate(t *testing.T) {
	s := wiretest.NewServer(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	res, err := client.Get("https://" + s.Addr + "/nothing")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.ProtoMajor != 2 || res.StatusCode != http.StatusNotFound {
		t.Errorf("got %s, %s", res.Proto, res.Status)
	}
}

func TestALinkNeedsTheRightCertificate(t *testing.T) {
	s := wiretest.NewServer(t)
	other := wiretest.NewCA(t)
	stranger := other.Issue(t, wire.RoleAgent, "web1")
	stranger.CA = s.CA.Certificate
	none := s.CA.Issue(t, wire.RoleAgent, "web1")
	none.Certificate = tls.Certificate{}
	tests := map[string]wire.Credentials{
		"of another authority":        stranger,
		"none":                        none,
		"a server's":                  s.CA.Issue(t, wire.RoleServer, "server"),
		"of a role that is not known": s.CA.Issue(t, "admin", "web1"),
	}
	for name, creds := range tests {
		t.Run(name, func(t *testing.T) {
			l, err := wire.DialLink(t.Context(), s.Addr, creds, http.NotFoundHandler())
			if err != nil {
				return
			}
			defer func() { _ = l.Close() }()
			// In TLS 1.3 the client is done before the server has seen its certificate.
			node := keepwardv1connect.NewNodeServiceClient(l.Client(), wire.LinkURL)
			if _, err := node.Heartbeat(t.Context(), connect.NewRequest(&keepwardv1.HeartbeatRequest{})); err == nil {
				t.Error("the call was answered")
			}
		})
	}
	if len(s.Beats) != 0 {
		t.Errorf("%d calls came through", len(s.Beats))
	}
}

func TestANodeLinksOnlyToItsOwnServer(t *testing.T) {
	real, false1 := wiretest.NewServer(t), wiretest.NewServer(t)
	_, err := wire.DialLink(t.Context(), false1.Addr, real.CA.Issue(t, wire.RoleAgent, "web1"), http.NotFoundHandler())
	if errs.KindOf(err) != errs.Denied {
		t.Errorf("a false server: %v (kind %s)", err, errs.KindOf(err))
	}
	// Another node that poses as the server.
	creds := real.CA.Issue(t, wire.RoleTransport, "tr1")
	l, err := tls.Listen("tcp", "127.0.0.1:0", wire.ServerTLS(creds))
	if err != nil {
		t.Fatal(err)
	}
	var own sync.WaitGroup
	own.Go(func() { shakeHands(l) })
	t.Cleanup(func() { _ = l.Close(); own.Wait() })
	_, err = wire.DialLink(t.Context(), l.Addr().String(), real.CA.Issue(t, wire.RoleAgent, "web1"), http.NotFoundHandler())
	if errs.CodeOf(err) != "certificate.role" {
		t.Errorf("a transport that poses as the server: %v", err)
	}
}

// shakeHands greets whoever comes until l is closed.
func shakeHands(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
}

func TestCertificatesThatContradictThemselvesAreRefused(t *testing.T) {
	ca := wiretest.NewCA(t)
	c := ca.Issue(t, wire.RoleAgent, "web1")
	if id, err := c.Identity(); err != nil || id.Name != "web1" || id.Role != wire.RoleAgent || id.Serial == "" {
		t.Errorf("a good one: %v, %v", id, err)
	}
	for _, name := range []string{"", "a/b", strings.Repeat("x", 10)} {
		id, err := ca.Issue(t, wire.RoleAgent, name).Identity()
		if name == "" && err == nil {
			t.Error("a certificate without a name was accepted")
		}
		if err == nil && id.Name != name {
			t.Errorf("name %q was read as %q", name, id.Name)
		}
	}
}
