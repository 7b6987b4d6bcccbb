package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/node"
	"keepward/internal/wire"
)

// fakeAgent is a computer in wrong hands: it has joined, takes orders, and does with
// the keys in them what it likes instead of a backup.
type fakeAgent struct {
	keepwardv1connect.UnimplementedAgentServiceHandler
	name   string
	creds  wire.Credentials
	orders chan *keepwardv1.StartBackupRequest // room for all orders of a test
	link   *wire.Link
	server keepwardv1connect.NodeServiceClient
}

// newFakeAgent joins as a computer and links up with a clock that is off by skew.
func newFakeAgent(f *fleet, name string, skew time.Duration) *fakeAgent {
	f.t.Helper()
	token, err := f.Token("agent", name)
	f.must(err)
	dir := filepath.Join(f.Dir, name)
	n, err := node.Open(f.t.Context(), node.Config{Role: wire.RoleAgent, Name: name, DataDir: dir, Server: f.Addr, JoinToken: token})
	f.must(err)
	a := &fakeAgent{name: name, creds: n.Credentials(), orders: make(chan *keepwardv1.StartBackupRequest, 100)}
	f.must(n.Close())
	a.dial(f, skew)
	return a
}

func (a *fakeAgent) dial(f *fleet, skew time.Duration) {
	f.t.Helper()
	mux := http.NewServeMux()
	mux.Handle(keepwardv1connect.NewAgentServiceHandler(a, connect.WithInterceptors(wire.Errors())))
	link, err := wire.DialLink(f.t.Context(), f.Addr, a.creds, mux)
	f.must(err)
	f.t.Cleanup(func() { _ = link.Close() }) // the server may have closed it
	a.link = link
	a.server = keepwardv1connect.NewNodeServiceClient(link.Client(), wire.LinkURL, connect.WithInterceptors(wire.Errors()))
	_, err = a.server.Heartbeat(f.t.Context(), connect.NewRequest(&keepwardv1.HeartbeatRequest{
		Info: &keepwardv1.NodeInfo{Os: "linux", Hostname: a.name}, Clock: timestamppb.New(time.Now().Add(skew)), Boot: "0123456789abcdef",
	}))
	f.must(err)
}

func (a *fakeAgent) StartBackup(_ context.Context, r *connect.Request[keepwardv1.StartBackupRequest]) (*connect.Response[keepwardv1.StartBackupResponse], error) {
	a.orders <- r.Msg
	return connect.NewResponse(&keepwardv1.StartBackupResponse{}), nil
}

func (a *fakeAgent) StopAttempt(context.Context, *connect.Request[keepwardv1.StopAttemptRequest]) (*connect.Response[keepwardv1.StopAttemptResponse], error) {
	return connect.NewResponse(&keepwardv1.StopAttemptResponse{}), nil
}

// order waits for the next one.
func (a *fakeAgent) order(t *testing.T) *keepwardv1.StartBackupRequest {
	t.Helper()
	select {
	case o := <-a.orders:
		return o
	case <-time.After(sessionWithin):
		t.Fatal("no order came")
		return nil
	}
}

// connect opens a data session as the order allows, or as it was changed; over TLS, as
// a stranger on another host would.
func (a *fakeAgent) connect(t *testing.T, o *keepwardv1.StartBackupRequest, change func(*wire.DialConfig)) (*wire.DataClient, error) {
	t.Helper()
	cfg := wire.DialConfig{
		Credentials: a.creds,
		Endpoint: &keepwardv1.MoverEndpoint{
			Address: o.GetMover().GetAddress(), CertificateSha256: o.GetMover().GetCertificateSha256(), TaskKey: o.GetMover().GetTaskKey(),
		},
		Attempt: o.GetOrder().GetAttempt(),
	}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := wire.DialData(ctx, cfg)
	if err == nil {
		t.Cleanup(func() { _ = c.Close() }) // mostly cut off by then
	}
	return c, err
}

// credentials are those of a role, stolen from its data directory.
func credentials(t *testing.T, dataDir string) wire.Credentials {
	t.Helper()
	file := func(name string) string { return filepath.Join(dataDir, "identity", name) }
	cert, err := tls.LoadX509KeyPair(file("cert.pem"), file("key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Credentials{Certificate: cert, CA: ca}
}
