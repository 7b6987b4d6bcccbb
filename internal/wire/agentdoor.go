package wire

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"keepward/internal/errs"
)

// agentDoorTimeout bounds a call at a transport's door: a mover is started for it, which opens
// the index of its repository.
const agentDoorTimeout = 2 * time.Minute

// ServeAgents serves handler to agents that dial l, until ctx is done. Each must show its
// certificate; handlers find who it is with Peer. The credentials are asked for at every connection.
func ServeAgents(ctx context.Context, l net.Listener, credentials func() Credentials, handler http.Handler) {
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := base(credentials())
			c.ClientAuth = tls.RequireAndVerifyClientCert
			c.NextProtos = []string{"http/1.1"}
			return c, nil
		},
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
				http.Error(w, "no certificate", http.StatusForbidden)
				return
			}
			id, err := IdentityOf(r.TLS.PeerCertificates[0])
			if err != nil {
				http.Error(w, "no agent", http.StatusForbidden)
				return
			}
			id.Address = r.RemoteAddr
			handler.ServeHTTP(w, r.WithContext(WithPeer(r.Context(), id)))
		}),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: agentDoorTimeout, IdleTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0), // strangers at an open port are no news
	}
	unhook := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer unhook()
	_ = server.Serve(tls.NewListener(l, cfg))
}

// AgentDoorClient makes calls at the door of a transport. The transport must show that it is the
// one of that name.
func AgentDoorClient(c Credentials, transport string) *http.Client {
	cfg := dialling(c, func(id Identity) error {
		if id.Role != RoleTransport || id.Name != transport {
			return errs.New(errs.Denied, "certificate.role", "check the peer's certificate: %s is not transport %s", id, transport)
		}
		return nil
	})
	return &http.Client{
		Timeout:   agentDoorTimeout,
		Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true, TLSHandshakeTimeout: 10 * time.Second, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext},
	}
}
