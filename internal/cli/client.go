package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// client is the API of one server.
type client struct {
	address      string
	caller       *caller
	access       v1.AccessServiceClient
	status       v1.StatusServiceClient
	protection   v1.ProtectionServiceClient
	computers    v1.ComputerServiceClient
	connections  v1.ConnectionServiceClient
	repositories v1.RepositoryServiceClient
	jobs         v1.JobServiceClient
	sessions     v1.SessionServiceClient
	details      v1.SessionDetailServiceClient
	points       v1.PointServiceClient
	restores     v1.RestoreServiceClient
	config       v1.ConfigServiceClient
	credentials  v1.CredentialServiceClient
	settings     v1.SettingsServiceClient
	queue        v1.QueueServiceClient
	groups       v1.GroupServiceClient
	traffic      v1.TrafficServiceClient
	updates      v1.UpdateServiceClient
	users        v1.UserServiceClient
	apiTokens    v1.APITokenServiceClient
	codes        v1.OneTimeCodeServiceClient
	passkeys     v1.PasskeyServiceClient
	signOns      v1.SignOnServiceClient
	approvals    v1.ApprovalServiceClient
	audit        v1.AuditServiceClient
	notices      v1.NotifyServiceClient
	close        func()
}

const (
	dialTimeout = 10 * time.Second
	// A server that has gone without a word is found out by pings, also in the middle
	// of a stream that has nothing to say.
	pingAfter   = 20 * time.Second
	pingTimeout = 10 * time.Second
)

// connect makes a client for the configured server; nothing is dialled yet. Where no
// server is configured, every call says so: a command finds what is wrong with its own
// words first.
func (a *app) connect() *client {
	c, err := a.loadConfig()
	var cfg *tls.Config
	if err == nil {
		cfg, err = pinned(c.CA)
	}
	client := newClient(c.Address, c.Token, cfg)
	if _, ok := terminal(a.in); ok {
		client.caller.confirm = func(ctx context.Context) error {
			fmt.Fprintln(a.errOut, "The password is asked for again before this: it was not shown for a while.")
			_, err := a.confirmLogin(ctx, client, "")
			return err
		}
	}
	client.caller.broken = err
	client.caller.repeats.given = a.key
	if len(a.key) > givenKeyMost || strings.ContainsFunc(a.key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		client.caller.broken = cmp.Or(err, error(usage("--idempotency-key wants up to %d printable ASCII characters without blanks", givenKeyMost)))
	}
	return client
}

