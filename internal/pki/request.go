package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"

	"keepward/internal/errs"
)

// ParseRequest checks that the sender of a certificate request (PKCS #10) holds its key, and
// answers the key. Nothing else of a request is believed: role and name come from the token.
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
