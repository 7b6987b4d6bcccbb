package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
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
	own    sync.WaitGroup

	mu      sync.Mutex
	running []*keepwardv1.AttemptState
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
	a.link = link
	a.server = keepwardv1connect.NewNodeServiceClient(link.Client(), wire.LinkURL, connect.WithInterceptors(wire.Errors()))
	f.must(a.heartbeat(f.t.Context(), skew))
	ctx, cancel := context.WithCancel(context.Background())
	a.own.Go(func() {
		for a.heartbeat(ctx, skew) == nil {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second): // more often than the server wants it
			}
		}
	})
	f.t.Cleanup(func() { cancel(); _ = link.Close(); a.own.Wait() }) // the server may have closed it
}

func (a *fakeAgent) heartbeat(ctx context.Context, skew time.Duration) error {
	a.mu.Lock()
	attempts := slices.Clone(a.running)
	a.mu.Unlock()
	_, err := a.server.Heartbeat(ctx, connect.NewRequest(&keepwardv1.HeartbeatRequest{
		Info: &keepwardv1.NodeInfo{Os: "linux", Hostname: a.name}, Clock: timestamppb.New(time.Now().Add(skew)),
		Boot: "0123456789abcdef", Attempts: attempts,
	}))
	return err
}

func (a *fakeAgent) StartBackup(_ context.Context, r *connect.Request[keepwardv1.StartBackupRequest]) (*connect.Response[keepwardv1.StartBackupResponse], error) {
	o := r.Msg.GetOrder()
	a.mu.Lock()
	a.running = append(a.running, &keepwardv1.AttemptState{Attempt: o.GetAttempt(), Task: o.GetTask()})
	a.mu.Unlock()
	a.orders <- r.Msg
	return connect.NewResponse(&keepwardv1.StartBackupResponse{}), nil
}

// StopAttempt obeys: the end is reported as an honest agent does.
func (a *fakeAgent) StopAttempt(_ context.Context, r *connect.Request[keepwardv1.StopAttemptRequest]) (*connect.Response[keepwardv1.StopAttemptResponse], error) {
	attempt := r.Msg.GetOrder().GetAttempt()
	a.mu.Lock()
	a.running = slices.DeleteFunc(a.running, func(s *keepwardv1.AttemptState) bool { return s.GetAttempt() == attempt })
	a.mu.Unlock()
	a.own.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		// A lost end is found out by the server.
		_, _ = a.server.ReportEnd(ctx, connect.NewRequest(&keepwardv1.ReportEndRequest{Attempt: attempt, End: &keepwardv1.AttemptEnd{Outcome: "aborted"}}))
	})
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
func (a *fakeAgent) connect(t testing.TB, o *keepwardv1.StartBackupRequest, change func(*wire.DialConfig)) (*wire.DataClient, error) {
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
