package wire

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// refusals are how often a mover's port must be found closed before the mover is taken for
// gone: about three seconds.
const refusals = 6

// run keeps the session on a connection until it ends.
func (c *DataClient) run(fc *frameConn) {
	for {
		err := c.serve(fc)
		if c.done.Err() != nil {
			return
		}
		if errs.KindOf(err) != errs.Unavailable {
			c.end(err)
			return
		}
		c.cfg.Logger.Warn("lost the mover, dialling again", "attempt", c.cfg.Attempt, "error", err)
		var w welcome
		if fc, w, err = c.redial(err); err != nil {
			c.end(err)
			return
		}
		c.resume(fc, w)
	}
}

// redial comes back with the session's nonce. lost is the answer if it does not work.
func (c *DataClient) redial(lost error) (*frameConn, welcome, error) {
	ctx, cancel := context.WithTimeout(c.done, c.cfg.reconnect)
	defer cancel()
	refused := 0
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		fc, w, err := c.dial(ctx)
		if err == nil || errs.KindOf(err) != errs.Unavailable {
			return fc, w, err
		}
		gone := errs.New(errs.Unavailable, "mover.lost", "%w; and again: %w", lost, err)
		// A mover listens as long as it lives: a host that answers without it has lost it.
		if errors.Is(err, syscall.ECONNREFUSED) {
			if refused++; refused == refusals {
				return nil, w, gone
			}
		}
		select {
		case <-ctx.Done():
			return nil, w, gone
		case <-time.After(wait):
		}
	}
}

