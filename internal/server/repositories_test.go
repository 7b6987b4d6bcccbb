package server

import (
	"bytes"
	"context"
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/repo/repoconf"
	"keepward/internal/wire"
)

// fakeTransport keeps repositories in memory. "/link/…" leads to "/srv/…".
type fakeTransport struct {
	keepwardv1connect.UnimplementedTransportServiceHandler

	mu     sync.Mutex
	made   map[string]*keepwardv1.TransportCreateRepositoryRequest
	probes int
	// fail is what CreateRepository answers when it is not a probe.
	fail error
	// lost is what InspectRepository answers.
	lost error
	// holds is what a repository holds beside what InspectRepository answers anyhow, of 1000 MiB.
	holds int64
	// owners and points stand in the repositories, by their paths; made holds the first owner.
	owners map[string]*keepwardv1.ClaimRepositoryResponse
	points map[string][]*keepwardv1.PointObject
	epoch  uint32
}

func canonical(p string) string {
	return strings.Replace(path.Clean(p), "/link/", "/srv/", 1)
}

func (f *fakeTransport) CreateRepository(_ context.Context, req *connect.Request[keepwardv1.TransportCreateRepositoryRequest]) (*connect.Response[keepwardv1.TransportCreateRepositoryResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := canonical(req.Msg.Path)
	if strings.HasPrefix(p, "/proc") {
		return nil, errs.New(errs.Denied, "repository.not-writable", "create repository at %s: permission denied", p)
	}
	switch {
	case req.Msg.ProbeOnly:
		f.probes++
	case f.fail != nil:
		return nil, f.fail
	default:
		f.made[p] = req.Msg
		f.owners[p] = &keepwardv1.ClaimRepositoryResponse{Term: req.Msg.Term, Owner: req.Msg.Owner}
	}
	return connect.NewResponse(&keepwardv1.TransportCreateRepositoryResponse{CanonicalPath: p, FreeBytes: 7}), nil
}

func (f *fakeTransport) InspectRepository(_ context.Context, req *connect.Request[keepwardv1.InspectRepositoryRequest]) (*connect.Response[keepwardv1.InspectRepositoryResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost != nil {
		return nil, f.lost
	}
	made := f.made[canonical(req.Msg.Path)]
	if made == nil {
		return nil, errs.New(errs.NotFound, "repository.not-found", "open repository %s: there is none", req.Msg.Path)
	}
	free := int64(2)
	if f.holds > 0 {
		free = 1000<<20 - f.holds
	}
	return connect.NewResponse(&keepwardv1.InspectRepositoryResponse{SizeBytes: 1 + f.holds, FreeBytes: free, Packs: 3, Chunks: 4, Points: 5}), nil
}

// StartMover never starts one: a session that asks stays active until it is killed.
func (f *fakeTransport) StartMover(ctx context.Context, _ *connect.Request[keepwardv1.StartMoverRequest]) (*connect.Response[keepwardv1.StartMoverResponse], error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (f *fakeTransport) set(fail, lost error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.lost = fail, lost
}

func (f *fakeTransport) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.made)
}

// withTransport starts a server with a transport "t1" and a computer "web1".
func withTransport(t *testing.T) (*testServer, *fakeTransport) {
	t.Helper()
	s, f, _ := withTransportLink(t)
	return s, f
}

func withTransportLink(t *testing.T) (*testServer, *fakeTransport, *testNode) {
	t.Helper()
	return withTransportIn(t, t.TempDir(), func(*Config) {})
}

func withTransportIn(t *testing.T, dir string, otherwise func(*Config)) (*testServer, *fakeTransport, *testNode) {
	t.Helper()
	s := startAs(t, dir, otherwise)
	f := &fakeTransport{
		made:   map[string]*keepwardv1.TransportCreateRepositoryRequest{},
		owners: map[string]*keepwardv1.ClaimRepositoryResponse{}, points: map[string][]*keepwardv1.PointObject{},
	}
	n := s.joinTransport(f)
	s.join(wire.RoleAgent, "web1", http.NotFoundHandler())
	return s, f, n
}

func (s *testServer) joinTransport(f *fakeTransport) *testNode {
	s.t.Helper()
	mux := http.NewServeMux()
	mux.Handle(keepwardv1connect.NewTransportServiceHandler(f, connect.WithInterceptors(wire.Errors())))
	n, _ := s.join(wire.RoleTransport, "t1", mux)
	return n
}

func (s *testServer) createRepository(name, transport, path string) (*keepwardv1.CreateRepositoryResponse, error) {
	s.t.Helper()
	res, err := s.repositories().CreateRepository(s.t.Context(), connect.NewRequest(&keepwardv1.CreateRepositoryRequest{
		Repository: &keepwardv1.Repository{Name: name, Transport: transport, Path: path},
	}))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

func (s *testServer) repositoryNames() []string {
	s.t.Helper()
	list := must(s.repositories().ListRepositories(s.t.Context(), connect.NewRequest(&keepwardv1.ListRepositoriesRequest{})))(s.t)
	var names []string
	for _, r := range list.Repositories {
		names = append(names, r.Name)
	}
	return names
}

func TestRepositoryIsMadeWithAKeyThatOpensIt(t *testing.T) {
	s, f := withTransport(t)
	res, err := s.createRepository("main", "t1", "/srv/main/")
	if err != nil {
		t.Fatal(err)
	}
	r := res.Repository
	if r.Path != "/srv/main" || r.Status != "online" || r.Points != 5 || r.Streams == 0 || codes(r.Conditions) != "repository.recovery-key main" {
		t.Errorf("got %v", r)
	}
	key, err := repoconf.ParseRecovery(res.RecoveryKey)
	if err != nil {
		t.Fatal(err)
	}
	made := f.made["/srv/main"]
	master, err := repoconf.OpenKeyObject(made.Keys[0].Content, key)
	if err != nil {
		t.Fatal(err)
	}
	cfg, damage, err := repoconf.ParseConfig(made.Configuration)
	if err != nil || damage != nil || !cfg.ChecksMaster(master) {
		t.Errorf("the configuration does not go with the key: %v, %v", damage, err)
	}
	exported := must(s.repositories().ExportRecoveryKey(t.Context(), connect.NewRequest(&keepwardv1.ExportRecoveryKeyRequest{Name: "main"})))(t).RecoveryKey
	if diff := cmp.Diff(res.RecoveryKey, exported); diff != "" {
		t.Errorf("another key was exported: %s", diff)
	}
	if got := codes(s.status().Conditions); got != "" {
		t.Errorf("conditions after the export: %s", got)
	}
	if log := s.log.String(); strings.Contains(log, strings.Split(exported, "\n")[0]) || !strings.Contains(log, "recovery key exported") {
		t.Error("the log has the key, or not the export")
	}
	s.stop()
	// What is kept does not hold the master in clear.
	for _, name := range []string{catalogFile, catalogFile + "-wal"} {
		if bytes.Contains(read(t, s.dir, name), master.Secret[:]) || bytes.Contains(read(t, s.dir, name), key.Secret[:]) {
			t.Errorf("%s holds a key in clear", name)
		}
	}
}

func TestRepositoryThatCannotBeIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	s, f := withTransport(t)
	if _, err := s.createRepository("main", "t1", "/srv/a/main"); err != nil {
		t.Fatal(err)
	}
	s.join(wire.RoleTransport, "t2", http.NotFoundHandler())
	for _, tt := range []struct {
		what, name, transport, path string
		kind                        errs.Kind
	}{
		{"same name", "main", "t1", "/srv/b", errs.Exists},
		{"same path", "b", "t1", "/srv/a/main", errs.Exists},
		{"same path by a link", "b", "t1", "/link/a/main", errs.Exists},
		{"inside", "b", "t1", "/srv/a/main/b", errs.Exists},
		{"around", "b", "t1", "/srv/a", errs.Exists},
		{"at the root", "b", "t1", "/", errs.Exists},
		{"relative path", "b", "t1", "srv/b", errs.Invalid},
		{"bad name", "a/b", "t1", "/srv/b", errs.Invalid},
		{"unknown transport", "b", "t3", "/srv/b", errs.NotFound},
		{"no transport", "b", "", "/srv/b", errs.Invalid},
		{"transport that refuses", "b", "t1", "/proc/b", errs.Denied},
	} {
		if _, err := s.createRepository(tt.name, tt.transport, tt.path); errs.KindOf(err) != tt.kind {
			t.Errorf("%s: %v, want %s", tt.what, err, tt.kind)
		}
	}
	if diff := cmp.Diff([]string{"main"}, s.repositoryNames()); diff != "" || f.count() != 1 {
		t.Errorf("%d were made: %s", f.count(), diff)
	}
	if _, err := s.createRepository("b", "t1", "/srv/a/main2"); err != nil {
		t.Errorf("beside the other: %v", err)
	}
}

func TestFailedCreationLeavesNothingBehind(t *testing.T) {
	s, f := withTransport(t)
	f.set(errs.New(errs.NoSpace, "storage.full", "create repository: no space left on device"), nil)
	if _, err := s.createRepository("main", "t1", "/srv/main"); errs.KindOf(err) != errs.NoSpace {
		t.Fatalf("got %v", err)
	}
	if names := s.repositoryNames(); len(names) != 0 {
		t.Errorf("%v are left", names)
	}
	f.set(nil, nil)
	if _, err := s.createRepository("main", "t1", "/srv/main"); err != nil {
		t.Error(err)
	}
}

func TestOfflineTransportAndLostRepositoryAreConditions(t *testing.T) {
	s, f, n := withTransportLink(t)
	if _, err := s.createRepository("main", "t1", "/srv/main"); err != nil {
		t.Fatal(err)
	}
	get := func() *keepwardv1.Repository {
		return must(s.repositories().GetRepository(t.Context(), connect.NewRequest(&keepwardv1.GetRepositoryRequest{Name: "main"})))(t).Repository
	}
	f.set(nil, errs.New(errs.Corrupt, "configuration.magic", "read configuration: it is none"))
	if r := get(); r.Status != "lost" || codes(r.Conditions) != "repository.lost main, repository.recovery-key main" {
		t.Errorf("with a lost repository: %v", r)
	}
	f.set(nil, nil)
	if r := get(); r.Status != "online" {
		t.Errorf("found again: %v", r)
	}
	_ = n.link.Close()
	waitFor(t, func() bool { return get().Status == "offline" })
	if got := codes(s.status().Conditions); got != "transport.offline t1, repository.offline main, repository.recovery-key main" {
		t.Errorf("conditions: %s", got)
	}
	if _, err := s.createRepository("b", "t1", "/srv/b"); errs.CodeOf(err) != "transport.offline" {
		t.Errorf("create on an offline transport: %v", err)
	}
}

func TestRepositoryLimits(t *testing.T) {
	s, _ := withTransport(t)
	if _, err := s.createRepository("main", "t1", "/srv/main"); err != nil {
		t.Fatal(err)
	}
	two, zero := int32(2), int32(0)
	edit := func(name string, streams *int32) (*keepwardv1.EditRepositoryResponse, error) {
		res, err := s.repositories().EditRepository(t.Context(), connect.NewRequest(&keepwardv1.EditRepositoryRequest{Name: name, Streams: streams}))
		if err != nil {
			return nil, err
		}
		return res.Msg, nil
	}
	if res, err := edit("main", &two); err != nil || res.Repository.Streams != 2 || res.Repository.Writers == 2 {
		t.Errorf("%v, %v", res, err)
	}
	if _, err := edit("main", &zero); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no streams: %v", err)
	}
	if _, err := edit("mian", &two); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) != "did you mean main?" {
		t.Errorf("unknown: %v", err)
	}
}