func newClient(address, token string, cfg *tls.Config) *client {
	caller := &caller{address: address, token: token, repeats: newRepeats()}
	transport := &http.Transport{
		TLSClientConfig: cfg, ForceAttemptHTTP2: true,
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: dialTimeout,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	h := &http.Client{Transport: transport}
	url := "https://" + address
	opt := connect.WithInterceptors(caller)
	return &client{
		address:      address,
		caller:       caller,
		access:       v1.NewAccessServiceClient(h, url, opt),
		status:       v1.NewStatusServiceClient(h, url, opt),
		protection:   v1.NewProtectionServiceClient(h, url, opt),
		computers:    v1.NewComputerServiceClient(h, url, opt),
		repositories: v1.NewRepositoryServiceClient(h, url, opt),
		jobs:         v1.NewJobServiceClient(h, url, opt),
		sessions:     v1.NewSessionServiceClient(h, url, opt),
		details:      v1.NewSessionDetailServiceClient(h, url, opt),
		connections:  v1.NewConnectionServiceClient(h, url, opt),
		points:       v1.NewPointServiceClient(h, url, opt),
		restores:     v1.NewRestoreServiceClient(h, url, opt),
		config:       v1.NewConfigServiceClient(h, url, opt),
		credentials:  v1.NewCredentialServiceClient(h, url, opt),
		settings:     v1.NewSettingsServiceClient(h, url, opt),
		queue:        v1.NewQueueServiceClient(h, url, opt),
		updates:      v1.NewUpdateServiceClient(h, url, opt),
		groups:       v1.NewGroupServiceClient(h, url, opt),
		traffic:      v1.NewTrafficServiceClient(h, url, opt),
		users:        v1.NewUserServiceClient(h, url, opt),
		codes:        v1.NewOneTimeCodeServiceClient(h, url, opt),
		passkeys:     v1.NewPasskeyServiceClient(h, url, opt),
		signOns:      v1.NewSignOnServiceClient(h, url, opt),
		apiTokens:    v1.NewAPITokenServiceClient(h, url, opt),
		approvals:    v1.NewApprovalServiceClient(h, url, opt),
		audit:        v1.NewAuditServiceClient(h, url, opt),
		notices:      v1.NewNotifyServiceClient(h, url, opt),
		close:        transport.CloseIdleConnections,
	}
}

// pinned trusts the given authority and nobody else; without one the system's, which
// is for servers behind a certificate of a public authority.
func pinned(caPEM string) (*tls.Config, error) {
	if caPEM == "" {
		return &tls.Config{MinVersion: tls.VersionTLS13}, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(caPEM)) {
		return nil, errs.New(errs.Invalid, "client.config", "the certificate of the authority in the client file is not PEM")
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // replaced by VerifyConnection: the names are not DNS names
		VerifyConnection:   func(cs tls.ConnectionState) error { return verifyServer(cs, pool) },
	}, nil
}

// verifyServer takes a server's certificate of an authority in the pool. What it does
// not take may be somebody in between, so no token is sent.
func verifyServer(cs tls.ConnectionState, pool *x509.CertPool) error {
	leaf := cs.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err == nil {
		var id wire.Identity
		if id, err = wire.IdentityOf(leaf); err == nil && id.Role != wire.RoleServer {
			err = errors.New(id.String() + " is no server")
		}
	}
	if err != nil {
		return errs.New(errs.Denied, "client.untrusted", "check the server's certificate: %w", err).
			WithHint("the server is not the one of the client file; if it was set up anew, run 'keepward login' again")
	}
	return nil
}

// caller puts the token into every call and turns errors back into ours.
type caller struct {
	address, token string
	broken         error // why no call can be made; nil: they can
	repeats        *repeats
	// confirm asks whoever sits before it for the password again; nil: nobody can be asked.
	confirm func(context.Context) error
}

func (c *caller) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if c.broken != nil {
			return nil, c.broken
		}
		c.authorize(req.Header())
		if c.token == "" { // a login: a code counts once, and who was not answered is asked again
			res, err := next(ctx, req)
			return res, c.failure(err)
		}
		req.Header().Set(keyHeader, c.repeats.key(req.Spec().Procedure))
		res, err := c.repeats.do(ctx, next, req)
		if c.confirm != nil && errs.CodeOf(c.failure(err)) == codeUnconfirmed {
			if err := c.confirm(ctx); err != nil {
				return nil, err
			}
			res, err = c.repeats.do(ctx, next, req)
		}
		return res, c.failure(err)
	}
}

func (c *caller) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		c.authorize(conn.RequestHeader())
		return conn
	}
}

func (*caller) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next // a client handles none
}

func (c *caller) authorize(h http.Header) {
	if c.token != "" {
		h.Set("Authorization", "Bearer "+c.token)
	}
}

// failure turns an error of a call into ours. What the server said is taken over; what
// it could not say, since it was not reached, gets a code of its own.
func (c *caller) failure(err error) error {
	var ce *connect.Error
	if err == nil || !errors.As(err, &ce) || connect.IsWireError(err) {
		return wire.FromConnect(err)
	}
	var ours *errs.Error
	if errors.As(ce.Unwrap(), &ours) { // the certificate was refused
		return ours
	}
	cut := errors.Is(err, io.ErrUnexpectedEOF) // a server that dies in the middle of a stream
	switch {
	case ce.Code() == connect.CodeCanceled:
		return errs.New(errs.Cancelled, "", "call %s: interrupted", c.address)
	case ce.Code() == connect.CodeInternal && !cut:
		return wire.FromConnect(err)
	}
	return errs.New(errs.Unavailable, codeUnreachable, "reach the server at %s: %s", c.address, ce.Message()).
		WithHint("check that the server runs and that the address is right; 'keepward --config FILE' names another")
}

// call makes one call and unwraps its answer.
func call[Req, Res any](ctx context.Context, method func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error), req *Req) (*Res, error) {
	res, err := method(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// receive reads a stream to its end.
func receive[Req, Res any](ctx context.Context, c *client, method func(context.Context, *connect.Request[Req]) (*connect.ServerStreamForClient[Res], error), req *Req, each func(*Res) error) error {
	if c.caller.broken != nil {
		return c.caller.broken
	}
	turn := c.caller.failure
	s, err := method(ctx, connect.NewRequest(req))
	if err != nil {
		return turn(err)
	}
	for s.Receive() {
		if err := each(s.Msg()); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	if err := s.Err(); err != nil {
		return turn(err)
	}
	return s.Close()
}
