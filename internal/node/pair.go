package node

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/durable"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

const (
	// pairWithin bounds one connection of somebody who says that he comes to pair.
	pairWithin = 30 * time.Second
	// pairMessageMost bounds what a stranger may send.
	pairMessageMost = 64 << 10
	// filePairing is where the code stands for as long as the node waits.
	filePairing = "pairing-code"
)

// pairing is a node that waits for a server with its code.
type pairing struct {
	node *Node
	code wire.PairCode
	key  *ecdsa.PrivateKey
	pem  []byte
	cert tls.Certificate
	done chan struct{} // closed when the identity is on disk

	mu   sync.Mutex
	over bool
}

// pair waits until a server has paired with this node, and keeps the identity that it gave.
func (n *Node) pair(ctx context.Context) error {
	p := &pairing{node: n, done: make(chan struct{})}
	var err error
	if p.key, p.pem, err = newKey(); err != nil {
		return err
	}
	if p.cert, err = wire.PairingCertificate(p.key); err != nil {
		return err
	}
	p.code = wire.NewPairCode(p.cert.Leaf)
	path := filepath.Join(n.cfg.DataDir, filePairing)
	if err := durable.WriteFile(path, []byte(p.code.String()+"\n"), 0o600); err != nil {
		return errs.New(errs.KindOf(err), "identity.write", "write pairing code: %w", err)
	}
	defer func() { _ = os.Remove(path) }()
	n.waiting.mu.Lock()
	n.waiting.pair = p
	n.waiting.mu.Unlock()
	n.log.Info("waiting to be paired", "address", n.Listening(), "code_file", path)
	if n.cfg.Waiting != nil {
		n.cfg.Waiting(p.code.String())
	}
	select {
	case <-ctx.Done():
		err = errs.New(errs.Cancelled, "pair.ended", "wait to be paired: told to end")
	case <-p.done:
		err = nil
	}
	n.waiting.mu.Lock()
	n.waiting.pair = nil
	n.waiting.mu.Unlock()
	return err
}

// pairing is for the door: how one is met that comes to pair.
func (w *waiting) pairing() (tls.Certificate, func(context.Context, *tls.Conn), bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pair == nil {
		return tls.Certificate{}, nil, false
	}
	return w.pair.cert, w.pair.serve, true
}

// serve answers one connection. What it has been offered holds for this connection only.
func (p *pairing) serve(ctx context.Context, conn *tls.Conn) {
	mux := http.NewServeMux()
	mux.Handle(keepwardv1connect.NewPairServiceHandler(&pairService{p: p, conn: conn},
		connect.WithInterceptors(wire.Errors()), connect.WithReadMaxBytes(pairMessageMost)))
	wire.ServeOne(ctx, conn, mux, pairWithin)
}

// pairService is one connection of one who comes to pair.
type pairService struct {
	p    *pairing
	conn *tls.Conn

	mu   sync.Mutex
	ca   *x509.Certificate // of a server that has proved the code
	name string
}

// Offer takes an authority and a name from whoever proves the code, and asks for a certificate.
func (s *pairService) Offer(_ context.Context, req *connect.Request[keepwardv1.PairOfferRequest]) (*connect.Response[keepwardv1.PairOfferResponse], error) {
	m, n := req.Msg, s.p.node
	want, err := wire.PairProof(s.p.code, s.conn, m.GetCa(), m.GetName())
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(want, m.GetProof()) {
		n.log.Warn("a server without the pairing code was refused", "peer", s.conn.RemoteAddr().String())
		return nil, errs.New(errs.Denied, "pair.refused", "pair: this is not the code that the agent shows").
			WithHint("copy the code that the agent shows now: every start makes a new one")
	}
	ca, err := x509.ParseCertificate(m.GetCa())
	if err != nil || !ca.IsCA {
		return nil, errs.New(errs.Invalid, "pair.authority", "pair: what came is no certificate of an authority")
	}
	if n.cfg.Name != "" && n.cfg.Name != m.GetName() {
		return nil, errs.New(errs.Invalid, "identity.name", "pair: this agent was started as %q, not as %q", n.cfg.Name, m.GetName()).
			WithHint("use the name that it was started with, or start it without --name")
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: m.GetName(), OrganizationalUnit: []string{string(n.cfg.Role)}},
		URIs:    []*url.URL{wire.URI(n.cfg.Role, m.GetName())},
	}, s.p.key)
	if err != nil {
		return nil, errs.New(errs.Internal, "", "pair: make certificate request: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ca, s.name = ca, m.GetName()
	return connect.NewResponse(&keepwardv1.PairOfferResponse{Csr: csr, Hostname: hostName(), Version: n.cfg.Version}), nil
}

// Accept keeps the identity, once.
func (s *pairService) Accept(_ context.Context, req *connect.Request[keepwardv1.PairAcceptRequest]) (*connect.Response[keepwardv1.PairAcceptResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ca == nil {
		return nil, errs.New(errs.Denied, "pair.refused", "pair: the code comes first")
	}
	if err := s.p.keep(req.Msg.GetCertificate(), s.ca, s.name); err != nil {
		return nil, err
	}
	s.p.node.log.Info("paired", "server", s.conn.RemoteAddr().String(), "name", s.name)
	return connect.NewResponse(&keepwardv1.PairAcceptResponse{}), nil
}

// keep checks a certificate and makes it the node's. The former one goes before the new key comes:
// what a crash leaves is an identity that is not there, never one that does not fit.
func (p *pairing) keep(der []byte, ca *x509.Certificate, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return errs.New(errs.Exists, "pair.over", "pair: this agent has been paired already")
	}
	bad := func(why error) error {
		return errs.New(errs.Invalid, "pair.certificate", "pair: the certificate is not one for this agent: %w", why)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return bad(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return bad(err)
	}
	id, err := wire.IdentityOf(cert)
	if err != nil {
		return bad(err)
	}
	if id.Role != p.node.cfg.Role || id.Name != name || !bytes.Equal(cert.RawSubjectPublicKeyInfo, p.cert.Leaf.RawSubjectPublicKeyInfo) {
		return bad(errors.New("it is that of " + id.String() + ", or of another key"))
	}
	n := p.node
	if err := os.MkdirAll(n.identityPath(""), 0o700); err != nil {
		return errs.New(errs.KindOf(err), "identity.write", "create identity directory: %w", err)
	}
	former := []string{n.identityPath(fileCert), n.identityPath(fileServer)}
	if had, err := readCertificate(n.identityPath(fileCA)); err != nil || !had.Equal(ca) {
		former = append(former, n.termPath()) // another authority counts from its own beginning
	}
	for _, old := range former {
		if err := os.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errs.New(errs.KindOf(err), "identity.write", "replace identity: %w", err)
		}
	}
	if err := n.writeIdentity(fileKey, p.pem); err != nil {
		return err
	}
	if err := n.keepIdentity(&keepwardv1.JoinResponse{Certificate: der, Ca: ca.Raw}); err != nil {
		return err
	}
	p.over = true
	close(p.done)
	return nil
}
