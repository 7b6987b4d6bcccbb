package hostbench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

func networkStages() []stage {
	return []stage{
		{"send, TLS on this host", sendTLS},
		{"send, unix socket", sendUnix},
	}
}

// sendTLS is what both ends of a data connection cost, where the network is no limit.
func sendTLS(ctx context.Context, o *Options) (Result, error) {
	cert, err := selfSigned()
	if err != nil {
		return Result{}, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
	if err != nil {
		return Result{}, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	d := tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS13}}
	r, err := send(ctx, o, l, func() (net.Conn, error) { return d.DialContext(ctx, "tcp", l.Addr().String()) })
	r.Note = "both ends"
	return r, err
}

func sendUnix(ctx context.Context, o *Options) (r Result, err error) {
	dir, err := os.MkdirTemp("", "kwb")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return Result{}, nil // no unix sockets here
	}
	var d net.Dialer
	r, err = send(ctx, o, l, func() (net.Conn, error) { return d.DialContext(ctx, "unix", l.Addr().String()) })
	r.Note = "both ends"
	return r, err
}

// send measures one connection that is written to and read from at once.
func send(ctx context.Context, o *Options, l net.Listener, dial func() (net.Conn, error)) (r Result, err error) {
	var g errgroup.Group
	g.Go(func() error {
		in, err := l.Accept()
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, in)
		return errors.Join(err, in.Close())
	})
	defer func() { err = errors.Join(err, l.Close(), g.Wait()) }()
	out, err := dial()
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	r.Unit = unitBytes
	r.One, err = rate(ctx, o.Each, func() (float64, error) {
		n, err := out.Write(o.Sample)
		return float64(n), err
	})
	return r, err
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
