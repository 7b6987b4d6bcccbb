package wire

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"sync"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/rate"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// memory is a DataHandler that keeps everything.
type memory struct {
	mu      sync.Mutex
	puts    [][]byte
	records map[seal.ID][]byte
	points  map[string][]byte
	drafts  []point.Draft
	putErr  error
	gate    chan struct{} // nil: open; else a put waits for a token
}

func (m *memory) Have(_ context.Context, hs []seal.H) ([]bool, error) {
	out := make([]bool, len(hs))
	for i, h := range hs {
		out[i] = h[0]%3 == 0
	}
	return out, nil
}

func (m *memory) Put(ctx context.Context, rec []byte) error {
	if m.gate != nil {
		select {
		case <-m.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.putErr != nil {
		return m.putErr
	}
	m.puts = append(m.puts, bytes.Clone(rec))
	return nil
}

func (m *memory) Get(_ context.Context, id seal.ID, dst []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rec, ok := m.records[id]
	if !ok {
		return nil, errs.New(errs.NotFound, "chunk.missing", "read chunk %s: it is not here", id)
	}
	return append(dst, rec...), nil
}

func (m *memory) Point(_ context.Context, name string) ([]byte, error) {
	if b, ok := m.points[name]; ok {
		return b, nil
	}
	return nil, errs.New(errs.Denied, "point.not-readable", "read restore point %s: not this task's", name)
}

func (m *memory) Checkpoint(ctx context.Context, d point.Draft) error { return m.Commit(ctx, d) }

func (m *memory) Commit(_ context.Context, d point.Draft) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drafts = append(m.drafts, d)
	return nil
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.puts)
}

// site is one mover with its session.
type site struct {
	t        testing.TB
	ca       *testCA
	server   *DataServer
	endpoint *keepwardv1.MoverEndpoint
	attempt  point.Attempt
	refused  chan Refusal
	arrived  chan Arrival
	result   chan error
	stop     context.CancelFunc
}

// siteConnections is how many connections the agents of sites would like.
var siteConnections int32

func newSite(t testing.TB, h DataHandler, change func(*DataServerConfig)) *site {
	t.Helper()
	ca := newTestCA(t)
	s := &site{t: t, ca: ca, refused: make(chan Refusal, 64), arrived: make(chan Arrival, 64), result: make(chan error, 1)}
	_, _ = rand.Read(s.attempt[:])
	cfg := DataServerConfig{
		Credentials: ca.issue(t, RoleTransport, "tr1"),
		Agent:       "web1", Attempt: s.attempt, TaskKey: seal.NewSecret(), Wait: 10 * time.Second,
		Refused: func(r Refusal) { s.refused <- r },
		Arrived: func(a Arrival) { s.arrived <- a },
		Limit:   &rate.Limit{}, // as movers and agents have one
	}
	if change != nil {
		change(&cfg)
	}
	s.server = NewDataServer(cfg, h)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fp := cfg.Credentials.Fingerprint()
	s.endpoint = &keepwardv1.MoverEndpoint{Connections: siteConnections, Address: l.Addr().String(), CertificateSha256: fp[:], TaskKey: cfg.TaskKey[:]}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	var own sync.WaitGroup
	own.Go(func() { s.result <- s.server.Serve(ctx, l) })
	t.Cleanup(func() { cancel(); own.Wait() })
	return s
}

func (s *site) config() DialConfig {
	return DialConfig{Credentials: s.ca.issue(s.t, RoleAgent, "web1"), Endpoint: s.endpoint, Attempt: s.attempt.String(), Limit: &rate.Limit{}}
}

func (s *site) dial(change func(*DialConfig)) *DataClient {
	s.t.Helper()
	cfg := s.config()
	if change != nil {
		change(&cfg)
	}
	c, err := DialData(s.t.Context(), cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// relay stands between agent and mover and can be cut.
type relay struct {
	l     net.Listener
	mu    sync.Mutex
	conns []net.Conn
	mute  bool // accept and say nothing
	most  int  // connections that are let through; 0: all
	own   sync.WaitGroup
}

func newRelay(t testing.TB, to string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{l: l}
	r.own.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			full := r.most > 0 && len(r.conns) >= 2*r.most
			r.mu.Unlock()
			if full {
				_ = in.Close()
				continue
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, in, out)
			r.mu.Unlock()
			r.own.Go(func() { r.copy(in, out) })
			r.own.Go(func() { r.copy(out, in) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); r.cut(); r.own.Wait() })
	return r
}

func (r *relay) copy(dst, src net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := src.Read(b)
		r.mu.Lock()
		mute := r.mute
		r.mu.Unlock()
		if err == nil && !mute {
			_, err = dst.Write(b[:n])
		}
		if err != nil {
			_ = dst.Close()
			_ = src.Close()
			return
		}
	}
}

func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}
