package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/pki"
	"keepward/internal/wire"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(idleEnv); dir != "" {
		os.Exit(serveIdle(dir)) // see BenchmarkIdleAgents
	}
	goleak.VerifyTestMain(m)
}

// idleEnv names the data directory of a server that a benchmark starts as a process of its own, so
// that what it uses can be told from what its agents use, which are all in the benchmark's.
const idleEnv = "KEEPWARD_IDLE_SERVER"

func serveIdle(dir string) int {
	LimitMemory()
	err := Run(context.Background(), Config{
		DataDir: dir, Listen: "127.0.0.1:0", Version: "test", Out: os.Stderr, Logger: slog.New(slog.DiscardHandler),
		Ready: func(address string) { fmt.Println(address) },
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// logBuffer is a log that tests read.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// testServer is a real server on loopback.
type testServer struct {
	t       *testing.T
	dir     string
	address string
	out     bytes.Buffer
	log     logBuffer
	stop    func()
	client  *http.Client
	ca      *x509.Certificate
	token   string
}

// start runs a server on dir until the test ends or stop is called.
func start(t *testing.T, dir string) *testServer {
	t.Helper()
	return startAs(t, dir, func(*Config) {})
}

// startAs runs one that is configured otherwise.
func startAs(t *testing.T, dir string, otherwise func(*Config)) *testServer {
	t.Helper()
	s := &testServer{t: t, dir: dir}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan string, 1), make(chan error, 1)
	cfg := Config{
		DataDir: dir, Listen: "127.0.0.1:0", Version: "test", Out: &s.out,
		Logger: slog.New(slog.NewTextHandler(&s.log, nil)), Ready: func(a string) { ready <- a },
	}
	otherwise(&cfg)
	go func() { done <- Run(ctx, cfg) }()
	var once sync.Once
	s.stop = func() {
		once.Do(func() {
			if s.client != nil {
				s.client.CloseIdleConnections()
			}
			cancel()
			if err := <-done; err != nil {
				t.Errorf("the server ended with: %v", err)
			}
		})
	}
	select {
	case s.address = <-ready:
	case err := <-done:
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	s.readClient()
	return s
}

func (s *testServer) readClient() {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, clientFile))
	if err != nil {
		s.t.Fatal(err)
	}
	var c clientConfig
	if err := yaml.Unmarshal(text, &c); err != nil {
		s.t.Fatal(err)
	}
	if c.Address != s.address {
		s.t.Errorf("%s says %s, the server listens on %s", clientFile, c.Address, s.address)
	}
	block, _ := pem.Decode([]byte(c.CA))
	if s.ca, err = x509.ParseCertificate(block.Bytes); err != nil {
		s.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.ca)
	s.token = c.Token
	s.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool}, ForceAttemptHTTP2: true,
	}}
}

// as is an interceptor that shows a token.
func as(token string) connect.ClientOption {
	return connect.WithInterceptors(wire.Errors(), connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			if token != "" {
				req.Header().Set("Authorization", "Bearer "+token)
			}
			return next(ctx, req)
		}
	}))
}

func (s *testServer) url() string { return "https://" + s.address }

func (s *testServer) access(token string) keepwardv1connect.AccessServiceClient {
	return keepwardv1connect.NewAccessServiceClient(s.client, s.url(), as(token))
}

func (s *testServer) computers() keepwardv1connect.ComputerServiceClient {
	return keepwardv1connect.NewComputerServiceClient(s.client, s.url(), as(s.token))
}

func (s *testServer) repositories() keepwardv1connect.RepositoryServiceClient {
	return keepwardv1connect.NewRepositoryServiceClient(s.client, s.url(), as(s.token))
}

func (s *testServer) jobs() keepwardv1connect.JobServiceClient {
	return keepwardv1connect.NewJobServiceClient(s.client, s.url(), as(s.token))
}

func (s *testServer) config() keepwardv1connect.ConfigServiceClient {
	return keepwardv1connect.NewConfigServiceClient(s.client, s.url(), as(s.token))
}

