package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// MaxConnections bounds the connections of one task.
const MaxConnections = 16

const (
	// cellSize is how much of the stream goes over one lane in one piece.
	cellSize = 128 << 10
	// cellHeader is the number of a cell (8) and its length (4); a cell of no length says only that
	// the lane is alive.
	cellHeader = 12
	// stripeHeld bounds the memory of what has come and waits for what is missing before it. What may be
	// on its way is bounded by the credits, so an honest peer hardly comes to it; one that does waits.
	stripeHeld = 4 * dataCredit
	// stripeReady bounds the memory of what waits to be read.
	stripeReady = 4 << 20
)

// stripe is one stream of bytes over several connections, its lanes: it is cut into cells, each of
// which takes the lane that is free, and put together again by their numbers. On a long line, or one
// that loses packets, each connection has a window of its own. If one lane breaks all do.
//
// One goroutine may read and one may write.
type stripe struct {
	lanes []*frameConn
	idle  time.Duration // after which a lane without cells says that it is alive
	own   sync.WaitGroup
	out   chan *buffer  // cells on their way; closed behind the last
	gone  chan struct{} // closed when err is set
	sent  uint64        // cells; of the writing goroutine
	spent chan struct{} // closed when all lanes have written what was left

	mu    sync.Mutex
	moved *sync.Cond
	err   error
	next  uint64             // cell to be read next
	early map[uint64]*buffer // cells behind it
	ready []*buffer          // cells before it, not read yet
	at    int                // how much of the first of them is read
	held  int                // memory of both: a cell of one byte takes a buffer of thousands
	await int                // memory of ready
	ended int                // lanes whose peer has said its last
}

// newStripe takes the lanes over; nobody else may read or write on them any more.
func newStripe(lanes []*frameConn) *stripe {
	s := &stripe{
		lanes: lanes, idle: lanes[0].deadline.ping, out: make(chan *buffer, 2*len(lanes)),
		gone: make(chan struct{}), spent: make(chan struct{}), early: map[uint64]*buffer{},
	}
	s.moved = sync.NewCond(&s.mu)
	var writers sync.WaitGroup
	for _, l := range lanes {
		s.own.Go(func() { s.receive(l) })
		writers.Go(func() { s.transmit(l) })
	}
	s.own.Go(func() { writers.Wait(); close(s.spent) })
	return s
}

// bundle has everything from now on go over a stripe of this connection and others.
func (f *frameConn) bundle(others []*frameConn) {
	lanes := append([]*frameConn{f}, others...)
	for _, l := range lanes {
		l.laneIn, l.laneOut = l.in, l.out
	}
	f.stripe = newStripe(lanes)
	f.in = bufio.NewReaderSize(f.stripe, cellSize)
	f.out = bufio.NewWriterSize(f.stripe, cellSize)
}

// fail gives the stripe up; the first cause counts.
func (s *stripe) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	close(s.gone)
	s.moved.Broadcast()
	for _, l := range s.lanes {
		_ = l.raw.Close()
	}
}

func (s *stripe) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Write cuts p into cells.
func (s *stripe) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := min(len(p), cellSize)
		buf := newBuffer(cellHeader + n)
		binary.LittleEndian.PutUint64(buf.b, s.sent)
		binary.LittleEndian.PutUint32(buf.b[8:], uint32(n))
		copy(buf.b[cellHeader:], p[:n])
		select {
		case s.out <- buf:
		case <-s.gone:
			buf.free()
			return written, s.failed()
		}
		s.sent++
		written, p = written+n, p[n:]
	}
	return written, nil
}

// transmit writes cells on one lane, as it gets rid of them.
func (s *stripe) transmit(l *frameConn) {
	idle := time.NewTicker(s.idle)
	defer idle.Stop()
	var alive [cellHeader]byte
	for {
		var buf *buffer
		more := true
		select {
		case buf, more = <-s.out:
		default:
			if err := l.flushLane(); err != nil {
				s.fail(err)
				return
			}
			select {
			case buf, more = <-s.out:
			case <-idle.C:
				buf = nil
			case <-s.gone:
				return
			}
		}
		if !more {
			if err := l.flushLane(); err != nil {
				s.fail(err)
			}
			return
		}
		b := alive[:]
		if buf != nil {
			b = buf.b
		}
		_, err := l.laneOut.Write(b)
		buf.free()
		if err != nil {
			s.fail(err)
			return
		}
	}
}

// flushLane sends what is gathered on this connection alone.
func (f *frameConn) flushLane() error {
	if err := f.laneOut.Flush(); err != nil {
		return err
	}
	return f.low.flush()
}

