package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"keepward/internal/errs"
)

const (
	// linkWindow lets one listing run at speed over a long way.
	linkWindow = 1 << 20
	// linkDialTimeout bounds connecting and handshake together.
	linkDialTimeout = 20 * time.Second
	// maxNodeCalls bounds the streams that a node may have open at its server: each has a
	// window's worth of memory.
	maxNodeCalls = 64
	// LinkURL is the base URL for Connect clients on Link.Client; the host is never looked up.
	LinkURL = "http://link"
)

// Link is a node's one connection with its server. HTTP runs over it in both directions:
// handlers at either end see the peer's identity in the request's context (Peer).
type Link struct {
	session *yamux.Session
	server  *http.Server
	client  *http.Client
	peer    Identity
	served  sync.WaitGroup
}

// DialLink connects a node to its server and serves handler to it.
func DialLink(ctx context.Context, addr string, c Credentials, handler http.Handler) (*Link, error) {
	ctx, cancel := context.WithTimeout(ctx, linkDialTimeout)
	defer cancel()
	d := tls.Dialer{Config: NodeTLS(c)}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, dialError("connect to the server at "+addr, err)
	}
	tc := conn.(*tls.Conn)
	if tc.ConnectionState().NegotiatedProtocol != ALPN {
		_ = tc.Close()
		return nil, errs.New(errs.Invalid, "link.protocol", "connect to the server at %s: it does not speak %s", addr, ALPN)
	}
	return newLink(tc, 0, handler, yamux.Client, 0)
}

// AcceptLink takes over a connection that the server dialled, and serves handler to it. Whoever
// dialled, the node is the same end of the link.
func AcceptLink(conn *tls.Conn, handler http.Handler) (*Link, error) {
	peer, err := peerOf(conn)
	if err == nil {
		err = wantRole(peer, RoleServer)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return newLink(conn, 0, handler, yamux.Client, 0)
}

// ServeLink takes over a connection that asked for ALPN, checks that a node is at its other
// end and serves handler to it. It is meant for http.Server.TLSNextProto, which must not
// return before the link is done: wait for Done. heartbeat is the site's; zero: the default.
func ServeLink(conn *tls.Conn, heartbeat time.Duration, handler http.Handler) (*Link, error) {
	// Before anything is served: a call may come with the first bytes.
	peer, err := peerOf(conn)
	if err == nil && peer.Role == RoleServer {
		err = errs.New(errs.Denied, "certificate.role", "accept link from %s: %s is not a node", peer.Address, peer)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return newLink(conn, heartbeat, handler, yamux.Server, maxNodeCalls)
}

// newLink begins a link; calls bounds the streams that the peer may have open, 0: nothing does.
func newLink(conn *tls.Conn, heartbeat time.Duration, handler http.Handler, side func(io.ReadWriteCloser, *yamux.Config) (*yamux.Session, error), calls int) (*Link, error) {
	peer, err := peerOf(conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	cfg := yamux.DefaultConfig()
	// A dead peer is found without waiting for a call.
	cfg.KeepAliveInterval = pingEvery(heartbeat)
	cfg.ConnectionWriteTimeout = pingEvery(heartbeat)
	cfg.MaxStreamWindowSize = linkWindow
	cfg.LogOutput = io.Discard // what matters ends the session, and its end is reported
	session, err := side(conn, cfg)
	if err != nil {
		_ = conn.Close()
		return nil, errs.New(errs.Internal, "", "start link with %s: %w", peer, err)
	}
	l := &Link{session: session, peer: peer}
	l.client = &http.Client{Transport: &http.Transport{
		DialContext:     func(context.Context, string, string) (net.Conn, error) { return l.open() },
		MaxIdleConns:    4,
		IdleConnTimeout: time.Minute,
		// Answers are small or stream; compressing them costs more than the link.
		DisableCompression: true,
	}}
	l.server = &http.Server{
		Handler:           handler,
		BaseContext:       func(net.Listener) context.Context { return WithPeer(context.Background(), peer) },
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	var in net.Listener = session
	if calls > 0 {
		in = &limited{Listener: session, slots: make(chan struct{}, calls), done: session.CloseChan()}
	}
	l.served.Go(func() { _ = l.server.Serve(in) })
	return l, nil
}

func (l *Link) open() (net.Conn, error) {
	s, err := l.session.Open()
	if err != nil {
		return nil, errs.New(errs.Unavailable, "link.lost", "call %s: the link is down: %w", l.peer, err)
	}
	return s, nil
}

// Client makes calls to the other end, at LinkURL.
func (l *Link) Client() *http.Client { return l.client }

// Peer is who is at the other end.
func (l *Link) Peer() Identity { return l.peer }

// LocalAddr is this end's address.
func (l *Link) LocalAddr() net.Addr { return l.session.LocalAddr() }

// Done is closed when the link is down.
func (l *Link) Done() <-chan struct{} { return l.session.CloseChan() }

// Close ends the link, its calls in both directions included, and waits for its server.
func (l *Link) Close() error {
	l.client.CloseIdleConnections()
	err := l.session.Close()
	_ = l.server.Close()
	l.served.Wait()
	return err
}

func peerOf(conn *tls.Conn) (Identity, error) {
	certs := conn.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return Identity{}, errs.New(errs.Denied, "certificate.missing", "accept %s: no certificate was shown", conn.RemoteAddr())
	}
	id, err := IdentityOf(certs[0])
	if err != nil {
		return Identity{}, err
	}
	id.Address = conn.RemoteAddr().String()
	return id, nil
}

// dialError gives a failed dial its kind: a refused certificate is denied, the rest is a
// peer that cannot be reached.
func dialError(what string, err error) error {
	var e *errs.Error
	if errors.As(err, &e) {
		return errs.New(e.Kind, e.Code, "%s: %w", what, e)
	}
	var invalid *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	if refusedByTLS(err) || errors.As(err, &invalid) || errors.As(err, &authority) {
		return errs.New(errs.Denied, "certificate.refused", "%s: %w", what, err)
	}
	return errs.New(errs.Unavailable, "peer.unreachable", "%s: %w", what, err)
}
