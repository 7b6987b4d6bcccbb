// Package wiretest makes certificate authorities and identities for tests. Nothing outside
// tests may import it.
package wiretest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"testing"
	"time"

	"keepward/internal/wire"
)

// CA is an authority of its own.
type CA struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	serial      int64
}

// NewCA makes an authority.
func NewCA(t testing.TB) *CA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &CA{Certificate: cert, key: key, serial: 1}
}

// Issue makes credentials for a role and name.
func (ca *CA) Issue(t testing.TB, role wire.Role, name string) wire.Credentials {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der := ca.Sign(t, role, name, key.Public())
	return wire.Credentials{Certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, CA: ca.Certificate}
}

// Sign makes a certificate for a public key.
func (ca *CA) Sign(t testing.TB, role wire.Role, name string, public any) []byte {
	t.Helper()
	ca.serial++
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(ca.serial),
		Subject:      pkix.Name{CommonName: name, OrganizationalUnit: []string{string(role)}},
		URIs:         []*url.URL{wire.URI(role, name)},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.Certificate, public, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
