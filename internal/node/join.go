package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/durable"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// joinTimeout bounds the one call of a join.
const joinTimeout = 30 * time.Second

// The files of an identity, in the order in which they are written: a certificate means
// that all are there.
const (
	fileKey    = "key.pem"
	fileCA     = "ca.pem"
	fileServer = "server"
	fileCert   = "cert.pem"
)

func (n *Node) identityPath(name string) string {
	return filepath.Join(n.cfg.DataDir, "identity", name)
}

func (n *Node) loadIdentity(ctx context.Context) error {
	_, err := os.Stat(n.identityPath(fileCert))
	if n.cfg.Pair || errors.Is(err, fs.ErrNotExist) && n.cfg.JoinToken == "" && n.waiting != nil {
		err = n.pair(ctx)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = n.join(ctx)
	} else if err == nil && n.cfg.JoinToken != "" {
		n.log.Info("already joined, the join token is used only if the server refuses this identity or is another one", "data", n.cfg.DataDir)
	}
	if err != nil {
		return err
	}
	return n.readIdentity()
}

func (n *Node) readIdentity() error {
	cert, err := tls.LoadX509KeyPair(n.identityPath(fileCert), n.identityPath(fileKey))
	if err != nil {
		return errs.New(errs.Corrupt, "identity.read", "read identity in %s: %w", n.cfg.DataDir, err)
	}
	ca, err := readCertificate(n.identityPath(fileCA))
	if err != nil {
		return err
	}
	creds := wire.Credentials{Certificate: cert, CA: ca}
	identity, err := creds.Identity()
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.creds, n.identity = creds, identity
	n.mu.Unlock()
	if n.cfg.Server == "" {
		b, err := os.ReadFile(n.identityPath(fileServer))
		if errors.Is(err, fs.ErrNotExist) && n.waiting != nil {
			return nil // it was paired, and has never needed an address
		}
		if errors.Is(err, fs.ErrNotExist) {
			return errs.New(errs.Invalid, "identity.no-server", "data directory %s knows no address of its server", n.cfg.DataDir).
				WithHint("this agent was paired: start it with --listen, or give the address with --server")
		}
		if err != nil {
			return errs.New(errs.KindOf(err), "identity.read", "read the server's address: %w", err)
		}
		n.cfg.Server = strings.TrimSpace(string(b))
	}
	return nil
}

func readCertificate(path string) (*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "identity.read", "read certificate: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errs.New(errs.Corrupt, "identity.read", "read certificate %s: it is not PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, errs.New(errs.Corrupt, "identity.read", "read certificate %s: %w", path, err)
	}
	return cert, nil
}

// join makes the first identity. The key never leaves the data directory and is kept over
// a failed try.
func (n *Node) join(ctx context.Context) error {
	prefix, err := n.checkJoin()
	if err != nil {
		return err
	}
	name := n.cfg.Name
	if name == "" {
		name = hostName()
	}
	key, err := n.joinKey()
	if err != nil {
		return err
	}
	res, err := n.trade(ctx, prefix, name, key)
	if err != nil {
		return err
	}
	return n.keepIdentity(res)
}

// rejoin replaces an identity that the server refuses, under the same name and with a new
// key. The certificate goes before the new key comes: what a crash leaves is an identity
// that is not there, never one that does not fit.
func (n *Node) rejoin(ctx context.Context) error {
	prefix, err := n.checkJoin()
	if err != nil {
		return err
	}
	key, encoded, err := newKey()
	if err != nil {
		return err
	}
	res, err := n.trade(ctx, prefix, n.Identity().Name, key)
	if err != nil {
		return err
	}
	if err := os.Remove(n.identityPath(fileCert)); err != nil {
		return errs.New(errs.KindOf(err), "identity.write", "replace identity: %w", err)
	}
	if err := n.forgetTerm(res.GetCa()); err != nil {
		return err
	}
	if err := n.writeIdentity(fileKey, encoded); err != nil {
		return err
	}
	if err := n.keepIdentity(res); err != nil {
		return err
	}
	return n.readIdentity()
}

