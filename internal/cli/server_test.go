package cli_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/cli"
	"keepward/internal/errs"
	"keepward/internal/pki"
	"keepward/internal/wire"
)

// fake is a server that answers what a test puts into it, over TLS as the real one.
type fake struct {
	v1.UnimplementedAccessServiceHandler
	v1.UnimplementedStatusServiceHandler
	v1.UnimplementedComputerServiceHandler
	v1.UnimplementedRepositoryServiceHandler
	v1.UnimplementedJobServiceHandler
	v1.UnimplementedSessionServiceHandler
	v1.UnimplementedSessionDetailServiceHandler
	v1.UnimplementedPointServiceHandler
	v1.UnimplementedRestoreServiceHandler
	v1.UnimplementedConfigServiceHandler
	v1.UnimplementedAuditServiceHandler
	v1.UnimplementedPasskeyServiceHandler
	v1.UnimplementedSignOnServiceHandler

	address, config string
	ca              []byte // PEM
	fingerprint     string
	token           string // of the last call

	jobs     map[string]*keepwardv1.Job
	sessions []*keepwardv1.Session // the states that a watch sends
	list     []*keepwardv1.Session // what is listed; nil: a failure
	cut      int                   // watches to break off after the first state
	hang     chan struct{}         // closed by a watch that then waits for its end
	events   []*keepwardv1.Event
	entries  []*keepwardv1.Entry
	faults   []*keepwardv1.ConfigFault
	point    string   // of the last call
	exported []string // repositories whose recovery key was exported
	restore  *keepwardv1.RestoreFilesRequest
	upkeep   upkeep
	live     live
	tried    *keepwardv1.DryRunRequest // the last dry run
	audited  *keepwardv1.ListAuditRequest
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{jobs: map[string]*keepwardv1.Job{}}
	authority, err := pki.Open(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	f.ca = pki.EncodeCertificate(authority.Certificate.Raw)
	sum := sha256.Sum256(authority.Certificate.Raw)
	f.fingerprint = hex.EncodeToString(sum[:])
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := authority.Issue(wire.RoleServer, "server", key.Public(), pki.Names{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(f.handler())
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{
		{Certificate: [][]byte{cert.Raw, authority.Certificate.Raw}, PrivateKey: key},
	}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // refused certificates are what tests are about
	s.StartTLS()
	t.Cleanup(s.Close)
	f.address = s.Listener.Addr().String()
	f.config = f.writeConfig(t, string(f.ca), "secret")
	return f
}

func (f *fake) writeConfig(t *testing.T, ca, token string) string {
	t.Helper()
	text, err := yaml.Marshal(map[string]string{"address": f.address, "ca": ca, "token": token})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "client.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (f *fake) handler() http.Handler {
	mux := http.NewServeMux()
	opt := connect.WithInterceptors(wire.Errors())
	for _, add := range []func() (string, http.Handler){
		func() (string, http.Handler) { return v1.NewAccessServiceHandler(f, opt) },
		func() (string, http.Handler) { return v1.NewStatusServiceHandler(f, opt) },
		func() (string, http.Handler) { return v1.NewPasskeyServiceHandler(f, opt) },
		func() (string, http.Handler) { return v1.NewSignOnServiceHandler(f, opt) },
		func() (string, http.Handler) { return v1.NewComputerServiceHandler(f, opt) },
		func() (string, http.Handler) { return v1.NewRepositoryServiceHandler(f, opt) },
		func() (string, http.Handler) { return v1.NewJobServiceHandler(f, opt) },
		func() (string, http.Handler) { return v1.NewSessionServiceHandler(f, opt) },
		func() (string, http.Handler) { return v1.NewSessionDetailServiceHandler(f, opt) },
		func() (string, http.Handler) { return v1.NewPointServiceHandler(f, opt) },
		func() (string, http.Handler) { return v1.NewRestoreServiceHandler(f, opt) },
		func() (string, http.Handler) { return v1.NewConfigServiceHandler(f, opt) },
		func() (string, http.Handler) { return v1.NewAuditServiceHandler(f, opt) },
	} {
		path, h := add()
		mux.Handle(path, h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		mux.ServeHTTP(w, r)
	})
}

// result is what a command left.
type result struct {
	code     int
	out, err string
}

// now is the time of all tests: a Sunday in Paris.
var now = time.Date(2026, 11, 1, 12, 0, 0, 0, paris())

func paris() *time.Location { return time.FixedZone("CET", 3600) }

// run runs a command line as a script would, with this environment.
func run(t *testing.T, env map[string]string, stdin string, args ...string) result {
	t.Helper()
	return runWithin(t.Context(), env, stdin, args...)
}

// runWithin is run with a context that the test may end, as an interrupt does.
func runWithin(ctx context.Context, env map[string]string, stdin string, args ...string) result {
	var out, errOut bytes.Buffer
	code := cli.Main(ctx, cli.Process{
		Args: args, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errOut,
		Env: func(name string) string { return env[name] }, Version: "v1.2.3",
		Now: func() time.Time { return now }, Local: paris(),
	})
	return result{code, out.String(), errOut.String()}
}

// do runs a command against the server.
func (f *fake) do(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, map[string]string{"KEEPWARD_CONFIG": f.config}, "", args...)
}

func (f *fake) Login(_ context.Context, r *connect.Request[keepwardv1.LoginRequest]) (*connect.Response[keepwardv1.LoginResponse], error) {
	if r.Msg.GetUser() != "admin" || r.Msg.GetPassword() != "right" {
		return nil, errs.New(errs.Denied, "login.refused", "log in as %s: user or password is wrong", r.Msg.GetUser())
	}
	return connect.NewResponse(&keepwardv1.LoginResponse{Token: "fresh", User: "admin"}), nil
}

func (f *fake) CreateToken(_ context.Context, r *connect.Request[keepwardv1.CreateTokenRequest]) (*connect.Response[keepwardv1.CreateTokenResponse], error) {
	return connect.NewResponse(&keepwardv1.CreateTokenResponse{
		Token: "kw1.SECRET." + r.Msg.GetTtl().AsDuration().String(), Info: &keepwardv1.JoinToken{Role: r.Msg.GetRole(), Name: r.Msg.GetName()},
	}), nil
}

func (f *fake) ListComputers(context.Context, *connect.Request[keepwardv1.ListComputersRequest]) (*connect.Response[keepwardv1.ListComputersResponse], error) {
	return connect.NewResponse(&keepwardv1.ListComputersResponse{Computers: []*keepwardv1.Computer{
		{Name: "web1", Status: "online", Os: "linux", Arch: "amd64", Hostname: "web1.example.com"},
		{Name: "db\x1b[31m", Status: "offline"},
		{Name: "db2", Status: "offline", LastSeen: timestamppb.New(now.Add(-time.Hour))},
		{Name: "new", Status: "never connected"},
	}}), nil
}

func (f *fake) ListRepositories(context.Context, *connect.Request[keepwardv1.ListRepositoriesRequest]) (*connect.Response[keepwardv1.ListRepositoriesResponse], error) {
	return connect.NewResponse(&keepwardv1.ListRepositoriesResponse{Transports: []*keepwardv1.Transport{
		{Name: "store1", Status: "offline", LastSeen: timestamppb.New(now.Add(-2 * time.Hour))},
	}}), nil
}

func (f *fake) GetJob(_ context.Context, r *connect.Request[keepwardv1.GetJobRequest]) (*connect.Response[keepwardv1.GetJobResponse], error) {
	j := f.jobs[r.Msg.GetName()]
	if j == nil {
		return nil, errs.New(errs.NotFound, "job.unknown", "find job %q: there is none", r.Msg.GetName()).WithHint("the nearest names are: docs")
	}
	return connect.NewResponse(f.live.job(j, r.Msg.GetNextRuns())), nil
}

func (f *fake) CreateJob(_ context.Context, r *connect.Request[keepwardv1.CreateJobRequest]) (*connect.Response[keepwardv1.CreateJobResponse], error) {
	f.jobs[r.Msg.GetJob().GetName()] = r.Msg.GetJob()
	return connect.NewResponse(&keepwardv1.CreateJobResponse{Job: r.Msg.GetJob()}), nil
}

func (f *fake) UpdateJob(_ context.Context, r *connect.Request[keepwardv1.UpdateJobRequest]) (*connect.Response[keepwardv1.UpdateJobResponse], error) {
	f.jobs[r.Msg.GetJob().GetName()] = r.Msg.GetJob()
	return connect.NewResponse(&keepwardv1.UpdateJobResponse{Job: r.Msg.GetJob()}), nil
}

func (f *fake) RunJob(context.Context, *connect.Request[keepwardv1.RunJobRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	return connect.NewResponse(&keepwardv1.StartSessionResponse{Session: 12}), nil
}

func (f *fake) WatchSession(ctx context.Context, _ *connect.Request[keepwardv1.WatchSessionRequest], s *connect.ServerStream[keepwardv1.WatchSessionResponse]) error {
	for _, state := range f.sessions {
		if err := s.Send(&keepwardv1.WatchSessionResponse{Session: state}); err != nil {
			return err
		}
		if f.cut > 0 {
			f.cut--
			return errs.New(errs.Unavailable, "", "the server stops")
		}
	}
	if f.hang != nil {
		close(f.hang)
		<-ctx.Done()
	}
	return nil
}

func (f *fake) ReadLog(_ context.Context, _ *connect.Request[keepwardv1.ReadLogRequest], s *connect.ServerStream[keepwardv1.ReadLogResponse]) error {
	return s.Send(&keepwardv1.ReadLogResponse{Events: f.events})
}

func (f *fake) ListSessions(_ context.Context, r *connect.Request[keepwardv1.ListSessionsRequest]) (*connect.Response[keepwardv1.ListSessionsResponse], error) {
	f.live.filter = r.Msg
	if f.list != nil {
		return connect.NewResponse(&keepwardv1.ListSessionsResponse{Sessions: f.list}), nil
	}
	return nil, errs.New(errs.Unavailable, "transport.offline", "list sessions: a transport is away")
}

func (f *fake) GetPoint(_ context.Context, r *connect.Request[keepwardv1.GetPointRequest]) (*connect.Response[keepwardv1.GetPointResponse], error) {
	f.point = r.Msg.GetName()
	return connect.NewResponse(&keepwardv1.GetPointResponse{Point: &keepwardv1.Point{Id: strings.Repeat("ab", 16)}}), nil
}

// Browse answers one entry a page.
func (f *fake) Browse(_ context.Context, r *connect.Request[keepwardv1.BrowseRequest]) (*connect.Response[keepwardv1.BrowseResponse], error) {
	i := len(r.Msg.GetCursor())
	m := &keepwardv1.BrowseResponse{Self: &keepwardv1.Entry{Path: r.Msg.GetPath(), Type: "dir"}, Entries: f.entries[i : i+1]}
	if i+1 < len(f.entries) {
		m.NextCursor = bytes.Repeat([]byte{1}, i+1)
	}
	return connect.NewResponse(m), nil
}

func (f *fake) Find(_ context.Context, _ *connect.Request[keepwardv1.FindRequest], s *connect.ServerStream[keepwardv1.FindResponse]) error {
	for _, e := range f.entries {
		if err := s.Send(&keepwardv1.FindResponse{Point: strings.Repeat("ab", 16), Computer: "web1", Entry: e}); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) Diff(_ context.Context, _ *connect.Request[keepwardv1.DiffRequest], s *connect.ServerStream[keepwardv1.DiffResponse]) error {
	return s.Send(&keepwardv1.DiffResponse{Change: "-", A: &keepwardv1.Entry{Path: []byte("/gone\n")}})
}

func (f *fake) RestoreFiles(_ context.Context, r *connect.Request[keepwardv1.RestoreFilesRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	f.restore = r.Msg
	return connect.NewResponse(&keepwardv1.StartSessionResponse{Session: 12}), nil
}

func (f *fake) CreateRepository(_ context.Context, r *connect.Request[keepwardv1.CreateRepositoryRequest]) (*connect.Response[keepwardv1.CreateRepositoryResponse], error) {
	if r.Msg.GetRepository().GetPath() == "/full" {
		return nil, errs.New(errs.Invalid, "repository.not-empty", "create repository in /full: it is not empty")
	}
	return connect.NewResponse(&keepwardv1.CreateRepositoryResponse{Repository: r.Msg.GetRepository(), RecoveryKey: "KEY"}), nil
}

func (f *fake) ExportRecoveryKey(_ context.Context, r *connect.Request[keepwardv1.ExportRecoveryKeyRequest]) (*connect.Response[keepwardv1.ExportRecoveryKeyResponse], error) {
	f.exported = append(f.exported, r.Msg.GetName())
	return connect.NewResponse(&keepwardv1.ExportRecoveryKeyResponse{RecoveryKey: "KEY"}), nil
}

func (f *fake) Apply(_ context.Context, r *connect.Request[keepwardv1.ApplyRequest]) (*connect.Response[keepwardv1.ApplyResponse], error) {
	m := &keepwardv1.ApplyResponse{Faults: f.faults}
	if len(f.faults) == 0 {
		m.Changes = []*keepwardv1.ConfigChange{{Action: "create", Kind: "job", Name: string(r.Msg.GetFiles()[0].GetContent())}}
	}
	return connect.NewResponse(m), nil
}

func (f *fake) Export(context.Context, *connect.Request[keepwardv1.ExportRequest]) (*connect.Response[keepwardv1.ExportResponse], error) {
	return connect.NewResponse(&keepwardv1.ExportResponse{Yaml: []byte("kind: job\nname: docs\n---\nkind: repository\n")}), nil
}
