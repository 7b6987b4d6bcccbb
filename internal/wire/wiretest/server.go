package wiretest

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// heartbeat is how often nodes report. A link ends that missed three: on a machine with much else to
// do an answer may take some tenths of a second.
const heartbeat = 500 * time.Millisecond

// Server is a backup server reduced to its port: nodes join and link, and what they report
// is kept.
type Server struct {
	CA   *CA
	Addr string
	// Token lets one node after the other join.
	Token string

	t     testing.TB
	http  *http.Server
	own   sync.WaitGroup
	creds wire.Credentials

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every report
	links   map[string]*wire.Link
	Beats   []*keepwardv1.HeartbeatRequest
	Events  map[string][]*keepwardv1.Event // by attempt
	Last    map[string]*keepwardv1.Progress
	Ends    map[string]*keepwardv1.AttemptEnd
	Drop    []string
	// Refuse answers why a node's certificate does not let in any more; nil lets everybody in.
	Refuse func(wire.Identity) error
	// Refused counts the heartbeats that were refused, Joins the calls to join.
	Refused, Joins int
	// Deaf makes reports fail.
	Deaf bool
}

// NewServer starts a server on a free port.
func NewServer(t testing.TB) *Server {
	t.Helper()
	ca := NewCA(t)
	s := &Server{
		CA: ca, t: t, creds: ca.Issue(t, wire.RoleServer, "server"), changed: make(chan struct{}),
		links: map[string]*wire.Link{}, Events: map[string][]*keepwardv1.Event{},
		Last: map[string]*keepwardv1.Progress{}, Ends: map[string]*keepwardv1.AttemptEnd{},
	}
	sum := sha256.Sum256(ca.Certificate.Raw)
	s.Token = "kw1.TESTSECRET." + hex.EncodeToString(sum[:8])
	s.Start("127.0.0.1:0")
	t.Cleanup(s.Stop)
	return s
}

// Start listens, again after a Stop.
func (s *Server) Start(addr string) {
	s.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Addr = l.Addr().String()
	api := http.NewServeMux()
	api.Handle(keepwardv1connect.NewEnrolServiceHandler(enrol{s}, connect.WithInterceptors(wire.Errors())))
	nodes := http.NewServeMux()
	nodes.Handle(keepwardv1connect.NewNodeServiceHandler(nodeService{s}, connect.WithInterceptors(wire.Errors())))
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	s.http = &http.Server{
		Handler: api, TLSConfig: wire.ServerTLS(s.creds), Protocols: protocols, ReadHeaderTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){
			wire.ALPN: func(_ *http.Server, c *tls.Conn, _ http.Handler) { s.serveLink(c, nodes) },
		},
	}
	s.own.Go(func() { _ = s.http.ServeTLS(l, "", "") })
}

func (s *Server) serveLink(c *tls.Conn, nodes http.Handler) {
	link, err := wire.ServeLink(c, 0, nodes)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.links[link.Peer().String()] = link
	s.signal()
	s.mu.Unlock()
	<-link.Done()
	_ = link.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.links[link.Peer().String()] == link {
		delete(s.links, link.Peer().String())
	}
	s.signal()
}

// Stop ends the server and its links as a crash would.
func (s *Server) Stop() {
	_ = s.http.Close()
	s.mu.Lock()
	links := s.links
	s.links = map[string]*wire.Link{}
	s.mu.Unlock()
	for _, l := range links {
		_ = l.Close()
	}
	s.own.Wait()
}

// signal is called with the lock held.
func (s *Server) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Await waits until ok answers true; it is called with the lock held at every change.
func (s *Server) Await(what string, ok func() bool) {
	s.t.Helper()
	late := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		done, changed := ok(), s.changed
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-late:
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// Link waits for a node's link.
func (s *Server) Link(role wire.Role, name string) *wire.Link {
	s.t.Helper()
	var l *wire.Link
	key := wire.Identity{Role: role, Name: name}.String()
	s.Await("the link of "+key, func() bool { l = s.links[key]; return l != nil })
	return l
}

// End waits for the end of an attempt.
func (s *Server) End(attempt string) *keepwardv1.AttemptEnd {
	s.t.Helper()
	var end *keepwardv1.AttemptEnd
	s.Await("the end of attempt "+attempt, func() bool { end = s.Ends[attempt]; return end != nil })
	return end
}

// Set changes the server under its lock.
func (s *Server) Set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.signal()
}

type enrol struct{ s *Server }

func (e enrol) Join(_ context.Context, req *connect.Request[keepwardv1.JoinRequest]) (*connect.Response[keepwardv1.JoinResponse], error) {
	m := req.Msg
	e.s.Set(func() { e.s.Joins++ })
	if m.GetToken() != e.s.Token {
		return nil, errs.New(errs.Denied, "token.unknown", "join: the token is unknown").WithHint("make a new one")
	}
	csr, err := x509.ParseCertificateRequest(m.GetCsr())
	if err != nil {
		return nil, errs.New(errs.Invalid, "join.csr", "join: %w", err)
	}
	return connect.NewResponse(&keepwardv1.JoinResponse{
		Certificate: e.s.CA.Sign(e.s.t, wire.Role(m.GetRole()), m.GetName(), csr.PublicKey),
		Ca:          e.s.CA.Certificate.Raw,
	}), nil
}

type nodeService struct{ s *Server }

func (n nodeService) Heartbeat(ctx context.Context, req *connect.Request[keepwardv1.HeartbeatRequest]) (*connect.Response[keepwardv1.HeartbeatResponse], error) {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	if n.s.Refuse != nil {
		id, _ := wire.Peer(ctx)
		if err := n.s.Refuse(id); err != nil {
			n.s.Refused++
			n.s.signal()
			return nil, err
		}
	}
	n.s.Beats = append(n.s.Beats, req.Msg)
	n.s.signal()
	return connect.NewResponse(&keepwardv1.HeartbeatResponse{Interval: durationpb.New(heartbeat), Drop: n.s.Drop}), nil
}

func (n nodeService) ReportProgress(_ context.Context, req *connect.Request[keepwardv1.ReportProgressRequest]) (*connect.Response[keepwardv1.ReportProgressResponse], error) {
	return connect.NewResponse(&keepwardv1.ReportProgressResponse{}), n.report(func() { n.s.Last[req.Msg.GetAttempt()] = req.Msg.GetProgress() })
}

func (n nodeService) ReportEvents(_ context.Context, req *connect.Request[keepwardv1.ReportEventsRequest]) (*connect.Response[keepwardv1.ReportEventsResponse], error) {
	return connect.NewResponse(&keepwardv1.ReportEventsResponse{}), n.report(func() {
		a := req.Msg.GetAttempt()
		n.s.Events[a] = append(n.s.Events[a], req.Msg.GetEvents()...)
	})
}

func (n nodeService) ReportEnd(_ context.Context, req *connect.Request[keepwardv1.ReportEndRequest]) (*connect.Response[keepwardv1.ReportEndResponse], error) {
	return connect.NewResponse(&keepwardv1.ReportEndResponse{}), n.report(func() { n.s.Ends[req.Msg.GetAttempt()] = req.Msg.GetEnd() })
}

func (n nodeService) report(keep func()) error {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	if n.s.Deaf {
		return errs.New(errs.Unavailable, "server.deaf", "the server does not listen")
	}
	keep()
	n.s.signal()
	return nil
}
