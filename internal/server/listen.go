package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/console"
	"keepward/internal/content"
	"keepward/internal/errs"
	"keepward/internal/passkey"
	"keepward/internal/pki"
	"keepward/internal/signon"
	"keepward/internal/wire"
)

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	// stopTimeout is how long calls may take to end when the server stops.
	stopTimeout = 5 * time.Second
	// Bounds of one message: a client's largest is a configuration, an agent's a batch of
	// lines, a transport's a list of damage with its files.
	clientMessageMost    = 16 << 20
	agentMessageMost     = 8 << 20
	transportMessageMost = 64 << 20
)

// listener is the one port, open.
type listener struct {
	net.Listener
	address string // what clients on this host dial
	creds   wire.Credentials
}

func (l *listener) close() error { return l.Listener.Close() }

// listen opens the port and makes the certificate it is served with. A new one at every
// start names the addresses that the host has now; clients and nodes pin the authority.
func (s *server) listen() (*listener, error) {
	host, _, err := net.SplitHostPort(s.cfg.Listen)
	if err != nil {
		return nil, errs.New(errs.Invalid, "listen.address", "listen on %q: %w", s.cfg.Listen, err).WithHint("write it as HOST:PORT or :PORT")
	}
	l, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return nil, errs.New(errs.Unavailable, "listen.failed", "listen on %s: %w", s.cfg.Listen, err)
	}
	creds, err := s.certificate(host)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	port := l.Addr().(*net.TCPAddr).Port
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return &listener{Listener: l, address: net.JoinHostPort(host, fmt.Sprint(port)), creds: creds}, nil
}

func (s *server) certificate(listenHost string) (wire.Credentials, error) {
	key, err := pki.NewKey()
	if err != nil {
		return wire.Credentials{}, err
	}
	names, err := hostNames(listenHost)
	if err != nil {
		return wire.Credentials{}, err
	}
	cert, err := s.data.authority.Issue(wire.RoleServer, string(wire.RoleServer), key.Public(), names, time.Now())
	if err != nil {
		return wire.Credentials{}, err
	}
	return wire.Credentials{
		Certificate: tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert},
		CA:          s.data.authority.Certificate,
	}, nil
}

// hostNames is every name and address by which a client may call this host.
func hostNames(listenHost string) (pki.Names, error) {
	n := pki.Names{DNS: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
	add := func(name string) {
		if ip := net.ParseIP(name); ip != nil {
			n.IPs = append(n.IPs, ip)
		} else if name != "" {
			n.DNS = append(n.DNS, strings.ToLower(name))
		}
	}
	add(listenHost)
	if host, err := os.Hostname(); err == nil {
		add(host)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return n, fmt.Errorf("list addresses of this host: %w", err)
	}
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() {
			n.IPs = append(n.IPs, ip.IP)
		}
	}
	return n, nil
}

func (s *server) serveHTTP(ctx context.Context, l *listener) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	srv := &http.Server{
		Handler:           s.webHandler(),
		TLSConfig:         wire.ServerTLS(l.creds),
		Protocols:         &protocols,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		// Refused handshakes come out here, with the peer's address.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){
			wire.ALPN: func(_ *http.Server, conn *tls.Conn, _ http.Handler) {
				_ = s.nodes.serve(ctx, conn, "", nil) // it has logged why
			},
			wire.ProbeALPN: func(_ *http.Server, conn *tls.Conn, _ http.Handler) { _ = conn.Close() },
		},
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.nodes.close()
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if srv.Shutdown(limit) != nil {
			_ = srv.Close()
		}
	})
	err := srv.ServeTLS(l, "", "")
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	s.nodes.close()
	return errs.New(errs.Unavailable, "listen.failed", "serve %s: %w", l.address, errors.Join(err, srv.Close()))
}

// apiPrefix begins the path of every call, and of nothing else.
const apiPrefix = "/keepward."

// webHandler is what comes in over HTTP: calls, what monitoring asks for, and everything else is for the console, which
// makes calls of its own for who sits before it.
func (s *server) webHandler() http.Handler {
	api := s.apiHandler()
	cfg := console.Config{API: api, May: roleMay, Version: s.cfg.Version, Log: s.log}
	if len(s.cfg.Opener) > 0 {
		cfg.Contents = contents{&content.Opener{Arguments: s.cfg.Opener, Log: s.log}}
	}
	site := console.New(cfg)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, monitored := pages[r.URL.Path]; monitored || strings.HasPrefix(r.URL.Path, apiPrefix) {
			api.ServeHTTP(w, r)
			return
		}
		site.ServeHTTP(w, r)
	})
}

// contents has content opened by processes of its own.
type contents struct{ *content.Opener }

func (c contents) Open(ctx context.Context, order *keepwardv1.ContentOrder, from console.Records) (console.Reading, error) {
	r, err := c.Opener.Open(ctx, order, from)
	if err != nil {
		return nil, err // else it would be an interface that holds nothing
	}
	return r, nil
}

