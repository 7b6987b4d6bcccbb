package wire

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// dialTLS connects to the first address that answers.
func dialTLS(ctx context.Context, addresses []string, what string, cfg *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, linkDialTimeout)
	defer cancel()
	var conn *tls.Conn
	err := dialAny(ctx, addresses, func(raw net.Conn) error {
		tc := tls.Client(raw, cfg)
		err := tc.HandshakeContext(ctx)
		if err == nil && tc.ConnectionState().NegotiatedProtocol != cfg.NextProtos[0] {
			err = errs.New(errs.Invalid, "link.protocol", "it does not speak %s", cfg.NextProtos[0])
		}
		if err != nil {
			_ = raw.Close()
			return dialError(what+" at "+raw.RemoteAddr().String(), err)
		}
		conn = tc
		return nil
	})
	if err != nil && errs.CodeOf(err) == "" {
		err = dialError(what+" at "+strings.Join(addresses, ", "), err)
	}
	return conn, err
}

// wanted is who must answer; no name: anybody of the role.
func wanted(role Role, name string) func(Identity) error {
	return func(id Identity) error {
		if err := wantRole(id, role); err != nil {
			return err
		}
		if name != "" && id.Name != name {
			return errs.New(errs.Denied, "certificate.name", "check the peer's certificate: it is %s, not %s %s", id, role, name)
		}
		return nil
	}
}

// DialAgent connects a server to an agent that waits for it, for a link. Only an agent of that
// name is talked to.
func DialAgent(ctx context.Context, addresses []string, c Credentials, name string) (*tls.Conn, error) {
	cfg := dialling(c, wanted(RoleAgent, name))
	cfg.NextProtos = []string{ALPN}
	// The agent has verified the server before it answers anything; a refusal of this certificate shows at the first call.
	return dialTLS(ctx, addresses, "connect to the agent of "+name, cfg)
}

// Probe looks whether a peer can be reached at one address, and hangs up.
func Probe(ctx context.Context, address string, c Credentials, role Role, name string) (took time.Duration, err error) {
	began := time.Now()
	cfg := dialling(c, wanted(role, name))
	cfg.NextProtos = []string{ProbeALPN}
	conn, err := dialTLS(ctx, []string{address}, "connect to "+address, cfg)
	if err != nil {
		return time.Since(began), err
	}
	defer func() { _ = conn.Close() }()
	// A refusal of this end's certificate comes after the handshake: the other end closes when it is content.
	if t, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(t)
	}
	var b [1]byte
	if _, err := conn.Read(b[:]); refusedByTLS(err) {
		return time.Since(began), dialError("connect to "+address, err)
	}
	return time.Since(began), nil
}

// AcceptProbes answers on a listener the probes of one agent, until ctx is done. It closes it.
func AcceptProbes(ctx context.Context, l net.Listener, c Credentials, agent string) {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	cfg := acceptingTLS(c, ProbeALPN, RoleAgent)
	role := cfg.VerifyConnection
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if err := role(cs); err != nil {
			return err
		}
		id, err := IdentityOf(cs.PeerCertificates[0])
		if err != nil {
			return err
		}
		return wanted(RoleAgent, agent)(id)
	}
	for {
		raw, err := l.Accept()
		if err != nil {
			return
		}
		tc := tls.Server(raw, cfg)
		// One after the other: the port is open for some seconds only.
		hands, cancel := context.WithTimeout(ctx, 2*time.Second)
		_ = tc.HandshakeContext(hands) // who is refused is told so by TLS
		cancel()
		_ = tc.Close()
	}
}

// ProbeAll tries addresses, all at once and each within the time.
func ProbeAll(ctx context.Context, addresses []string, c Credentials, role Role, name string, within time.Duration) []*keepwardv1.ProbeResult {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	out := make([]*keepwardv1.ProbeResult, len(addresses))
	var own sync.WaitGroup
	for i, address := range addresses {
		own.Go(func() {
			took, err := Probe(ctx, address, c, role, name)
			out[i] = &keepwardv1.ProbeResult{Address: address, Took: durationpb.New(took), Failure: ToFailure(err, "")}
		})
	}
	own.Wait()
	return out
}
