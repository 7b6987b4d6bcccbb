package wire

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// accept looks at every connection of one listener until the session ends.
func (s *DataServer) accept(ctx context.Context, l net.Listener) {
	for {
		raw, err := l.Accept()
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
		case s.strangers <- struct{}{}:
		default:
			s.refused(Refusal{Address: address(raw), Err: errs.New(errs.Busy, "connection.refused", "accept data connection: %d others are being looked at", maxStrangers)})
			_ = raw.Close()
			continue
		}
		s.conns.Go(func() { s.admit(ctx, raw) })
	}
}

func (s *DataServer) refused(r Refusal) {
	if s.cfg.Refused != nil {
		s.cfg.Refused(r)
	}
}

func address(c net.Conn) string {
	if c.RemoteAddr().Network() == "unix" {
		return "unix socket"
	}
	return c.RemoteAddr().String()
}

// admit lets one connection in or refuses it; it returns when the connection is over.
func (s *DataServer) admit(ctx context.Context, raw net.Conn) {
	if err := s.letIn(ctx, raw); err != nil {
		s.refused(*err)
	}
}

// letIn is admit, which answers who was refused and why.
func (s *DataServer) letIn(ctx context.Context, raw net.Conn) *Refusal {
	greet, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	late := context.AfterFunc(greet, func() { _ = raw.Close() })
	fc, hi, err := s.greet(greet, raw)
	late()
	<-s.strangers
	if err != nil {
		r := Refusal{Address: address(raw), Err: err}
		if fc != nil {
			r.Peer = fc.peer.String()
			fc.lastWords(err)
		}
		_ = raw.Close()
		return &r
	}
	if hi.index != 0 {
		if err := s.takeLane(fc, hi); err != nil {
			fc.lastWords(err)
			return &Refusal{Address: address(raw), Peer: fc.peer.String(), Err: err}
		}
		return nil
	}
	d := newDataConn(s, fc, hi)
	again, err := s.attach(d, hi)
	if err != nil {
		fc.lastWords(err)
		return &Refusal{Address: address(raw), Peer: fc.peer.String(), Err: err}
	}
	if err := s.welcome(ctx, d, hi, raw); err != nil {
		s.detach(d)
		fc.close()
		return &Refusal{Address: address(raw), Peer: fc.peer.String(), Err: err}
	}
	if s.cfg.Arrived != nil {
		s.cfg.Arrived(Arrival{
			Connections: fc.connections(), Address: address(raw), Own: raw.LocalAddr().String(), Peer: fc.peer.String(), Local: fc.low == nil, Again: again, Dialled: isCall(raw),
		})
	}
	d.serve(ctx)
	s.detach(d)
	return nil
}

// greet finds out who is there and reads hello. The connection is answered with the error if
// it got far enough to be told why.
func (s *DataServer) greet(ctx context.Context, raw net.Conn) (*frameConn, *hello, error) {
	fc, err := s.open(ctx, raw)
	if err != nil {
		return nil, nil, err
	}
	if fc.low != nil && (fc.peer.Role != RoleAgent || fc.peer.Name != s.cfg.Agent) {
		return fc, nil, errs.New(errs.Denied, "connection.name", "accept data connection: %s is not agent %s, whose task this is", fc.peer, s.cfg.Agent)
	}
	only := []kind{kindHello}
	if isCall(raw) {
		only = append(only, kindFailure)
	}
	h, buf, err := fc.read(only...)
	if err != nil {
		return fc, nil, err
	}
	defer buf.free()
	if h.kind == kindFailure {
		return fc, nil, parseFailure(buf.b)
	}
	hi, err := parseHello(buf.b)
	if err != nil {
		return fc, nil, err
	}
	if _, err := hi.version(); err != nil {
		return fc, nil, err
	}
	return fc, &hi, nil
}

func (s *DataServer) open(ctx context.Context, raw net.Conn) (*frameConn, error) {
	if raw.RemoteAddr().Network() == "unix" {
		who, err := checkPeer(raw)
		if err != nil {
			return nil, err
		}
		return local(raw, s.cfg.timing, Identity{Role: RoleAgent, Name: s.cfg.Agent + " (" + who + ")"}), nil
	}
	if c, ok := raw.(outgoing); ok {
		return s.openCall(ctx, c)
	}
	return secure(ctx, raw, s.cfg.timing, s.cfg.Limit, func(c net.Conn) *tls.Conn { return tls.Server(c, moverTLS(s.cfg.Credentials)) })
}

// attach makes d the session's connection. The task key opens the session once; after that
// only who also knows the session's nonce may come, in the place of a lost connection.
func (s *DataServer) attach(d *dataConn, hi *hello) (again bool, err error) {
	key := subtle.ConstantTimeCompare(hi.key[:], s.cfg.TaskKey[:]) == 1
	s.mu.Lock()
	defer s.mu.Unlock()
	nonce := subtle.ConstantTimeCompare(hi.nonce[:], s.nonce[:]) == 1
	switch {
	case hi.attempt != s.cfg.Attempt || !key:
		return false, errs.New(errs.Denied, "connection.key", "accept data connection: wrong task key or task")
	case s.begun && !nonce:
		return false, errs.New(errs.Denied, "connection.second", "accept data connection: the task key was used already")
	case !s.begun && hi.nonce != (seal.Secret{}):
		return false, errs.New(errs.Denied, "connection.session", "accept data connection: it comes back to a session that is not here")
	}
	again, s.begun = s.begun, true
	if s.conn != nil {
		s.conn.cancel() // its loss has not been noticed yet
	}
	s.conn = d
	if most := grants(d.fc, hi); most > 1 {
		d.gathering = &gathering{most: most, peer: d.fc.peer.SHA256, lanes: map[uint16]*lane{}}
	}
	d.received = s.received
	s.sayTaken()
	s.signal()
	return again, nil
}

// welcome answers the hello of a first connection, and waits for the others where it may have some.
func (s *DataServer) welcome(ctx context.Context, d *dataConn, hi *hello, raw net.Conn) error {
	v, _ := hi.version() // checked before
	w := welcome{version: v, connections: 1, credit: dataCredit, received: d.received, nonce: s.nonce}
	if s.cfg.Empty {
		w.capabilities |= capabilityEmpty
	}
	s.mu.Lock()
	g := d.gathering
	s.mu.Unlock()
	if g != nil {
		w.connections = g.most
	}
	err := d.fc.writeFrame(&outFrame{header: header{kind: kindWelcome, length: welcomeSize}, body: w.encode()})
	if err == nil {
		err = d.fc.flush()
	}
	if err == nil && g != nil {
		err = s.gather(ctx, d, g, raw)
	}
	return err
}

func (s *DataServer) detach(d *dataConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == d {
		s.conn = nil
		s.signal()
	}
}

func (s *DataServer) signal() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// lastWords tells the peer why it is refused and closes. Strangers are told no more than
// that they are.
func (f *frameConn) lastWords(err error) {
	if errs.KindOf(err) == errs.Denied {
		err = errs.New(errs.Denied, "connection.refused", "the mover refused the connection")
	}
	f.send(outFrame{header: header{kind: kindFailure}, body: encodeFailure(err, "mover")})
	done, cancel := context.WithCancel(context.Background())
	cancel()
	_ = f.run(done)
	f.close()
}