func (s *testServer) status() *keepwardv1.GetStatusResponse {
	s.t.Helper()
	return must(keepwardv1connect.NewStatusServiceClient(s.client, s.url(), as(s.token)).
		GetStatus(s.t.Context(), connect.NewRequest(&keepwardv1.GetStatusRequest{})))(s.t)
}

// must takes the answer out of a call that may not fail.
func must[T any](res *connect.Response[T], err error) func(t *testing.T) *T {
	return func(t *testing.T) *T {
		t.Helper()
		if err != nil {
			t.Fatalf("%v (%s)", err, errs.HintOf(err))
		}
		return res.Msg
	}
}

func (s *testServer) joinToken(role wire.Role, name string) string {
	s.t.Helper()
	return must(s.access(s.token).CreateToken(s.t.Context(), connect.NewRequest(&keepwardv1.CreateTokenRequest{Role: string(role), Name: name})))(s.t).Token
}

// enrol joins with a token, as a node does.
func (s *testServer) enrol(token string, role wire.Role, name string) (wire.Credentials, error) {
	s.t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		s.t.Fatal(err)
	}
	client := keepwardv1connect.NewEnrolServiceClient(s.client, s.url(), as(""))
	res, err := client.Join(s.t.Context(), connect.NewRequest(&keepwardv1.JoinRequest{
		Token: token, Csr: certificateRequest(s.t, key), Role: string(role), Name: name,
	}))
	if err != nil {
		return wire.Credentials{}, err
	}
	ca, err := x509.ParseCertificate(res.Msg.Ca)
	if err != nil {
		s.t.Fatal(err)
	}
	return wire.Credentials{Certificate: tls.Certificate{Certificate: [][]byte{res.Msg.Certificate}, PrivateKey: key}, CA: ca}, nil
}

func certificateRequest(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// testNode is one end of a real link.
type testNode struct {
	t    *testing.T
	link *wire.Link
	node keepwardv1connect.NodeServiceClient
}

func (s *testServer) connect(creds wire.Credentials, handler http.Handler) (*testNode, error) {
	link, err := wire.DialLink(s.t.Context(), s.address, creds, handler)
	if err != nil {
		return nil, err
	}
	s.t.Cleanup(func() { _ = link.Close() })
	return &testNode{s.t, link, keepwardv1connect.NewNodeServiceClient(link.Client(), wire.LinkURL, connect.WithInterceptors(wire.Errors()))}, nil
}

// join enrols a node, connects it and sends its first heartbeat.
func (s *testServer) join(role wire.Role, name string, handler http.Handler) (*testNode, wire.Credentials) {
	s.t.Helper()
	creds, err := s.enrol(s.joinToken(role, name), role, name)
	if err != nil {
		s.t.Fatal(err)
	}
	n, err := s.connect(creds, handler)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := n.heartbeat(time.Now()); err != nil {
		s.t.Fatal(err)
	}
	return n, creds
}

func (n *testNode) heartbeat(clock time.Time) error {
	ctx, cancel := context.WithTimeout(n.t.Context(), 5*time.Second)
	defer cancel()
	_, err := n.node.Heartbeat(ctx, connect.NewRequest(&keepwardv1.HeartbeatRequest{
		Info: &keepwardv1.NodeInfo{Version: "1", Os: "linux", Arch: "amd64", Hostname: "h", DataAddress: "h:1"}, Clock: timestamppb.New(clock), Boot: "b",
	}))
	return err
}

// gone waits for the end of the link.
func (n *testNode) gone() {
	n.t.Helper()
	select {
	case <-n.link.Done():
	case <-time.After(10 * time.Second):
		n.t.Fatal("the link still stands")
	}
}

var passwordLine = regexp.MustCompile(`(?m)^password: (\S+)$`)

func (s *testServer) password() string {
	if m := passwordLine.FindStringSubmatch(s.out.String()); m != nil {
		return m[1]
	}
	return ""
}

func (s *testServer) sessions(token string) keepwardv1connect.SessionServiceClient {
	return keepwardv1connect.NewSessionServiceClient(s.client, s.url(), as(token))
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return b
}