// apiHandler is what clients may call, and nodes that have not joined yet.
func (s *server) apiHandler() http.Handler {
	mux := http.NewServeMux()
	opts, short := s.handlerOptions(clientMessageMost), s.handlerOptions(openMessageMost)
	mount := func(path string, h http.Handler) { mux.Handle(path, h) }
	mount(keepwardv1connect.NewEnrolServiceHandler(&enrolService{s}, short...))
	access := newAccessService(s)
	mount(keepwardv1connect.NewAccessServiceHandler(access, short...))
	mount(keepwardv1connect.NewUserServiceHandler(&userService{access}, short...))
	mount(keepwardv1connect.NewOneTimeCodeServiceHandler(&codeService{access}, short...))
	mount(keepwardv1connect.NewPasskeyServiceHandler(&passkeyService{access, passkey.New(time.Now)}, short...))
	mount(keepwardv1connect.NewSignOnServiceHandler(&signOnService{access, signon.New(time.Now)}, short...))
	mount(keepwardv1connect.NewAPITokenServiceHandler(&tokenService{s}, short...))
	mount(keepwardv1connect.NewApprovalServiceHandler(&approvalService{s.approve}, short...))
	mount(keepwardv1connect.NewAuditServiceHandler(&auditService{s}, short...))
	mount(keepwardv1connect.NewStatusServiceHandler(&statusService{s}, opts...))
	mount(keepwardv1connect.NewConnectionServiceHandler(&connectionService{s}, opts...))
	mount(keepwardv1connect.NewComputerServiceHandler(&computerService{s}, opts...))
	mount(keepwardv1connect.NewRepositoryServiceHandler(&repositoryService{s}, opts...))
	mount(keepwardv1connect.NewGroupServiceHandler(&groupService{s}, opts...))
	mount(keepwardv1connect.NewUpdateServiceHandler(&updateService{s.updates}, opts...))
	mount(keepwardv1connect.NewJobServiceHandler(&jobService{s}, opts...))
	mount(keepwardv1connect.NewJobPreviewServiceHandler(&jobService{s}, opts...))
	mount(keepwardv1connect.NewProtectionServiceHandler(&protectionService{s}, opts...))
	mount(keepwardv1connect.NewCredentialServiceHandler(&credentialService{s}, opts...))
	mount(keepwardv1connect.NewNotifyServiceHandler(&notifyService{s}, opts...))
	mount(keepwardv1connect.NewConfigServiceHandler(&configService{s}, opts...))
	mount(keepwardv1connect.NewSessionServiceHandler(s.manager, opts...))
	mount(keepwardv1connect.NewSessionDetailServiceHandler(s.manager, opts...))
	mount(keepwardv1connect.NewSettingsServiceHandler(s.manager, opts...))
	mount(keepwardv1connect.NewQueueServiceHandler(s.manager, opts...))
	mount(keepwardv1connect.NewTrafficServiceHandler(s.manager, opts...))
	mount(keepwardv1connect.NewPointServiceHandler(s.manager, opts...))
	mount(keepwardv1connect.NewContentServiceHandler(s.manager, short...))
	mount(keepwardv1connect.NewRestoreServiceHandler(s.manager, opts...))
	for page := range pages {
		mux.Handle(page, s.pages)
	}
	s.approve.api = s.guard.door(mux)
	return s.approve.api
}

// linkHandler is what nodes may call over their links.
func (s *server) linkHandler() http.Handler {
	agents := s.nodeHandler(agentMessageMost, agentFieldsMost)
	transports := s.nodeHandler(transportMessageMost, transportFieldsMost)
	return s.guard.door(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if peer, _ := wire.Peer(r.Context()); peer.Role == wire.RoleTransport {
			transports.ServeHTTP(w, r)
			return
		}
		agents.ServeHTTP(w, r)
	}))
}

func (s *server) nodeHandler(bytes, fields int) http.Handler {
	opts := append(s.handlerOptions(bytes),
		connect.WithCodec(nodeCodec{fields}), connect.WithCodec(noCodec("json")), connect.WithCodec(noCodec("json; charset=utf-8")))
	mux := http.NewServeMux()
	mux.Handle(keepwardv1connect.NewNodeServiceHandler(
		&nodeService{db: s.db, nodes: s.nodes, manager: s.manager, repos: s.repos}, opts...))
	mux.Handle(keepwardv1connect.NewPackageServiceHandler(&packageService{s.updates.packages}, opts...))
	return mux
}

func (s *server) handlerOptions(most int) []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithInterceptors(wire.Errors(), s.guard.streams, s.guard.audits, s.guard.scopes, s.repeats, s.approve),
		connect.WithReadMaxBytes(most),
		connect.WithRecover(func(_ context.Context, spec connect.Spec, _ http.Header, v any) error {
			s.log.Error("call panicked", "method", spec.Procedure, "panic", v)
			return wire.ToConnect(errs.New(errs.Internal, "internal.panic", "call %s: the server has a defect, see its log", spec.Procedure))
		}),
	}
}
