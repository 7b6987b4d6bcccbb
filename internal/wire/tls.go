package wire

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"strings"
	"time"

	"keepward/internal/errs"
)

// Credentials are a certificate with its key and the authority that made it.
type Credentials struct {
	Certificate tls.Certificate // leaf first
	CA          *x509.Certificate
}

// Fingerprint is the SHA-256 of the leaf certificate.
func (c Credentials) Fingerprint() [32]byte {
	return sha256.Sum256(c.Certificate.Certificate[0])
}

// Identity is who these credentials prove.
func (c Credentials) Identity() (Identity, error) {
	leaf, err := x509.ParseCertificate(c.Certificate.Certificate[0])
	if err != nil {
		return Identity{}, errs.New(errs.Corrupt, "certificate.read", "read own certificate: %w", err)
	}
	return IdentityOf(leaf)
}

// chain is the leaf with the authority behind it: a joining node, which holds only the
// authority's fingerprint, must see the authority itself.
func (c Credentials) chain() tls.Certificate {
	cert := c.Certificate
	if c.CA != nil && len(cert.Certificate) == 1 {
		cert.Certificate = [][]byte{cert.Certificate[0], c.CA.Raw}
	}
	return cert
}

// ServerTLS is for the server's one port. Clients without a certificate may speak HTTP;
// a link needs one, which ServeLink checks.
func ServerTLS(c Credentials) *tls.Config {
	cfg := base(c)
	cfg.ClientAuth = tls.VerifyClientCertIfGiven
	cfg.NextProtos = []string{"h2", "http/1.1", ALPN, ProbeALPN}
	return cfg
}

// NodeTLS is for a node that dials its server's link.
func NodeTLS(c Credentials) *tls.Config {
	cfg := dialling(c, func(id Identity) error { return wantRole(id, RoleServer) })
	cfg.NextProtos = []string{ALPN}
	return cfg
}

// JoinTLS is for the first call of a node that has only a join token: the authority is
// known by the first 16 hex digits of its SHA-256, which the token carries.
func JoinTLS(caPrefix string) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // replaced by VerifyConnection: names are not DNS names
		VerifyConnection: func(cs tls.ConnectionState) error {
			for _, ca := range cs.PeerCertificates[1:] {
				sum := sha256.Sum256(ca.Raw)
				if len(caPrefix) == 16 && strings.EqualFold(hex.EncodeToString(sum[:8]), caPrefix) {
					id, err := verify(cs, ca, x509.ExtKeyUsageServerAuth)
					if err != nil {
						return err
					}
					return wantRole(id, RoleServer)
				}
			}
			return errs.New(errs.Denied, "join.fingerprint", "join: the server is not the one the token was made by").
				WithHint("check the server's address, or make a new token with 'keepward token create'")
		},
	}
}

// moverTLS is for a mover's listener: a certificate of the authority is required; role and
// name are checked afterwards, so that a refusal can name them.
func moverTLS(c Credentials) *tls.Config {
	cfg := base(c)
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	cfg.NextProtos = []string{dataALPN}
	// One connection lives for the whole task; nothing resumes it.
	cfg.SessionTicketsDisabled = true
	// Throughput counts from the first record on.
	cfg.DynamicRecordSizingDisabled = true
	return cfg
}

// agentTLS is for dialling a mover whose certificate the order names.
func agentTLS(c Credentials, fingerprint []byte) *tls.Config {
	cfg := dialling(c, func(id Identity) error {
		if string(id.SHA256[:]) != string(fingerprint) {
			return errs.New(errs.Denied, "mover.fingerprint", "connect to the mover: its certificate (%s) is not the one the order names", id)
		}
		return wantRole(id, RoleTransport)
	})
	cfg.NextProtos = []string{dataALPN}
	cfg.DynamicRecordSizingDisabled = true
	return cfg
}

func base(c Credentials) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(c.CA)
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{c.chain()},
		ClientCAs:    pool,
	}
}

func dialling(c Credentials, accept func(Identity) error) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{c.Certificate},
		InsecureSkipVerify: true, // replaced by VerifyConnection: names are not DNS names
		VerifyConnection: func(cs tls.ConnectionState) error {
			id, err := verify(cs, c.CA, x509.ExtKeyUsageServerAuth)
			if err != nil {
				return err
			}
			return accept(id)
		},
	}
}

func verify(cs tls.ConnectionState, ca *x509.Certificate, usage x509.ExtKeyUsage) (Identity, error) {
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	leaf := cs.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return Identity{}, errs.New(errs.Denied, "certificate.untrusted", "check the peer's certificate: %w", err)
	}
	return IdentityOf(leaf)
}

func wantRole(id Identity, role Role) error {
	if id.Role != role {
		return errs.New(errs.Denied, "certificate.role", "check the peer's certificate: %s is not a %s", id, role)
	}
	return nil
}
