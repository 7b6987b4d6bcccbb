package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"

	"keepward/internal/errs"
	"keepward/internal/wire"
)

// NewRequest asks for a certificate for key (PKCS #10). The server believes its key and
// nothing else of it: role and name come from the join token.
func NewRequest(key *ecdsa.PrivateKey, role wire.Role, name string) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{string(role)}},
	}, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	return der, nil
}

// ParseRequest checks that the sender of a request holds its key, and answers the key.
func ParseRequest(der []byte) (crypto.PublicKey, error) {
	req, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, errs.New(errs.Invalid, "join.request", "read certificate request: %w", err)
	}
	if err := req.CheckSignature(); err != nil {
		return nil, errs.New(errs.Invalid, "join.request", "check certificate request: %w", err)
	}
	key, ok := req.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errs.New(errs.Invalid, "join.request", "check certificate request: its key is not ECDSA P-256")
	}
	return key, nil
}
