package wire

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"keepward/internal/errs"
)

// A passive data connection is one that the mover dials. Everything but who dials is as otherwise:
// the agent says hello, and shows the task key only to the certificate that its order names.

const (
	// The waits between two calls of a mover: the agent may not have its order yet, or be away.
	callFirst = 50 * time.Millisecond
	callMost  = 2 * time.Second
	// reachHint is what to do about a data connection that cannot be made.
	reachHint = "'keepward computer connect-test NAME' says which way is open; let it through the firewall, or have the other end dial with 'keepward computer edit NAME --data agent|mover'"
)

// outgoing is a connection that the mover dialled.
type outgoing struct {
	net.Conn
	index uint16 // 0: the first
}

func isCall(raw net.Conn) bool {
	_, ok := raw.(outgoing)
	return ok
}

// callAgent keeps the agent called for as long as there is no connection with it.
func (s *DataServer) callAgent(ctx context.Context) {
	wait := callFirst
	for ctx.Err() == nil {
		err := s.callOnce(ctx)
		s.mu.Lock()
		s.unreached = err
		s.mu.Unlock()
		if err == nil {
			wait = callFirst
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, callMost)
	}
}

// callOnce makes one connection, and returns when that is over, or why there was none.
func (s *DataServer) callOnce(ctx context.Context) error {
	s.mu.Lock()
	here := s.conn != nil
	s.mu.Unlock()
	if here {
		return nil // over the unix socket of this host
	}
	err := dialAny(ctx, s.cfg.Dial, func(raw net.Conn) error {
		select {
		case s.strangers <- struct{}{}:
		case <-ctx.Done():
			_ = raw.Close()
			return ctx.Err()
		}
		if r := s.letIn(ctx, outgoing{Conn: raw}); r != nil {
			return r.Err
		}
		return nil
	})
	if errs.CodeOf(err) == "" && err != nil {
		err = dialError("connect to the agent of "+s.cfg.Agent+" at "+strings.Join(s.cfg.Dial, ", "), err)
	}
	return err
}

// openCall runs the handshake and says which task the call is for.
func (s *DataServer) openCall(ctx context.Context, raw outgoing) (*frameConn, error) {
	var tc *tls.Conn
	fc, err := secure(ctx, raw, s.cfg.timing, s.cfg.Limit, func(c net.Conn) *tls.Conn {
		cfg := dialling(s.cfg.Credentials, wanted(RoleAgent, s.cfg.Agent))
		cfg.NextProtos = []string{dataALPN}
		cfg.DynamicRecordSizingDisabled = true
		tc = tls.Client(c, cfg)
		return tc
	})
	if err != nil {
		return nil, dialError("connect to the agent of "+s.cfg.Agent+" at "+address(raw), err)
	}
	c := call{attempt: s.cfg.Attempt, index: raw.index}
	if c.proof, err = callProof(s.cfg.TaskKey, c.attempt, c.index, tc); err != nil {
		return fc, err
	}
	err = fc.writeFrame(&outFrame{header: header{kind: kindCall, length: callSize}, body: c.encode()})
	if err == nil {
		err = fc.flush()
	}
	return fc, err
}

// notReached is the end of a session whose agent could not be called.
func (s *DataServer) notReached(why error) error {
	if why == nil {
		why = errs.New(errs.Unavailable, "peer.unreachable", "nothing answers at %s", strings.Join(s.cfg.Dial, ", "))
	}
	return errs.New(errs.Unavailable, "agent.unreachable", "the mover could not reach the agent of %s within %v: %w", s.cfg.Agent, s.cfg.Wait, why).
		WithHint(reachHint)
}

// WithReachHint says what to do about a peer that cannot be reached.
func WithReachHint(err error) error {
	if errs.CodeOf(err) != "peer.unreachable" || errs.HintOf(err) != "" {
		return err
	}
	return errs.New(errs.KindOf(err), "peer.unreachable", "%w", err).WithHint(reachHint)
}

// expect has the door let the mover of an order in that dials.
func (c *DataClient) expect() (forget func(), err error) {
	if !c.cfg.Endpoint.GetPassive() {
		return func() {}, nil
	}
	if c.cfg.Door == nil {
		return nil, errs.New(errs.Invalid, "agent.not-listening", "wait for the mover: it is to dial this agent, which does not listen").
			WithHint("start the agent with --listen :7482, or have it dial with 'keepward computer edit NAME --data agent'")
	}
	c.calls = &expectation{
		fingerprint: c.cfg.Endpoint.GetCertificateSha256(), key: c.key, timing: c.cfg.timing, limit: c.cfg.Limit,
		calls: make(chan *frameConn, 1), called: c.supersede,
	}
	for i := range c.calls.lanes {
		c.calls.lanes[i] = make(chan *frameConn, 1)
	}
	return c.cfg.Door.expect(c.attempt, c.calls)
}

// supersede ends the connection that a new call takes the place of: the mover has noticed its loss
// earlier than this end. One within this host needs no call.
func (c *DataClient) supersede() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return true
	}
	if c.conn.low == nil {
		return false
	}
	_ = c.conn.raw.Close()
	return true
}

// awaitCall waits for the mover, and greets it.
func (c *DataClient) awaitCall(ctx context.Context) (*frameConn, welcome, error) {
	select {
	case fc := <-c.calls.calls:
		greet, cancel := context.WithTimeout(ctx, greetTimeout)
		defer cancel()
		return c.greet(greet, fc, fc.raw.Conn)
	case <-ctx.Done():
		return nil, welcome{}, errs.New(errs.Unavailable, "mover.no-call", "wait for the mover: it did not dial this agent").
			WithHint(reachHint)
	}
}

// addresses are those of the mover, those to try first first.
func (c *DataClient) addresses() []string {
	if list := c.cfg.Endpoint.GetAddresses(); len(list) > 0 {
		return list
	}
	return []string{c.cfg.Endpoint.GetAddress()}
}
