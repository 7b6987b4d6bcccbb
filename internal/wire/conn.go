package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"keepward/internal/errs"
	"keepward/internal/rate"
)

const (
	// DefaultHeartbeat is how often nodes say that they are there, unless the server has it
	// otherwise. The patience of both ends of a connection follows from it.
	DefaultHeartbeat = 15 * time.Second
	// greetTimeout bounds handshake and hello together.
	greetTimeout = 10 * time.Second
	// drainTimeout bounds the last words on a connection that ends.
	drainTimeout = 2 * time.Second
	// lingerTimeout bounds the wait for the peer to see the end.
	lingerTimeout = 2 * time.Second
	// maxQueued frames may wait to be written: more than the smallest records that a window
	// holds. A peer that asks on, or pings on, and takes nothing is cut off.
	maxQueued = 1 << 19
	// socketBuffer joins small frames, and the 16 KiB records of TLS, into few system calls.
	socketBuffer = 128 << 10
)

// frameConn sends and receives frames. One goroutine may call read; send may be called
// from any. run owns the goroutine that writes.
type frameConn struct {
	conn     net.Conn
	raw      *timed
	in       io.Reader
	out      *bufio.Writer
	low      *joined // below TLS; nil without
	stripe   *stripe // of which this is the first lane; nil: it is alone
	laneIn   io.Reader
	laneOut  *bufio.Writer
	peer     Identity
	deadline timing
	consumed atomic.Int64 // agent: bytes of records not yet credited

	mu     sync.Mutex
	queue  []outFrame
	closed bool
	wake   chan struct{} // capacity 1: a pending wake-up says it all
}

type timing struct{ ping, dead time.Duration }

// timingOf: every wait on a data connection has an end: a ping goes out in time for a peer to
// answer before each heartbeat, and one that was silent, or took nothing, for three is gone.
func timingOf(heartbeat time.Duration) timing {
	return timing{ping: pingEvery(heartbeat), dead: 3 * orDefault(heartbeat)}
}

func pingEvery(heartbeat time.Duration) time.Duration { return orDefault(heartbeat) * 2 / 3 }

// reconnectFor is how long a lost mover is dialled again; the mover waits as long.
func reconnectFor(heartbeat time.Duration) time.Duration { return 4 * orDefault(heartbeat) }

func orDefault(heartbeat time.Duration) time.Duration {
	if heartbeat <= 0 {
		return DefaultHeartbeat
	}
	return heartbeat
}

// outFrame is a frame on its way out. own is freed once it is written; body is only read.
type outFrame struct {
	header header
	prefix []byte // before the payload, e.g. a record's index
	body   []byte
	own    *buffer
}

// timed renews its deadlines as bytes move, so that a slow transfer is no dead one.
type timed struct {
	net.Conn
	dead     time.Duration
	rearm    time.Duration
	readSet  time.Time   // of the reading goroutine
	writeSet time.Time   // of the writing goroutine
	final    atomic.Bool // the deadlines are the last
}

func newTimed(c net.Conn, dead time.Duration) *timed {
	return &timed{Conn: c, dead: dead, rearm: min(time.Second, dead/8)}
}

func (t *timed) Read(p []byte) (int, error) {
	if now := time.Now(); now.Sub(t.readSet) > t.rearm && !t.final.Load() {
		t.readSet = now
		if err := t.SetReadDeadline(now.Add(t.dead)); err != nil {
			return 0, err
		}
	}
	return t.Conn.Read(p)
}

func (t *timed) Write(p []byte) (int, error) {
	if now := time.Now(); now.Sub(t.writeSet) > t.rearm && !t.final.Load() {
		t.writeSet = now
		if err := t.SetWriteDeadline(now.Add(t.dead)); err != nil {
			return 0, err
		}
	}
	return t.Conn.Write(p)
}

// joined lies below TLS: it gathers the records TLS makes of one large frame. Until it is
// opened it passes everything through, for the handshake.
type joined struct {
	net.Conn
	mu     sync.Mutex
	out    *bufio.Writer
	opened atomic.Bool
}

func newJoined(c net.Conn) *joined {
	return &joined{Conn: c, out: bufio.NewWriterSize(c, socketBuffer)}
}

func (j *joined) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n, err := j.out.Write(p)
	if err == nil && !j.opened.Load() {
		err = j.out.Flush()
	}
	return n, err
}

// hold has what goes out from now on go by a limit. Nobody may read or write meanwhile.
func (j *joined) hold(l *rate.Limit) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.Conn = rate.Conn(j.Conn, l)
	j.out.Reset(j.Conn)
}

func (j *joined) flush() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.out.Flush()
}

// secure runs the handshake over raw. It must be bounded by ctx.
// What goes out goes by limit, if there is one: below TLS, so that what is counted is what the network sees.
func secure(ctx context.Context, raw net.Conn, t timing, limit *rate.Limit, side func(net.Conn) *tls.Conn) (*frameConn, error) {
	bottom := newTimed(raw, t.dead)
	low := newJoined(bottom)
	if limit != nil {
		low = newJoined(rate.Conn(bottom, limit))
	}
	tc := side(low)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	if tc.ConnectionState().NegotiatedProtocol != dataALPN {
		return nil, protocolError("the peer does not speak %s", dataALPN)
	}
	peer, err := peerOf(tc)
	if err != nil {
		return nil, err
	}
	low.opened.Store(true)
	return newFrameConn(tc, bottom, low, peer, t), nil
}

