package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/snapshot"
	"keepward/internal/wire"
	"keepward/internal/wire/wiretest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		if err := roles[os.Args[1]](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// The net/http server of a link keeps a reader for as long as the far end takes to close.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).serve"))
}

// mover is a repository in memory behind a real data connection.
type mover struct {
	mu      sync.Mutex
	records map[seal.ID][]byte
	points  map[string][]byte
	// gate, if set, is waited for by every Have.
	gate <-chan struct{}
	// reached, if set, is closed by the first Have.
	reached chan struct{}
	once    sync.Once
	keys    *seal.Keys
	// attempt is the one that is served now.
	attempt point.Attempt
}

func newMover() *mover {
	return &mover{
		records: map[seal.ID][]byte{}, points: map[string][]byte{},
		keys: seal.Master{Domain: 1, Secret: seal.Secret{1}}.TaskKeys([16]byte{2}, "web1"),
	}
}

func (m *mover) Have(ctx context.Context, hs []seal.H) ([]bool, error) {
	if m.reached != nil {
		m.once.Do(func() { close(m.reached) })
	}
	if m.gate != nil {
		select {
		case <-m.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]bool, len(hs))
	for i, h := range hs {
		_, out[i] = m.records[h.ID()]
	}
	return out, nil
}

func (m *mover) Put(_ context.Context, record []byte) error {
	r, err := seal.ParseRecord(bytes.Clone(record))
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[r.ID] = r.Bytes()
	return nil
}

func (m *mover) Get(_ context.Context, id seal.ID, dst []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rec, ok := m.records[id]
	if !ok {
		return nil, errs.New(errs.NotFound, "chunk.missing", "get %s: it is not there", id)
	}
	return append(dst[:0], rec...), nil
}

func (m *mover) Point(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.points[name]
	if !ok {
		return nil, errs.New(errs.NotFound, "point.not-found", "restore point %s is not there", name)
	}
	return p, nil
}

func (m *mover) Checkpoint(ctx context.Context, d point.Draft) error { return m.Commit(ctx, d) }

func (m *mover) Commit(_ context.Context, d point.Draft) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.points[m.attempt.String()] = point.Encode(m.keys.RepositoryID, m.attempt, d, nil)
	return nil
}

// site is a server, an agent and movers, over real connections.
type site struct {
	t      *testing.T
	server *wiretest.Server
	dir    string
	mover  *mover
	client keepwardv1connect.AgentServiceClient
	shots  *snapshot.Taker // nil: what there is
	// watchdog has holds served by a process of their own, and limit bounds them.
	watchdog bool
	limit    time.Duration
	// tend is how often kept snapshots are looked at.
	tend time.Duration
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, server: wiretest.NewServer(t), dir: t.TempDir(), mover: newMover()}
	s.start()
	return s
}

// start starts the agent; the answer stops it.
func (s *site) start() (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var own sync.WaitGroup
	own.Go(func() {
		cfg := Config{DataDir: s.dir, Server: s.server.Addr, JoinToken: s.server.Token, Name: "web1", Version: "test", Snapshots: s.shots, HoldLimit: s.limit, TendEvery: s.tend}
		if s.watchdog {
			cfg.Watchdog = []string{roleWatchdog}
		}
		if err := Run(ctx, cfg); err != nil {
			s.t.Errorf("agent: %v", err)
		}
	})
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); own.Wait() }) }
	s.t.Cleanup(stop)
	s.call()
	return stop
}

// call takes the agent's link. Right after another start of the agent that may be the old one.
func (s *site) call() {
	s.t.Helper()
	link := s.server.Link(wire.RoleAgent, "web1")
	s.client = keepwardv1connect.NewAgentServiceClient(link.Client(), wire.LinkURL, connect.WithInterceptors(wire.Errors()))
}

