package wire

import (
	"context"
	"crypto/hmac"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"keepward/internal/errs"
	"keepward/internal/rate"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// ProbeALPN is the protocol name of a peer that only looks whether it gets through: both show
// their certificates and hang up.
const ProbeALPN = "keepward-probe/1"

// maxCallers bounds the connections at a door that have not yet shown who they are.
const maxCallers = 64

// DoorConfig is what an agent's door is opened with.
type DoorConfig struct {
	Listener net.Listener
	// Credentials of the agent; false: it has not joined.
	Credentials func() (Credentials, bool)
	// Link takes a connection of the server for its link; the door waits until it returns.
	Link func(context.Context, *tls.Conn)
	// Pairing is the certificate by which a server that comes to pair knows the agent, and what
	// serves it; false: nobody is waited for.
	Pairing func() (tls.Certificate, func(context.Context, *tls.Conn), bool)
	// Refused is told of who was not let in; it must not block.
	Refused func(Refusal)
}

// Door is the port at which an agent waits: for its server, that dials the link or comes to pair,
// and for movers that dial data connections. Who comes is known by its certificate, and what it
// may is decided by its role; a mover must also prove the key of a task that the server has told
// the agent of.
type Door struct {
	cfg     DoorConfig
	callers chan struct{} // one slot a connection that has not shown who it is

	mu       sync.Mutex
	expected map[point.Attempt]*expectation
}

// expectation is a task whose mover is to call.
type expectation struct {
	fingerprint []byte // of the mover's certificate
	key         seal.Secret
	timing      timing
	limit       *rate.Limit                         // of what is sent; nil: none
	calls       chan *frameConn                     // capacity 1: the newest
	called      func() bool                         // somebody has; false: no longer of use; must not block
	lanes       [MaxConnections - 1]chan *frameConn // capacity 1: the newest further connection of each number
}

// NewDoor makes a door; Serve opens it.
func NewDoor(cfg DoorConfig) *Door {
	return &Door{cfg: cfg, callers: make(chan struct{}, maxCallers), expected: map[point.Attempt]*expectation{}}
}

// Addr is where the door is.
func (d *Door) Addr() net.Addr { return d.cfg.Listener.Addr() }

// Serve answers until ctx is done, then it closes the listener and waits for what it has begun.
func (d *Door) Serve(ctx context.Context) {
	var own sync.WaitGroup
	defer own.Wait()
	unhook := context.AfterFunc(ctx, func() { _ = d.cfg.Listener.Close() })
	defer unhook()
	for {
		raw, err := d.cfg.Listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, or a connection that was gone before it was taken.
			select {
			case <-ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		select {
		case d.callers <- struct{}{}:
			own.Go(func() { d.answer(ctx, raw) })
		default:
			d.refuse(raw, Identity{}, errs.New(errs.Busy, "connection.refused", "accept connection: %d others are being looked at", maxCallers))
		}
	}
}

func (d *Door) refuse(raw net.Conn, peer Identity, err error) {
	_ = raw.Close()
	if d.cfg.Refused == nil {
		return
	}
	r := Refusal{Address: raw.RemoteAddr().String(), Err: err}
	if peer.Name != "" {
		r.Peer = peer.String()
	}
	d.cfg.Refused(r)
}

// answer finds out who calls, and what for.
func (d *Door) answer(ctx context.Context, raw net.Conn) {
	seen := sync.OnceFunc(func() { <-d.callers })
	defer seen()
	greet, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	bottom := newTimed(raw, timingOf(0).dead)
	bottom.final.Store(true) // only data connections have deadlines of their own
	low := newJoined(bottom)
	var pairs func(context.Context, *tls.Conn)
	tc := tls.Server(low, &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (cfg *tls.Config, err error) {
			cfg, pairs, err = d.config(hello.SupportedProtos)
			return cfg, err
		},
	})
	if err := tc.HandshakeContext(greet); err != nil {
		if ctx.Err() == nil {
			d.refuse(raw, Identity{}, errs.New(errs.Denied, "connection.refused", "accept connection: %w", err))
		} else {
			_ = raw.Close()
		}
		return
	}
	if pairs != nil {
		defer func() { _ = tc.Close() }()
		pairs(ctx, tc) // it keeps its slot: nobody has shown anything yet
		return
	}
	peer, err := peerOf(tc)
	if err != nil {
		d.refuse(raw, peer, err)
		return
	}
	switch tc.ConnectionState().NegotiatedProtocol {
	case ALPN:
		seen()
		d.cfg.Link(ctx, tc)
	case dataALPN:
		low.opened.Store(true)
		if err := d.call(greet, tc, bottom, low, peer); err != nil {
			d.refuse(raw, peer, err)
		}
	default: // a probe, which has got through
		_ = tc.Close()
	}
}

// config is how a caller is met, by what it asks for.
func (d *Door) config(asks []string) (*tls.Config, func(context.Context, *tls.Conn), error) {
	if slices.Contains(asks, pairALPN) {
		cert, serve, ok := d.cfg.Pairing()
		if !ok {
			return nil, nil, errs.New(errs.Denied, "pair.not-waiting", "accept connection: this agent does not wait to be paired")
		}
		return pairServerTLS(cert), serve, nil
	}
	creds, ok := d.cfg.Credentials()
	if !ok {
		return nil, nil, errs.New(errs.Denied, "agent.not-joined", "accept connection: this agent has not joined a server")
	}
	for proto, roles := range map[string][]Role{ALPN: {RoleServer}, dataALPN: {RoleTransport}, ProbeALPN: {RoleServer, RoleTransport}} {
		if slices.Contains(asks, proto) {
			return acceptingTLS(creds, proto, roles...), nil, nil
		}
	}
	return nil, nil, errs.New(errs.Denied, "connection.protocol", "accept connection: the caller speaks %q", asks)
}

// acceptingTLS is for whoever waits for a peer of certain roles.
func acceptingTLS(c Credentials, proto string, roles ...Role) *tls.Config {
	cfg := base(c)
	// The chain is looked at below, where the reason of a refusal has a name.
	cfg.ClientAuth = tls.RequireAnyClientCert
	cfg.NextProtos = []string{proto}
	cfg.SessionTicketsDisabled = true
	cfg.DynamicRecordSizingDisabled = proto == dataALPN
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		id, err := verify(cs, c.CA, x509.ExtKeyUsageClientAuth)
		if err != nil {
			return err
		}
		if !slices.Contains(roles, id.Role) {
			return errs.New(errs.Denied, "certificate.role", "accept connection: %s may not", id)
		}
		return nil
	}
	return cfg
}

