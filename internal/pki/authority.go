// Package pki is the server's certificate authority, the certificates it gives to nodes,
// and the text of join tokens. Roles and the way a name stands in a certificate are
// internal/wire's.
//
// It is not for deciding who may have a certificate or whether one is still good: that is
// the server's, with the catalog. An Authority may be used by any number of goroutines.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"keepward/internal/durable"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

const (
	// caLife is how long an authority lasts; what it issues ends with it at the latest.
	caLife = 10 * 365 * 24 * time.Hour
	// backdate lets a node whose clock is up to two days behind accept a new certificate.
	backdate = 48 * time.Hour

	// CertificateFile and KeyFile hold an authority.
	CertificateFile = "ca.crt"
	KeyFile         = "ca.key"
)

// Authority signs the certificates of one site.
type Authority struct {
	Certificate *x509.Certificate
	key         crypto.Signer
}

// Open loads the authority in dir, or makes one where there is none.
func Open(dir string, now time.Time) (*Authority, error) {
	a, err := load(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	return create(dir, now)
}

func load(dir string) (*Authority, error) {
	// The certificate is written last, so one without a key is damage, not a first start.
	certDER, err := readPEM(filepath.Join(dir, CertificateFile), "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	keyDER, err := readPEM(filepath.Join(dir, KeyFile), "PRIVATE KEY")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.New(errs.Corrupt, "ca.key-missing", "open certificate authority: %s has no %s beside it", CertificateFile, KeyFile)
	}
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(certDER)
	if err != nil {
		return nil, errs.New(errs.Corrupt, "ca.unreadable", "open certificate authority in %s: %w", dir, err)
	}
	key, err := parseKey(keyDER)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errs.New(errs.Corrupt, "ca.key-wrong", "open certificate authority in %s: the key is not the certificate's", dir)
	}
	return &Authority{Certificate: cert, key: key}, nil
}

func create(dir string, now time.Time) (*Authority, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "Keepward site authority"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	if err := durable.WriteFile(filepath.Join(dir, KeyFile), keyPEM, 0o600); err != nil {
		return nil, err
	}
	if err := durable.WriteFile(filepath.Join(dir, CertificateFile), EncodeCertificate(der), 0o644); err != nil {
		return nil, err
	}
	return &Authority{Certificate: cert, key: key}, nil
}

// Names are what else, beside role and name, a certificate is good for: how clients that
// check host names may call the server.
type Names struct {
	DNS []string
	IPs []net.IP
}

// Issue makes a certificate for the holder of public, good until the authority ends.
func (a *Authority) Issue(role wire.Role, name string, public crypto.PublicKey, more Names, now time.Time) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: name, OrganizationalUnit: []string{string(role)}},
		NotBefore:    now.Add(-backdate),
		NotAfter:     a.Certificate.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		// A transport's movers are dialled with its certificate, so nodes serve too.
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              more.DNS,
		IPAddresses:           more.IPs,
	}
	template.URIs = append(template.URIs, wire.URI(role, name))
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %s %s: %w", role, name, err)
	}
	return x509.ParseCertificate(der)
}

// Fingerprint is what a join token carries of the authority: the first 16 hex digits of
// the SHA-256 of its certificate.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.Certificate.Raw)
	return hex.EncodeToString(sum[:8])
}

func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	b[0] &= 0x7f           // positive
	return new(big.Int).SetBytes(b[:])
}

// NewKey makes a node's key.
func NewKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, nil
}

func parseKey(der []byte) (*ecdsa.PrivateKey, error) {
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errs.New(errs.Corrupt, "key.unreadable", "read key: %w", err)
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errs.New(errs.Corrupt, "key.unreadable", "read key: it is a %T", k)
	}
	return key, nil
}

// encodeKey is a key as PEM.
func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// EncodeCertificate is a certificate as PEM.
func EncodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func readPEM(path, kind string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, errs.New(errs.Corrupt, "pem.unreadable", "read %s: it holds no PEM %s", path, kind)
	}
	return block.Bytes, nil
}