// newFrameConn is for a connection whose handshake is done.
func newFrameConn(tc *tls.Conn, bottom *timed, low *joined, peer Identity, t timing) *frameConn {
	return &frameConn{
		conn: tc, raw: bottom, in: tc, out: bufio.NewWriterSize(tc, 64<<10), low: low,
		peer: peer, deadline: t, wake: make(chan struct{}, 1),
	}
}

// local is a connection on the same host, whose peer is known by its credentials.
func local(raw net.Conn, t timing, peer Identity) *frameConn {
	c := newTimed(raw, t.dead)
	return &frameConn{
		conn: c, raw: c, in: bufio.NewReaderSize(c, socketBuffer), out: bufio.NewWriterSize(c, socketBuffer),
		peer: peer, deadline: t, wake: make(chan struct{}, 1),
	}
}

// read answers the next frame; with only set, a frame of another kind is refused before its
// payload is read. The buffer is the caller's.
func (f *frameConn) read(only ...kind) (header, *buffer, error) {
	var hd [headerSize]byte
	if _, err := io.ReadFull(f.in, hd[:]); err != nil {
		return header{}, nil, f.lost("read", err)
	}
	h, err := parseHeader(hd[:])
	if err != nil {
		return h, nil, err
	}
	if len(only) > 0 && !slices.Contains(only, h.kind) {
		return h, nil, protocolError("%s comes too early", h.kind)
	}
	buf := newBuffer(h.length)
	if _, err := io.ReadFull(f.in, buf.b); err != nil {
		buf.free()
		return h, nil, f.lost("read", err)
	}
	return h, buf, nil
}

// lost gives a broken connection its kind. Denied means that the peer's TLS refused us.
func (f *frameConn) lost(what string, err error) error {
	if refusedByTLS(err) {
		return errs.New(errs.Denied, "connection.refused", "%s data connection with %s: %w", what, f.peer, err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return errs.New(errs.Unavailable, "connection.lost", "%s data connection with %s: it was closed", what, f.peer)
	}
	return errs.New(errs.Unavailable, "connection.lost", "%s data connection with %s: %w", what, f.peer, err)
}

// refusedByTLS tells whether err is the other end's alert: it did not like our certificate.
func refusedByTLS(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// send queues a frame. What is queued is bounded by the credits and the number of requests;
// a peer that gets around these loses its connection. A frame for a closed one is dropped.
func (f *frameConn) send(o outFrame) {
	o.header.length = len(o.prefix) + len(o.body)
	f.mu.Lock()
	if len(f.queue) >= maxQueued && !f.closed {
		f.closed = true
		_ = f.raw.Close()
	}
	if f.closed {
		f.mu.Unlock()
		o.own.free()
		return
	}
	f.queue = append(f.queue, o)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run writes until ctx is done or the connection breaks. What was queued when ctx ended is
// still written, within a bound; then the peer sees the end, and may be heard for as long
// as lingerTimeout. The owner closes.
func (f *frameConn) run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.write(gctx) })
	g.Go(func() error { return f.pings(gctx) })
	err := g.Wait()
	f.mu.Lock()
	f.closed = true
	rest := f.queue
	f.queue = nil
	f.mu.Unlock()
	for _, o := range rest {
		o.own.free()
	}
	if err != nil {
		f.close() // nothing more can be said, so nothing more is heard
		return err
	}
	f.closeWrite()
	return nil
}

// closeWrite ends this direction only: to close with bytes unread would reset the
// connection, and the peer might never see the last words.
func (f *frameConn) closeWrite() {
	if f.stripe != nil {
		f.stripe.closeWrite()
		return
	}
	f.halfClose()
}

func (f *frameConn) close() {
	if f.stripe != nil {
		f.stripe.close()
		return
	}
	f.closeLane()
}

// connections is how many there are under it.
func (f *frameConn) connections() int {
	if f.stripe != nil {
		return len(f.stripe.lanes)
	}
	return 1
}

// cut breaks the connection; who reads or writes sees it.
func (f *frameConn) cut() {
	if f.stripe != nil {
		f.stripe.fail(net.ErrClosed)
		return
	}
	_ = f.conn.Close()
}

func (f *frameConn) pings(ctx context.Context) error {
	tick := time.NewTicker(f.deadline.ping)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.send(outFrame{header: header{kind: kindPing}})
		}
	}
}

func (f *frameConn) write(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return f.drain()
		case <-f.wake:
		}
		if err := f.writeQueued(); err != nil {
			return err
		}
	}
}

// drain writes the last words: a failure, a bye.
func (f *frameConn) drain() error {
	late := time.AfterFunc(drainTimeout, f.cut)
	defer late.Stop()
	return f.writeQueued()
}

func (f *frameConn) writeQueued() error {
	for {
		f.mu.Lock()
		batch := f.queue
		f.queue = nil
		f.mu.Unlock()
		if len(batch) == 0 {
			return f.flush()
		}
		for i, o := range batch {
			err := f.writeFrame(&o)
			o.own.free()
			if err != nil {
				for _, o := range batch[i+1:] {
					o.own.free()
				}
				return err
			}
		}
	}
}

func (f *frameConn) writeFrame(o *outFrame) error {
	var hd [headerSize]byte
	o.header.put(hd[:])
	_, err := f.out.Write(hd[:])
	if err == nil {
		_, err = f.out.Write(o.prefix)
	}
	if err == nil {
		_, err = f.out.Write(o.body)
	}
	if err != nil {
		return f.lost("write", err)
	}
	return nil
}

func (f *frameConn) flush() error {
	err := f.out.Flush()
	if err == nil && f.low != nil && f.stripe == nil {
		err = f.low.flush()
	}
	if err != nil {
		return f.lost("write", err)
	}
	return nil
}
