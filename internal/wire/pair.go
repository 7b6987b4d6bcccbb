package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"

	"keepward/internal/errs"
)

// pairALPN is the protocol name of a server that comes to pair.
const pairALPN = "keepward-pair/1"

// PairingCertificate wraps the key of a node that has not joined: nothing of it counts but the key.
func PairingCertificate(key *ecdsa.PrivateKey) (tls.Certificate, error) {
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "keepward pairing"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(10 * 365 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, errs.New(errs.Internal, "", "make certificate for pairing: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, errs.New(errs.Internal, "", "make certificate for pairing: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

func pairServerTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, NextProtos: []string{pairALPN}, SessionTicketsDisabled: true}
}

// DialPair connects to an agent that waits to be paired. Whoever answers has the key that the code
// names.
func DialPair(ctx context.Context, addresses []string, code PairCode) (*tls.Conn, error) {
	return dialTLS(ctx, addresses, "connect to the waiting agent", &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{pairALPN},
		InsecureSkipVerify: true, // replaced by VerifyConnection: the key is what is known
		VerifyConnection: func(cs tls.ConnectionState) error {
			if !code.Of(cs.PeerCertificates[0].RawSubjectPublicKeyInfo) {
				return errs.New(errs.Denied, "pair.key", "pair: whoever answers there is not the agent that shows this code").
					WithHint("compare the code with the one that the agent shows now, and check the address")
			}
			return nil
		},
	})
}

// PairProof proves the code's secret for one connection, one authority and one name: seen by
// somebody else it is of no use.
func PairProof(code PairCode, conn *tls.Conn, ca []byte, name string) ([]byte, error) {
	state := conn.ConnectionState()
	bound, err := state.ExportKeyingMaterial("EXPORTER-keepward-pair", nil, sha256.Size)
	if err != nil {
		return nil, errs.New(errs.Internal, "", "prove a pairing: %w", err)
	}
	authority := sha256.Sum256(ca)
	m := hmac.New(sha256.New, code.Secret[:])
	m.Write([]byte("keepward pairing 1"))
	m.Write(bound)
	m.Write(authority[:])
	m.Write([]byte(name))
	return m.Sum(nil), nil
}

// OneClient speaks HTTP on a connection that stands already.
func OneClient(conn net.Conn) *http.Client {
	once := make(chan net.Conn, 1)
	once <- conn
	return &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		select {
		case c := <-once:
			return c, nil
		default:
			return nil, errs.New(errs.Unavailable, "connection.lost", "call: the connection was lost")
		}
	}}}
}

// ServeOne serves HTTP on one connection until it is over, ctx is, or the time is.
func ServeOne(ctx context.Context, conn net.Conn, handler http.Handler, within time.Duration) {
	// Not by a deadline of conn: net/http sets its own, and takes it back behind the head of a request.
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	l := &oneListener{conn: make(chan net.Conn, 1), addr: conn.LocalAddr(), closed: make(chan struct{})}
	l.conn <- struct{ net.Conn }{conn} // as a plain one: its protocol's name is not HTTP's
	srv := &http.Server{
		Handler: handler, ReadHeaderTimeout: within, ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed || s == http.StateHijacked {
				_ = l.Close()
			}
		},
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	_ = srv.Serve(l)
	_ = srv.Close()
}

// oneListener has one connection to give.
type oneListener struct {
	conn   chan net.Conn
	addr   net.Addr
	once   sync.Once
	closed chan struct{}
}

func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *oneListener) Addr() net.Addr { return l.addr }