// dial makes one connection and greets.
func (c *DataClient) dial(ctx context.Context) (*frameConn, welcome, error) {
	if path := c.cfg.Endpoint.GetSocket(); path != "" {
		fc, w, err := c.dialLocal(ctx, path)
		if err == nil {
			return fc, w, nil
		}
		// Another host, or another user: the same mover is reached by TLS.
		c.cfg.Logger.Debug("the mover's socket is not used", "socket", path, "error", err)
	}
	if c.calls != nil {
		return c.awaitCall(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	var fc *frameConn
	var w welcome
	err := dialAny(ctx, c.addresses(), func(raw net.Conn) (err error) {
		addr := raw.RemoteAddr().String()
		fc, err = secure(ctx, raw, c.cfg.timing, c.cfg.Limit, func(conn net.Conn) *tls.Conn {
			return tls.Client(conn, agentTLS(c.cfg.Credentials, c.cfg.Endpoint.GetCertificateSha256()))
		})
		if err != nil {
			_ = raw.Close()
			return dialError("connect to the mover at "+addr, err)
		}
		fc, w, err = c.greet(ctx, fc, raw)
		return err
	})
	if errs.CodeOf(err) == "" && err != nil {
		err = dialError("connect to the mover at "+strings.Join(c.addresses(), ", "), err)
	}
	return fc, w, err
}

func (c *DataClient) dialLocal(ctx context.Context, path string) (*frameConn, welcome, error) {
	ctx, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	raw, err := DialUnix(ctx, path)
	if err != nil {
		return nil, welcome{}, err
	}
	who, err := checkPeer(raw)
	if err != nil {
		_ = raw.Close()
		return nil, welcome{}, err
	}
	return c.greet(ctx, local(raw, c.cfg.timing, Identity{Role: RoleTransport, Name: who, Address: "unix socket"}), raw)
}

// greet says hello and hears welcome.
func (c *DataClient) greet(ctx context.Context, fc *frameConn, raw net.Conn) (*frameConn, welcome, error) {
	late := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer late()
	hi := hello{
		min: dataVersionMin, max: dataVersionMax, key: c.key, attempt: c.attempt, nonce: c.sessionNonce(), window: recordWindow,
		wish: uint16(min(max(c.cfg.Endpoint.GetConnections(), 1), MaxConnections)),
	}
	w, err := fc.hello(&hi)
	connections := 1
	if err == nil && w.connections > 1 {
		connections, err = c.gather(ctx, fc, w, raw)
	}
	if err != nil {
		_ = raw.Close()
		return nil, w, err
	}
	if c.cfg.Connected != nil {
		c.cfg.Connected(Arrival{
			Address: raw.RemoteAddr().String(), Own: raw.LocalAddr().String(), Peer: fc.peer.String(), Local: fc.low == nil,
			Dialled: c.calls != nil && fc.low != nil, Again: hi.nonce != seal.Secret{}, Connections: connections,
		})
	}
	return fc, w, nil
}

func (c *DataClient) sessionNonce() seal.Secret {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nonce
}

func (f *frameConn) readWelcome() (welcome, error) {
	h, buf, err := f.read(kindWelcome, kindFailure)
	if err != nil {
		return welcome{}, err
	}
	defer buf.free()
	if h.kind == kindFailure {
		return welcome{}, parseFailure(buf.b)
	}
	return parseWelcome(buf.b)
}

// serve writes and reads on the session's connection until that ends.
func (c *DataClient) serve(fc *frameConn) error {
	ctx, cancel := context.WithCancel(c.done)
	defer cancel()
	var own sync.WaitGroup
	defer func() {
		cancel()
		own.Wait()
		fc.close()
	}()
	defer c.suspend()
	own.Go(func() { _ = fc.run(ctx) }) // what broke it shows in read, too
	for {
		h, buf, err := fc.read()
		if err != nil {
			return err
		}
		if err := c.dispatch(h, buf); err != nil {
			return err
		}
	}
}

// resume puts the session on a connection: it sends again what the mover has not received or answered.
func (c *DataClient) resume(fc *frameConn, w welcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = fc
	for _, p := range c.puts {
		if p.seq > w.received {
			fc.send(outFrame{header: header{kind: kindPut, request: p.seq}, body: p.buf.b})
		}
	}
	for number, r := range c.requests {
		if r.kind == kindGet {
			r.again()
		}
		fc.send(outFrame{header: header{kind: r.kind, request: number}, body: r.body})
	}
	if c.bye {
		fc.send(outFrame{header: header{kind: kindBye}})
	}
}

// again makes a get ask for what has not arrived.
func (r *request) again() {
	r.missing = r.missing[:0]
	r.body = r.body[:0:0]
	for i := range r.ids {
		if !r.got[i] {
			r.missing = append(r.missing, i)
			r.body = append(r.body, r.ids[i][:]...)
		}
	}
}

func (c *DataClient) suspend() {
	c.mu.Lock()
	c.conn = nil
	c.mu.Unlock()
}

// dispatch never waits: every channel it sends on has room.
func (c *DataClient) dispatch(h header, buf *buffer) error {
	if h.kind == kindRecord {
		return c.arrived(h, buf)
	}
	defer buf.free()
	switch h.kind {
	case kindTaken:
		return c.tookPuts(buf.b)
	case kindAnswer:
		c.answered(h.request, answer{body: append([]byte(nil), buf.b...)})
	case kindFailure:
		err := parseFailure(buf.b)
		if h.request == 0 {
			c.end(err)
			return err
		}
		c.answered(h.request, answer{err: err})
	case kindPing:
		c.mu.Lock()
		c.conn.send(outFrame{header: header{kind: kindPong}})
		c.mu.Unlock()
	case kindPong:
	case kindBye:
		c.end(errBye)
		return errBye
	default:
		return protocolError("%s from a mover", h.kind)
	}
	return nil
}

func (c *DataClient) answered(number uint64, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.requests[number]; r != nil {
		select {
		case r.answer <- a:
		default: // answered twice, over a lost connection
		}
	}
}

func (c *DataClient) tookPuts(b []byte) error {
	if len(b) != 16 {
		return protocolError("acknowledgement has %d bytes", len(b))
	}
	taken, durable := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	c.mu.Lock()
	defer c.mu.Unlock()
	if taken < c.taken || taken > c.seq || durable > taken {
		return protocolError("acknowledgement of %d puts, %d durable, after %d of %d", taken, durable, c.taken, c.seq)
	}
	c.taken, c.durable = taken, durable
	n, bytes := 0, 0
	for n < len(c.puts) && c.puts[n].seq <= taken {
		bytes += len(c.puts[n].buf.b)
		c.puts[n].buf.free()
		n++
	}
	c.puts = append(c.puts[:0], c.puts[n:]...)
	if bytes > 0 {
		c.credit.Release(int64(bytes))
	}
	return nil
}

// arrived hands a record on to its get.
func (c *DataClient) arrived(h header, buf *buffer) error {
	if len(buf.b) < recordPrefix {
		buf.free()
		return protocolError("record has %d bytes", h.length)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	rec := record{buf: buf, from: c.conn}
	r := c.requests[h.request]
	if r == nil {
		rec.drop() // nobody waits any more
		return nil
	}
	at := binary.LittleEndian.Uint32(buf.b)
	if r.kind != kindGet || uint64(at) >= uint64(len(r.missing)) || r.got[r.missing[at]] {
		buf.free()
		return protocolError("record %d was not asked for", at)
	}
	rec.index = r.missing[at]
	r.got[rec.index] = true
	r.records <- rec
	return nil
}
