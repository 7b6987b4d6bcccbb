package wire

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"net/url"

	"keepward/internal/errs"
)

// ALPN is the protocol name of a node's link on the server's port.
const ALPN = "keepward-link/1"

// Role is what a certificate allows its holder to be.
type Role string

// The roles. They are the OU of certificates and part of their URI.
const (
	RoleServer    Role = "server"
	RoleAgent     Role = "agent"
	RoleTransport Role = "transport"
)

// Identity is who a peer is, proven by its certificate.
type Identity struct {
	Role   Role
	Name   string
	Serial string   // of the certificate, decimal: what a revocation names
	SHA256 [32]byte // of the certificate
	// Address is where the peer's connection comes from, for people.
	Address string
}

func (i Identity) String() string { return string(i.Role) + " " + i.Name }

// URI is the certificate name of an identity.
func URI(role Role, name string) *url.URL {
	return &url.URL{Scheme: "keepward", Host: string(role), Path: "/" + name}
}

// IdentityOf reads role and name from a verified certificate. Common name, organizational
// unit and URI must agree: a certificate that says two things says nothing.
func IdentityOf(cert *x509.Certificate) (Identity, error) {
	id := Identity{Name: cert.Subject.CommonName, Serial: cert.SerialNumber.String(), SHA256: sha256.Sum256(cert.Raw)}
	if len(cert.Subject.OrganizationalUnit) != 1 || len(cert.URIs) != 1 || id.Name == "" {
		return Identity{}, errs.New(errs.Denied, "certificate.name", "read certificate of %q: it does not name one role and one node", id.Name)
	}
	id.Role = Role(cert.Subject.OrganizationalUnit[0])
	if cert.URIs[0].String() != URI(id.Role, id.Name).String() {
		return Identity{}, errs.New(errs.Denied, "certificate.name", "read certificate of %q: its names differ", id.Name)
	}
	switch id.Role {
	case RoleServer, RoleAgent, RoleTransport:
		return id, nil
	}
	return Identity{}, errs.New(errs.Denied, "certificate.role", "read certificate of %q: role %q is unknown", id.Name, id.Role)
}

type peerKey struct{}

// WithPeer returns a context that carries the caller's identity.
func WithPeer(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, peerKey{}, id)
}

// Peer is the identity of the caller whose request ctx belongs to.
func Peer(ctx context.Context) (Identity, bool) {
	id, ok := ctx.Value(peerKey{}).(Identity)
	return id, ok
}