// call hands a mover's connection to the task that waits for it.
func (d *Door) call(ctx context.Context, tc *tls.Conn, bottom *timed, low *joined, peer Identity) error {
	fc := newFrameConn(tc, bottom, low, peer, timingOf(0))
	late := context.AfterFunc(ctx, func() { _ = bottom.Conn.Close() })
	defer late()
	_, buf, err := fc.read(kindCall)
	if err != nil {
		return err
	}
	c, err := parseCall(buf.b)
	buf.free()
	if err != nil {
		return err
	}
	d.mu.Lock()
	e := d.expected[c.attempt]
	d.mu.Unlock()
	if e == nil {
		// The order may still be on its way: the mover tries again.
		fc.refuseCall(errs.New(errs.Unavailable, "call.unexpected", "the agent does not wait for this task (yet)"))
		return nil
	}
	proof, err := callProof(e.key, c.attempt, c.index, tc)
	if err != nil {
		return err
	}
	if string(peer.SHA256[:]) != string(e.fingerprint) || !hmac.Equal(proof[:], c.proof[:]) {
		err := errs.New(errs.Denied, "connection.key", "accept call: %s is not the mover that the order names", peer)
		fc.refuseCall(errs.New(errs.Denied, "connection.refused", "the agent refused the connection"))
		return err
	}
	if !late() {
		return errs.New(errs.Unavailable, "connection.lost", "accept call: it took too long")
	}
	if c.index >= MaxConnections {
		return protocolError("connection number %d of a task", c.index)
	}
	if c.index == 0 && !e.called() {
		fc.refuseCall(errs.New(errs.Unavailable, "call.unexpected", "the agent has reached the mover already"))
		return nil
	}
	fc.deadline = e.timing
	bottom.dead, bottom.rearm = e.timing.dead, min(time.Second, e.timing.dead/8)
	bottom.final.Store(false)
	if e.limit != nil {
		low.hold(e.limit)
	}
	waits := e.calls
	if c.index > 0 {
		waits = e.lanes[c.index-1]
	}
	d.hand(c.attempt, e, waits, fc)
	return nil
}

// hand keeps a call until its task looks. A newer one takes the place of one that waits, which the mover
// has given up; one of a task that waits no more is closed.
func (d *Door) hand(attempt point.Attempt, e *expectation, waits chan *frameConn, fc *frameConn) {
	d.mu.Lock()
	old := fc
	if d.expected[attempt] == e {
		select {
		case old = <-waits:
		default:
			old = nil
		}
		waits <- fc // there is room: nobody else puts anything there
	}
	d.mu.Unlock()
	if old != nil {
		old.close()
	}
}

// refuseCall tells the mover why, and closes.
func (f *frameConn) refuseCall(err error) {
	f.send(outFrame{header: header{kind: kindFailure}, body: encodeFailure(err, "agent")})
	done, cancel := context.WithCancel(context.Background())
	cancel()
	_ = f.run(done)
	f.close()
}

// expect lets the mover of a task in from now on. The returned function ends that.
func (d *Door) expect(attempt point.Attempt, e *expectation) (func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.expected[attempt] != nil {
		return nil, errs.New(errs.Exists, "call.expected", "wait for the mover: its task waits already")
	}
	d.expected[attempt] = e
	return func() {
		d.mu.Lock()
		delete(d.expected, attempt)
		d.mu.Unlock()
		for _, waits := range append(e.lanes[:], e.calls) {
			select {
			case fc := <-waits:
				fc.close()
			default:
			}
		}
	}, nil
}