// receive reads the cells of one lane.
func (s *stripe) receive(l *frameConn) {
	var hd [cellHeader]byte
	for {
		if _, err := io.ReadFull(l.laneIn, hd[:]); err != nil {
			if errors.Is(err, io.EOF) {
				s.endOf()
			} else {
				s.fail(err)
			}
			return
		}
		number, n := binary.LittleEndian.Uint64(hd[:]), binary.LittleEndian.Uint32(hd[8:])
		if n > cellSize {
			s.fail(protocolError("cell of %d bytes, %d are allowed", n, cellSize))
			return
		}
		if n == 0 {
			continue
		}
		buf := newBuffer(int(n))
		if _, err := io.ReadFull(l.laneIn, buf.b); err != nil {
			buf.free()
			s.fail(err)
			return
		}
		if err := s.place(number, buf); err != nil {
			buf.free()
			s.fail(err)
			return
		}
	}
}

// place puts a cell where it belongs. It waits while too much is held, but never with the cell that
// all others wait for.
func (s *stripe) place(number uint64, buf *buffer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.err == nil && (number != s.next && s.held > stripeHeld || number == s.next && s.await > stripeReady) {
		s.moved.Wait()
	}
	if s.err != nil {
		return s.err
	}
	if number < s.next || s.early[number] != nil {
		return protocolError("cell %d comes twice", number)
	}
	s.held += cap(buf.b)
	if number != s.next {
		s.early[number] = buf
		return nil
	}
	for buf != nil {
		s.ready = append(s.ready, buf)
		s.await += cap(buf.b)
		s.next++
		buf = s.early[s.next]
		delete(s.early, s.next)
	}
	s.moved.Broadcast()
	return nil
}

// endOf notes that the peer has said its last on a lane.
func (s *stripe) endOf() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended++
	s.moved.Broadcast()
}

// Read reads the stream; what came in order before a lane broke is still read.
func (s *stripe) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.ready) == 0 {
		switch {
		case s.err != nil:
			return 0, s.err
		case s.ended == len(s.lanes) && len(s.early) > 0:
			return 0, io.ErrUnexpectedEOF
		case s.ended == len(s.lanes):
			return 0, io.EOF
		}
		s.moved.Wait()
	}
	buf := s.ready[0]
	n := copy(p, buf.b[s.at:])
	if s.at += n; s.at == len(buf.b) {
		s.held, s.await = s.held-cap(buf.b), s.await-cap(buf.b)
		s.ready[0], s.at = nil, 0
		s.ready = s.ready[1:]
		buf.free()
	}
	s.moved.Broadcast()
	return n, nil
}

// closeWrite sends what is left and ends this direction.
func (s *stripe) closeWrite() {
	close(s.out)
	late := time.NewTimer(drainTimeout)
	defer late.Stop()
	select {
	case <-s.spent:
	case <-late.C:
	}
	for _, l := range s.lanes {
		l.halfClose()
	}
}

// close ends all lanes and waits for what works on them.
func (s *stripe) close() {
	s.fail(net.ErrClosed)
	for _, l := range s.lanes {
		l.closeLane()
	}
	s.own.Wait()
	for {
		select {
		case buf, more := <-s.out:
			if !more {
				return
			}
			buf.free()
		default:
			return
		}
	}
}

// halfClose ends the outgoing direction of this connection alone.
func (f *frameConn) halfClose() {
	f.raw.final.Store(true)
	_ = f.raw.SetDeadline(time.Now().Add(lingerTimeout))
	if tc, ok := f.conn.(*tls.Conn); ok {
		_ = tc.CloseWrite()
		_ = f.low.flush()
	}
	if half, ok := f.raw.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// closeLane ends this connection alone.
func (f *frameConn) closeLane() {
	if f.low != nil {
		f.low.opened.Store(false) // TLS has a last word, which nobody would flush
	}
	_ = f.conn.Close()
}

// A connection of several says which lanes count: kindLanes, their numbers, 2 bytes each.

// lanesOf reads such a frame.
func (f *frameConn) lanesOf(ctx context.Context, most uint16) ([]uint16, error) {
	late := context.AfterFunc(ctx, func() { _ = f.raw.Close() })
	defer late()
	_, buf, err := f.read(kindLanes)
	if err != nil {
		return nil, err
	}
	defer buf.free()
	if len(buf.b)%2 != 0 {
		return nil, protocolError("%d bytes are no list of lanes", len(buf.b))
	}
	var list []uint16
	seen := map[uint16]bool{}
	for at := 0; at < len(buf.b); at += 2 {
		n := binary.LittleEndian.Uint16(buf.b[at:])
		if n == 0 || n >= most || seen[n] {
			return nil, protocolError("lane %d of %d", n, most)
		}
		seen[n] = true
		list = append(list, n)
	}
	return list, nil
}
