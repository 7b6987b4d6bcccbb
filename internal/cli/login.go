package cli

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// defaultPort is the server's one port.
const defaultPort = "7480"

type loginFlags struct {
	user, passwordFile, ca, fingerprint string
}

func (a *app) loginCommand() *cobra.Command {
	var f loginFlags
	cmd := &cobra.Command{
		Use: "login HOST:7480", Short: "Log in to a server and remember it",
		Long: `Asks for the password and writes address, certificate authority and token to the client file (see --config).

At the first contact the authority of the server is not known yet: its fingerprint is shown and has to be confirmed, or given with --fingerprint, or the authority with --ca.

Who has set up one-time codes is asked for one behind the password; on standard input it is the next line.`,
		Example: "  keepward login backup.example.com:7480\n  keepward login 10.0.0.5 --user admin --password-file secret.txt --fingerprint 3f0a91c2d4e5f607",
		Args:    exactly("the address of a server"),
	}
	cmd.Flags().StringVar(&f.user, "user", "admin", "who")
	cmd.Flags().StringVar(&f.passwordFile, "password-file", "", "file with the password; - is standard input")
	cmd.Flags().StringVar(&f.ca, "ca", "", "file with the authority of the server, PEM")
	cmd.Flags().StringVar(&f.fingerprint, "fingerprint", "", "16 hex digits or more of the SHA-256 of the authority")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.login(cmd.Context(), args[0], f) }
	cmd.AddCommand(a.loginCommands()...)
	return cmd
}

func (a *app) login(ctx context.Context, address string, f loginFlags) error {
	address = withPort(address)
	in := bufio.NewReader(a.in)
	ca, err := a.authority(ctx, address, f, in)
	if err != nil {
		return err
	}
	password, err := a.password(f, in)
	if err != nil {
		return err
	}
	cfg, err := pinned(ca)
	if err != nil {
		return err
	}
	c := newClient(address, "", cfg)
	defer c.close()
	req := &keepwardv1.LoginRequest{User: f.user, Password: password}
	m, err := call(ctx, c.access.Login, req)
	if errs.CodeOf(err) == codeNeeded {
		needed := err
		if req.Code, err = a.code(f.passwordFile, in); err != nil {
			return needed // a script is told what it lacks
		}
		m, err = call(ctx, c.access.Login, req)
	}
	if err != nil {
		return err
	}
	path, _ := a.configPath()
	if err := writeConfig(path, clientConfig{Address: address, CA: ca, Token: m.GetToken()}); err != nil {
		return errs.New(errs.KindOf(err), "client.config", "write client file: %w", err)
	}
	a.remark("logged in to %s as %s; %s remembers it", address, m.GetUser(), path)
	return nil
}

// authority finds out, and has confirmed, whose certificates to trust, as PEM.
func (a *app) authority(ctx context.Context, address string, f loginFlags, in *bufio.Reader) (string, error) {
	if f.ca != "" {
		text, err := os.ReadFile(f.ca)
		if err != nil {
			return "", errs.New(errs.KindOf(err), "client.config", "read the authority: %w", err)
		}
		return string(text), nil
	}
	path, _ := a.configPath()
	if had, err := readConfig(path); err == nil && had.Address == address && had.CA != "" && f.fingerprint == "" {
		return had.CA, nil
	}
	ca, err := presented(ctx, address)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(ca.Raw)
	if err := a.trust(hex.EncodeToString(sum[:]), address, f, in); err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})), nil
}

// fingerprintLeast is as much as join tokens carry: 64 bits cannot be forged to fit.
const fingerprintLeast = 16

// trust compares with what the user knows, or asks.
func (a *app) trust(fingerprint, address string, f loginFlags, in *bufio.Reader) error {
	if want := strings.ToLower(strings.ReplaceAll(f.fingerprint, ":", "")); want != "" {
		if len(want) < fingerprintLeast {
			return usage("--fingerprint wants %d hex digits or more", fingerprintLeast)
		}
		if !strings.HasPrefix(fingerprint, want) {
			return errs.New(errs.Denied, "client.untrusted", "check the server at %s: its authority has the fingerprint %s", address, fingerprint)
		}
		return nil
	}
	if _, ok := terminal(a.in); !ok {
		return errs.New(errs.Denied, "client.untrusted", "the authority of %s is not known yet: its fingerprint is %s", address, fingerprint).
			WithHint("compare it with what the server printed at its first start, and give it with --fingerprint, or give the authority with --ca")
	}
	fmt.Fprintf(a.errOut, "The authority of %s is not known yet. Its SHA-256 fingerprint is\n  %s\nTrust it from now on? [y/N] ", safe(address), fingerprint)
	line, err := in.ReadString('\n')
	if err != nil || !strings.HasPrefix(strings.ToLower(strings.TrimSpace(line)), "y") {
		return errs.New(errs.Denied, "client.untrusted", "the authority of %s is not trusted", address)
	}
	return nil
}

// presented is the authority that a server shows behind its certificate. Nothing is
// sent to it: who it is, the user has yet to say.
func presented(ctx context.Context, address string) (*x509.Certificate, error) {
	d := &tls.Dialer{
		NetDialer: &net.Dialer{Timeout: dialTimeout},
		Config:    &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}, // checked against the fingerprint
	}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, errs.New(errs.Unavailable, codeUnreachable, "reach the server at %s: %w", address, err).
			WithHint("check that the server runs and that the address is right")
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	for _, c := range state.PeerCertificates[1:] {
		pool := x509.NewCertPool()
		pool.AddCert(c)
		if c.IsCA && verifyServer(state, pool) == nil {
			return c, nil
		}
	}
	return nil, errs.New(errs.Denied, "client.untrusted", "check the server at %s: it shows no authority of Keepward", address).
		WithHint("give the authority with --ca")
}

// password reads it from a file, from a pipe, or unseen from the terminal.
func (a *app) password(f loginFlags, in *bufio.Reader) (string, error) {
	if f.passwordFile != "" && f.passwordFile != "-" {
		text, err := os.ReadFile(f.passwordFile)
		if err != nil {
			return "", errs.New(errs.KindOf(err), "client.password", "read the password: %w", err)
		}
		return firstLine(string(text)), nil
	}
	if tty, ok := terminal(a.in); ok && f.passwordFile == "" {
		fmt.Fprintf(a.errOut, "Password of %s: ", safe(f.user))
		text, err := term.ReadPassword(int(tty.Fd()))
		fmt.Fprintln(a.errOut)
		return string(text), err
	}
	line, err := in.ReadString('\n')
	if err == io.EOF && line != "" {
		err = nil
	}
	if err != nil {
		return "", usage("no password: standard input is empty")
	}
	return firstLine(line), nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSuffix(line, "\r")
}

// withPort adds the usual port to an address that has none; an empty one stays.
func withPort(address string) string {
	if _, _, err := net.SplitHostPort(address); err == nil || address == "" {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), defaultPort)
}
