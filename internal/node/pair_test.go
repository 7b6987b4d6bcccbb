package node_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/node"
	"keepward/internal/pki"
	"keepward/internal/wire"
)

// pairSite is an authority, and an agent that waits for it.
type pairSite struct {
	t         *testing.T
	authority *pki.Authority
	dir       string
	address   string
	code      wire.PairCode
	opened    chan error
	node      *node.Node
	cancel    context.CancelFunc
}

func newPairSite(t *testing.T, dir string, change func(*node.Config)) *pairSite {
	t.Helper()
	authority, err := pki.Open(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &pairSite{t: t, authority: authority, dir: dir, address: l.Addr().String(), opened: make(chan error, 1)}
	_ = l.Close()
	shown := make(chan string, 1)
	cfg := node.Config{Role: wire.RoleAgent, DataDir: dir, Listen: s.address, Waiting: func(code string) { shown <- code }}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	var own sync.WaitGroup
	own.Go(func() {
		n, err := node.Open(ctx, cfg)
		s.node = n
		s.opened <- err
	})
	t.Cleanup(func() {
		cancel()
		own.Wait()
		if s.node != nil {
			_ = s.node.Close()
		}
	})
	text := <-shown
	if s.code, err = wire.ParsePairCode(text); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(filepath.Join(dir, "pairing-code"))
	if err != nil || strings.TrimSpace(string(kept)) != text {
		t.Errorf("the file says %q, the node %q (%v)", kept, text, err)
	}
	return s
}

// offer dials as a server does that was told the code.
func (s *pairSite) offer(code wire.PairCode, name string) (keepwardv1connect.PairServiceClient, *keepwardv1.PairOfferResponse, error) {
	s.t.Helper()
	conn, err := wire.DialPair(s.t.Context(), []string{s.address}, code)
	if err != nil {
		return nil, nil, err
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	proof, err := wire.PairProof(code, conn, s.authority.Certificate.Raw, name)
	if err != nil {
		s.t.Fatal(err)
	}
	client := keepwardv1connect.NewPairServiceClient(wire.OneClient(conn), wire.LinkURL, connect.WithInterceptors(wire.Errors()))
	res, err := client.Offer(s.t.Context(), connect.NewRequest(&keepwardv1.PairOfferRequest{Ca: s.authority.Certificate.Raw, Name: name, Proof: proof}))
	if err != nil {
		return client, nil, err
	}
	return client, res.Msg, nil
}

func (s *pairSite) accept(client keepwardv1connect.PairServiceClient, cert *x509.Certificate) error {
	_, err := client.Accept(s.t.Context(), connect.NewRequest(&keepwardv1.PairAcceptRequest{Certificate: cert.Raw}))
	return err
}

func (s *pairSite) issue(role wire.Role, name string, public any) *x509.Certificate {
	s.t.Helper()
	cert, err := s.authority.Issue(role, name, public, pki.Names{}, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return cert
}

// pair does it as it should be done.
func (s *pairSite) pair(name string) {
	s.t.Helper()
	client, offer, err := s.offer(s.code, name)
	if err != nil {
		s.t.Fatal(err)
	}
	public, err := pki.ParseRequest(offer.GetCsr())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.accept(client, s.issue(wire.RoleAgent, name, public)); err != nil {
		s.t.Fatal(err)
	}
	if err := <-s.opened; err != nil {
		s.t.Fatal(err)
	}
	if got := s.node.Identity(); got.Name != name || got.Role != wire.RoleAgent {
		s.t.Errorf("it is %v", got)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "pairing-code")); err == nil {
		s.t.Error("the code is still there")
	}
	if _, err := wire.DialPair(s.t.Context(), []string{s.address}, s.code); err == nil {
		s.t.Error("it can be paired again")
	}
}

func TestAnAgentIsPairedAndThenWaitsForItsServer(t *testing.T) {
	dir := t.TempDir()
	s := newPairSite(t, dir, nil)
	s.pair("db1")
	stop := run(t, s.node, nil)
	s.node = nil // closed by stop
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := wire.DialAgent(t.Context(), []string{s.address}, s.credentials(wire.RoleServer, "server", key), "db1")
	if err != nil {
		t.Fatal(err)
	}
	beat := make(chan string, 1)
	mux := http.NewServeMux()
	mux.Handle(keepwardv1connect.NewNodeServiceHandler(beats{heard: beat}))
	link, err := wire.ServeLink(conn, 0, mux)
	if err != nil {
		t.Fatal(err)
	}
	if listen := <-beat; listen != "h" {
		t.Errorf("it says of itself %q", listen)
	}
	_ = link.Close()
	stop()
	// Started again it knows who it is; without a door it cannot be reached, and says so.
	if _, err := node.Open(t.Context(), node.Config{Role: wire.RoleAgent, DataDir: dir}); errs.CodeOf(err) != "identity.no-server" || errs.HintOf(err) == "" {
		t.Errorf("without a door: %v", err)
	}
}

func TestAPairedAgentIsPairedAnew(t *testing.T) {
	dir := t.TempDir()
	s := newPairSite(t, dir, nil)
	s.pair("db1")
	_ = s.node.Close()
	s.node = nil
	again := newPairSite(t, dir, func(c *node.Config) { c.Pair = true })
	if again.code == s.code {
		t.Error("the code is the same")
	}
	again.pair("db1")
}

func (s *pairSite) credentials(role wire.Role, name string, key *ecdsa.PrivateKey) wire.Credentials {
	cert := s.issue(role, name, key.Public())
	c := wire.Credentials{CA: s.authority.Certificate}
	c.Certificate.Certificate, c.Certificate.PrivateKey = [][]byte{cert.Raw}, key
	return c
}

// beats is a server that hears one heartbeat.
type beats struct {
	keepwardv1connect.UnimplementedNodeServiceHandler
	heard chan string
}

func (b beats) Heartbeat(_ context.Context, req *connect.Request[keepwardv1.HeartbeatRequest]) (*connect.Response[keepwardv1.HeartbeatResponse], error) {
	select {
	case b.heard <- req.Msg.GetInfo().GetHostname():
	default:
	}
	return connect.NewResponse(&keepwardv1.HeartbeatResponse{}), nil
}

func TestPairingIsRefusedToWhoeverHasNotTheCode(t *testing.T) {
	s := newPairSite(t, t.TempDir(), nil)
	wrong := s.code
	wrong.Secret[0] ^= 1
	if _, _, err := s.offer(wrong, "db1"); errs.CodeOf(err) != "pair.refused" || errs.HintOf(err) == "" {
		t.Errorf("a wrong secret: %v", err)
	}
	other := s.code
	other.Key[0] ^= 1
	if _, _, err := s.offer(other, "db1"); errs.CodeOf(err) != "pair.key" {
		t.Errorf("another key: %v", err)
	}
	// To accept comes after the offer, on the same connection.
	conn, err := wire.DialPair(t.Context(), []string{s.address}, s.code)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := keepwardv1connect.NewPairServiceClient(wire.OneClient(conn), wire.LinkURL, connect.WithInterceptors(wire.Errors()))
	if err := s.accept(client, s.authority.Certificate); errs.CodeOf(err) != "pair.refused" {
		t.Errorf("a certificate without the code: %v", err)
	}
	s.pair("db1") // none of it has spoilt anything
}

func TestAnAgentTakesNoCertificateThatIsNotItsOwn(t *testing.T) {
	s := newPairSite(t, t.TempDir(), nil)
	client, offer, err := s.offer(s.code, "db1")
	if err != nil {
		t.Fatal(err)
	}
	public, err := pki.ParseRequest(offer.GetCsr())
	if err != nil {
		t.Fatal(err)
	}
	strange, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := pki.Open(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	byOther, err := foreign.Issue(wire.RoleAgent, "db1", public, pki.Names{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, cert := range map[string]*x509.Certificate{
		"another key":  s.issue(wire.RoleAgent, "db1", strange.Public()),
		"another name": s.issue(wire.RoleAgent, "db2", public),
		"another role": s.issue(wire.RoleTransport, "db1", public),
		"not signed":   byOther,
	} {
		if err := s.accept(client, cert); errs.CodeOf(err) != "pair.certificate" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.accept(client, s.issue(wire.RoleAgent, "db1", public)); err != nil {
		t.Error(err)
	}
	if err := <-s.opened; err != nil {
		t.Error(err)
	}
}

func TestAnAgentThatWasGivenANameIsPairedByThatOnly(t *testing.T) {
	s := newPairSite(t, t.TempDir(), func(c *node.Config) { c.Name = "db1" })
	if _, _, err := s.offer(s.code, "db2"); errs.CodeOf(err) != "identity.name" {
		t.Errorf("another name: %v", err)
	}
	s.cancel()
	if err := <-s.opened; errs.KindOf(err) != errs.Cancelled {
		t.Errorf("told to end while it waits: %v", err)
	}
}