// trade gives the token for a certificate.
func (n *Node) trade(ctx context.Context, prefix, name string, key *ecdsa.PrivateKey) (*keepwardv1.JoinResponse, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{string(n.cfg.Role)}},
		URIs:    []*url.URL{wire.URI(n.cfg.Role, name)},
	}, key)
	if err != nil {
		return nil, errs.New(errs.Internal, "", "join: make certificate request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: wire.JoinTLS(prefix), ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := keepwardv1connect.NewEnrolServiceClient(&http.Client{Transport: transport}, "https://"+n.cfg.Server, connect.WithInterceptors(wire.Errors()))
	res, err := client.Join(ctx, connect.NewRequest(&keepwardv1.JoinRequest{
		Token: n.cfg.JoinToken, Csr: csr, Role: string(n.cfg.Role), Name: name, Version: n.cfg.Version,
	}))
	if err != nil {
		return nil, errs.New(errs.KindOf(err), errs.CodeOf(err), "join the server at %s as %s %s: %w", n.cfg.Server, n.cfg.Role, name, err)
	}
	n.log.Info("joined", "server", n.cfg.Server, "role", n.cfg.Role, "name", name)
	return res.Msg, nil
}

// checkJoin answers the authority's fingerprint as the token has it.
func (n *Node) checkJoin() (string, error) {
	if n.cfg.JoinToken == "" || n.cfg.Server == "" {
		return "", errs.New(errs.Invalid, "join.missing", "data directory %s has no identity yet: a server and a join token are needed", n.cfg.DataDir).
			WithHint("make a token on the server with 'keepward token create --role %s', then start with --server HOST:PORT --join-file FILE", n.cfg.Role)
	}
	parts := strings.Split(n.cfg.JoinToken, ".")
	if len(parts) != 3 || parts[0] != "kw1" || len(parts[2]) != 16 {
		return "", errs.New(errs.Invalid, "join.token", "the join token is not one: it has the form kw1.SECRET.FINGERPRINT").
			WithHint("copy it whole as 'keepward token create --role %s' printed it", n.cfg.Role)
	}
	return parts[2], nil
}

func (n *Node) joinKey() (*ecdsa.PrivateKey, error) {
	if err := os.MkdirAll(n.identityPath(""), 0o700); err != nil {
		return nil, errs.New(errs.KindOf(err), "identity.write", "create identity directory: %w", err)
	}
	if b, err := os.ReadFile(n.identityPath(fileKey)); err == nil {
		if block, _ := pem.Decode(b); block != nil {
			if key, perr := x509.ParseECPrivateKey(block.Bytes); perr == nil {
				return key, nil
			}
		}
	}
	key, encoded, err := newKey()
	if err != nil {
		return nil, err
	}
	return key, n.writeIdentity(fileKey, encoded)
}

func newKey() (key *ecdsa.PrivateKey, encoded []byte, err error) {
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, errs.New(errs.Internal, "", "join: make key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, errs.New(errs.Internal, "", "join: encode key: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func (n *Node) keepIdentity(res *keepwardv1.JoinResponse) error {
	for _, f := range []struct {
		name    string
		content []byte
	}{
		{fileCA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: res.GetCa()})},
		{fileServer, []byte(n.cfg.Server + "\n")},
		{fileCert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: res.GetCertificate()})},
	} {
		if f.name == fileServer && n.cfg.Server == "" {
			continue // it dials, and is not dialled
		}
		if err := n.writeIdentity(f.name, f.content); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) writeIdentity(name string, content []byte) error {
	if err := durable.WriteFile(n.identityPath(name), content, 0o600); err != nil {
		return errs.New(errs.KindOf(err), "identity.write", "write identity: %w", err)
	}
	return nil
}