// order makes a new attempt with a mover that waits for its agent.
func (s *site) order() (*keepwardv1.Order, *keepwardv1.MoverEndpoint) {
	s.t.Helper()
	var attempt point.Attempt
	_, _ = rand.Read(attempt[:])
	s.mover.attempt = attempt
	cfg := wire.DataServerConfig{
		Credentials: s.server.CA.Issue(s.t, wire.RoleTransport, "tr1"), Agent: "web1",
		Attempt: attempt, TaskKey: seal.NewSecret(), Wait: 10 * time.Second,
		Refused: func(wire.Refusal) {}, Arrived: func(wire.Arrival) {},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var own sync.WaitGroup
	own.Go(func() { _ = wire.NewDataServer(cfg, s.mover).Serve(ctx, l) }) // how it ends is the agent's to say here
	s.t.Cleanup(func() { cancel(); own.Wait() })
	fp := cfg.Credentials.Fingerprint()
	return &keepwardv1.Order{Attempt: attempt.String(), Task: "t1", Session: 1, Term: 5},
		&keepwardv1.MoverEndpoint{Address: l.Addr().String(), CertificateSha256: fp[:], TaskKey: cfg.TaskKey[:]}
}

func (s *site) startBackup(include, parent string) string {
	s.t.Helper()
	order, endpoint := s.order()
	_, err := s.client.StartBackup(s.t.Context(), connect.NewRequest(&keepwardv1.StartBackupRequest{
		Order: order, Mover: endpoint, Keys: wire.KeysToProto(s.mover.keys), Parent: parent,
		Files: &keepwardv1.FileSelection{Include: []string{include}}, Compression: "zstd",
	}))
	if err != nil {
		s.t.Fatal(err)
	}
	return order.GetAttempt()
}

func TestBackupIncrementalAndRestore(t *testing.T) {
	s := newSite(t)
	src := t.TempDir()
	for name, content := range map[string]string{"a": "hello", "d/b": "world"} {
		p := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	first := s.startBackup(src, "")
	end := s.server.End(first)
	if end.GetOutcome() != "done" || !end.GetCommitted() || end.GetPoint().GetId() != first || end.GetPoint().GetCompleteness() != "complete" {
		t.Fatalf("first backup ended with %v", end)
	}
	if c := end.GetCounters(); c.GetReadFiles() != 2 || c.GetReadBytes() != 10 || c.GetPeakRssBytes() == 0 {
		t.Errorf("counters: %v", c)
	}
	second := s.startBackup(src, first)
	if end = s.server.End(second); end.GetOutcome() != "done" || end.GetCounters().GetTotalFiles() == 0 {
		t.Fatalf("second backup ended with %v", end)
	}
	to := t.TempDir()
	order, endpoint := s.order()
	_, err := s.client.StartRestore(t.Context(), connect.NewRequest(&keepwardv1.StartRestoreRequest{
		Order: order, Mover: endpoint, Keys: wire.KeysToProto(s.mover.keys), Point: second, Paths: [][]byte{[]byte(src)}, To: []byte(to),
	}))
	if err != nil {
		t.Fatal(err)
	}
	if end = s.server.End(order.GetAttempt()); end.GetOutcome() != "done" || end.GetCommitted() {
		t.Fatalf("restore ended with %v", end)
	}
	got, err := os.ReadFile(filepath.Join(to, src, "d/b"))
	if err != nil || string(got) != "world" {
		t.Errorf("restored %q, %v", got, err)
	}
}

func TestARestoreWhoseNameLeadsElsewhereIsRefused(t *testing.T) {
	s := newSite(t)
	order, endpoint := s.order()
	order.Attempt = "../elsewhere"
	_, err := s.client.StartRestore(t.Context(), connect.NewRequest(&keepwardv1.StartRestoreRequest{
		Order: order, Mover: endpoint, Keys: wire.KeysToProto(s.mover.keys), To: []byte(t.TempDir()),
	}))
	if errs.KindOf(err) != errs.Invalid {
		t.Errorf("an attempt called %q: %v", order.GetAttempt(), err)
	}
}

func TestStopEndsAnAttemptAtOnce(t *testing.T) {
	s := newSite(t)
	gate := make(chan struct{})
	defer close(gate)
	s.mover.gate = gate
	src := t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "f"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	id := s.startBackup(src, "")
	_, err := s.client.StopAttempt(t.Context(), connect.NewRequest(&keepwardv1.StopAttemptRequest{
		Order: &keepwardv1.Order{Attempt: id, Term: 5}, Reason: "killed by admin",
	}))
	if err != nil {
		t.Fatal(err)
	}
	end := s.server.End(id)
	if end.GetOutcome() != "aborted" || end.GetCommitted() || end.GetFailure().GetMessage() != "stopped: killed by admin" {
		t.Errorf("ended with %v", end)
	}
}

func TestAnAgentThatGoesDownSaysSoWhenItIsBack(t *testing.T) {
	s := &site{t: t, server: wiretest.NewServer(t), dir: t.TempDir(), mover: newMover()}
	stop := s.start()
	gate := make(chan struct{})
	defer close(gate)
	s.mover.gate = gate
	src := t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "f"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	id := s.startBackup(src, "")
	s.server.Set(func() { s.server.Deaf = true })
	stop()
	s.server.Set(func() { s.server.Deaf = false })
	s.start()
	end := s.server.End(id)
	if end.GetOutcome() != "failed" || end.GetFailure().GetKind() != string(errs.Unavailable) {
		t.Errorf("ended with %v", end)
	}
}

func TestOrdersThatCannotBeCarriedOutAreRefused(t *testing.T) {
	s := newSite(t)
	order, endpoint := s.order()
	good := &keepwardv1.StartBackupRequest{
		Order: order, Mover: endpoint, Keys: wire.KeysToProto(s.mover.keys),
		Files: &keepwardv1.FileSelection{Include: []string{"/nowhere"}},
	}
	for want, change := range map[string]func(*keepwardv1.StartBackupRequest){
		"attempt.name":    func(m *keepwardv1.StartBackupRequest) { m.Order = &keepwardv1.Order{Attempt: "x", Term: 5} },
		"job.compression": func(m *keepwardv1.StartBackupRequest) { m.Compression = "lzma" },
		"exclude.pattern": func(m *keepwardv1.StartBackupRequest) {
			m.Files = &keepwardv1.FileSelection{Exclude: []string{"[a"}}
		},
	} {
		m := &keepwardv1.StartBackupRequest{Order: good.Order, Mover: good.Mover, Keys: good.Keys, Files: good.Files}
		change(m)
		_, err := s.client.StartBackup(t.Context(), connect.NewRequest(m))
		if errs.CodeOf(err) != want {
			t.Errorf("error %v, want code %s", err, want)
		}
	}
	if _, err := s.client.StartBackup(t.Context(), connect.NewRequest(good)); err != nil {
		t.Fatal(err)
	}
	end := s.server.End(order.GetAttempt())
	if d := cmp.Diff("include.none", end.GetFailure().GetCode()); d != "" || end.GetOutcome() != "failed" {
		t.Errorf("ended with %v", end)
	}
	old := &keepwardv1.StartBackupRequest{Order: &keepwardv1.Order{Attempt: order.GetAttempt(), Term: 4}, Mover: endpoint, Keys: good.Keys, Files: good.Files}
	if _, err := s.client.StartBackup(t.Context(), connect.NewRequest(old)); errs.KindOf(err) != errs.Denied {
		t.Errorf("an order of a lower term: %v", err)
	}
}

func TestDisplayEscapes(t *testing.T) {
	for path, want := range map[string]string{"": "", "srv/a": "/srv/a", "a\nb": `/a\nb`, "\xff": `/\xff`, "é": "/é"} {
		if got := display(path); got != want {
			t.Errorf("display(%q) = %q, want %q", path, got, want)
		}
	}
}
