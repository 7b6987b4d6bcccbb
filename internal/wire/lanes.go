package wire

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"net"
	"sync"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// How a session comes to several connections. The first is made as always. In its hello the agent
// says how many it would like, and welcome says how many it may have. Who dialled it dials the
// others to the same address; each begins with a hello that has the session's nonce and a number of
// its own, and is answered by a welcome. Then the agent says on the first which of them came to be,
// and everything behind that, in both directions, goes over all of them. A line on which fewer come
// to be has fewer.

// laneTimeout bounds the making of the other connections: the first waits for them.
const laneTimeout = 5 * time.Second

// lane is a further connection of a session whose first waits for it.
type lane struct {
	fc       *frameConn
	welcomed chan struct{} // closed when its welcome is written
	err      error         // of that; read behind welcomed
}

// gathering is a first connection that waits for the others.
type gathering struct {
	most  uint16
	peer  [32]byte // certificate
	lanes map[uint16]*lane
}

// grants is how many connections a hello gets: one within the host, and no more than there may be.
func grants(fc *frameConn, hi *hello) uint16 {
	if fc.low == nil {
		return 1
	}
	return min(max(hi.wish, 1), MaxConnections)
}

// gather waits until the agent has said which other connections there are, and has everything go
// over all of them from then on.
func (s *DataServer) gather(ctx context.Context, d *dataConn, g *gathering, raw net.Conn) error {
	// A session that ends meanwhile still has its last words to say.
	over := ctx
	ctx, cancel := context.WithTimeout(context.WithoutCancel(over), greetTimeout)
	defer cancel()
	soon := context.AfterFunc(over, func() { time.AfterFunc(lingerTimeout, cancel) })
	defer soon()
	var calls sync.WaitGroup
	defer calls.Wait()
	if isCall(raw) {
		for n := uint16(1); n < g.most; n++ {
			calls.Go(func() { s.callLane(ctx, raw.RemoteAddr().String(), n) })
		}
	}
	list, err := d.fc.lanesOf(ctx, g.most)
	s.mu.Lock()
	if d.gathering = nil; err == nil && s.conn != d {
		err = errs.New(errs.Unavailable, "connection.lost", "read data connection: another took its place")
	}
	s.mu.Unlock()
	cancel() // of lanes that the agent does not wait for
	var others []*frameConn
	for _, n := range list {
		l := g.lanes[n]
		delete(g.lanes, n)
		if l == nil && err == nil {
			err = protocolError("lane %d, which is not there", n)
		}
		if l == nil {
			continue
		}
		<-l.welcomed
		if others = append(others, l.fc); err == nil {
			err = l.err
		}
	}
	for _, l := range g.lanes {
		<-l.welcomed
		l.fc.close()
	}
	if err != nil {
		for _, l := range others {
			l.close()
		}
		return err
	}
	if len(others) > 0 {
		d.fc.bundle(others)
	}
	return nil
}

// takeLane adds a connection to the first one of its session.
func (s *DataServer) takeLane(fc *frameConn, hi *hello) error {
	key := subtle.ConstantTimeCompare(hi.key[:], s.cfg.TaskKey[:]) == 1
	l := &lane{fc: fc, welcomed: make(chan struct{})}
	s.mu.Lock()
	nonce := subtle.ConstantTimeCompare(hi.nonce[:], s.nonce[:]) == 1
	var g *gathering
	if s.conn != nil {
		g = s.conn.gathering
	}
	var err error
	switch {
	case hi.attempt != s.cfg.Attempt || !key || !nonce || fc.low == nil:
		err = errs.New(errs.Denied, "connection.key", "accept data connection: wrong task key or task")
	case g == nil || hi.index >= g.most || g.lanes[hi.index] != nil || g.peer != fc.peer.SHA256:
		err = errs.New(errs.Denied, "connection.second", "accept data connection: number %d of a task that does not wait for it", hi.index)
	default:
		g.lanes[hi.index] = l
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	v, _ := hi.version() // checked before
	w := welcome{version: v, connections: g.most, credit: dataCredit, nonce: s.nonce}
	if l.err = fc.writeFrame(&outFrame{header: header{kind: kindWelcome, length: welcomeSize}, body: w.encode()}); l.err == nil {
		l.err = fc.flush()
	}
	close(l.welcomed)
	return nil // whoever gathers has it now, and sees what is wrong with it
}

// callLane dials a further connection to the agent. One that cannot be made is left out.
func (s *DataServer) callLane(ctx context.Context, address string, number uint16) {
	ctx, cancel := context.WithTimeout(ctx, laneTimeout)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	select {
	case s.strangers <- struct{}{}:
	case <-ctx.Done():
		_ = raw.Close()
		return
	}
	if r := s.letIn(ctx, outgoing{Conn: raw, index: number}); r != nil && ctx.Err() == nil {
		s.refused(*r)
	}
}

// gather makes the other connections that welcome has allowed, says which came to be, and has
// everything go over all of them from then on.
func (c *DataClient) gather(ctx context.Context, fc *frameConn, w welcome, raw net.Conn) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, laneTimeout)
	defer cancel()
	var others []*frameConn
	var numbers []byte
	type made struct {
		number uint16
		fc     *frameConn
	}
	found := make(chan made, w.connections) // room for all
	var own sync.WaitGroup
	for n := uint16(1); n < w.connections; n++ {
		own.Go(func() {
			l, err := c.lane(ctx, raw.RemoteAddr().String(), w.nonce, n)
			if err != nil {
				c.cfg.Logger.Debug("a further connection to the mover was not made", "number", n, "error", err)
				return
			}
			found <- made{n, l}
		})
	}
	own.Wait()
	close(found)
	for m := range found {
		others, numbers = append(others, m.fc), binary.LittleEndian.AppendUint16(numbers, m.number)
	}
	err := fc.writeFrame(&outFrame{header: header{kind: kindLanes, length: len(numbers)}, body: numbers})
	if err == nil {
		err = fc.flush()
	}
	if err != nil {
		for _, l := range others {
			l.close()
		}
		return 0, err
	}
	if len(others) > 0 {
		fc.bundle(others)
	}
	return 1 + len(others), nil
}

// lane makes one further connection, or waits for the mover to.
func (c *DataClient) lane(ctx context.Context, address string, nonce seal.Secret, number uint16) (fc *frameConn, err error) {
	var raw net.Conn
	if c.calls != nil {
		select {
		case fc = <-c.calls.lanes[number-1]:
			raw = fc.raw.Conn
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	} else if raw, err = new(net.Dialer).DialContext(ctx, "tcp", address); err != nil {
		return nil, err
	}
	late := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer late()
	if fc == nil {
		fc, err = secure(ctx, raw, c.cfg.timing, c.cfg.Limit, func(conn net.Conn) *tls.Conn {
			return tls.Client(conn, agentTLS(c.cfg.Credentials, c.cfg.Endpoint.GetCertificateSha256()))
		})
	}
	if err == nil {
		_, err = fc.hello(&hello{min: dataVersionMin, max: dataVersionMax, key: c.key, attempt: c.attempt, nonce: nonce, index: number, window: recordWindow})
	}
	if err == nil && !late() {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return fc, nil
}

// hello says who comes and hears welcome.
func (f *frameConn) hello(hi *hello) (welcome, error) {
	err := f.writeFrame(&outFrame{header: header{kind: kindHello, length: helloSize}, body: hi.encode()})
	if err == nil {
		err = f.flush()
	}
	if err != nil {
		return welcome{}, err
	}
	return f.readWelcome()
}
