package wire

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
	"google.golang.org/protobuf/proto"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"

	keepwardv1 "keepward/api/keepward/v1"
)

const (
	// Readers hide the latency of disks and object stores; quick requests have workers of
	// their own, so that they do not stand behind reads.
	getWorkers   = 8
	quickWorkers = 2
)

// dataConn is one connection of a session. Its requests die with it, except those that are
// done in order, which belong to the session.
type dataConn struct {
	s      *DataServer
	fc     *frameConn
	window *semaphore.Weighted // bytes of records the agent can hold
	cancel context.CancelFunc
	ctx    context.Context
	quick  *queue[quickRequest]
	gets   *queue[getPart]

	received  uint64     // puts of the session when this connection came
	gathering *gathering // it waits for the others of the session; of the session's lock

	waiting  atomic.Int64 // requests not answered
	inFlight atomic.Int64 // bytes of records not yet credited back
}

type quickRequest struct {
	header header
	buf    *buffer
}

func newDataConn(s *DataServer, fc *frameConn, hi *hello) *dataConn {
	d := &dataConn{
		s: s, fc: fc,
		window: semaphore.NewWeighted(int64(hi.window)),
		quick:  newQueue[quickRequest](),
		gets:   newQueue[getPart](),
	}
	// The connection's own end is not the session's: serve ties the two together.
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// serve reads and answers until the connection is over.
func (d *dataConn) serve(ctx context.Context) {
	stop := context.AfterFunc(ctx, d.cancel)
	defer stop()
	var own sync.WaitGroup
	own.Go(func() {
		_ = d.fc.run(d.ctx) // what broke it shows in read, too
		d.cancel()
	})
	for range quickWorkers {
		own.Go(d.quickWork)
	}
	for range getWorkers {
		own.Go(d.getWork)
	}
	for {
		h, buf, err := d.fc.read()
		if err == nil && d.ctx.Err() != nil {
			buf.free() // too late; it is read so that the peer gets to read us
			continue
		}
		if err == nil {
			err = d.dispatch(h, buf)
		}
		if err != nil {
			if errs.KindOf(err) == errs.Invalid {
				d.failure(0, err) // the agent broke the rules: it is told before it is cut off
			}
			break
		}
	}
	d.cancel()
	d.quick.close()
	d.gets.close()
	own.Wait()
	d.fc.close()
}

// dispatch never waits: reading goes on, so that credits and pings arrive.
func (d *dataConn) dispatch(h header, buf *buffer) error {
	switch h.kind {
	case kindPut:
		return d.put(h, buf)
	case kindHave, kindPoint, kindLocate:
		if err := d.admitRequest(); err != nil {
			return err
		}
		d.quick.push(quickRequest{h, buf})
		return nil
	}
	defer buf.free()
	switch h.kind {
	case kindGet:
		return d.get(h, buf.b)
	case kindCheckpoint, kindCommit:
		return d.draft(h, buf.b)
	case kindCredit:
		return d.credit(buf.b)
	case kindPing:
		d.fc.send(outFrame{header: header{kind: kindPong}})
	case kindPong:
	case kindBye:
		d.s.ordered.push(orderedItem{kind: kindBye})
	case kindAbort:
		d.s.end(&AbortError{parseFailure(buf.b)})
	default:
		return protocolError("%s from an agent", h.kind)
	}
	return nil
}

func (d *dataConn) admitRequest() error {
	if d.waiting.Add(1) > maxRequests {
		return protocolError("more than %d requests at once", maxRequests)
	}
	return nil
}

func (d *dataConn) put(h header, buf *buffer) error {
	s := d.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != d {
		buf.free()
		return errs.New(errs.Unavailable, "connection.lost", "read data connection: another took its place")
	}
	if h.request != s.received+1 {
		buf.free()
		return protocolError("put %d comes after put %d", h.request, s.received)
	}
	if s.backlog+int64(h.length) > dataCredit || s.received-s.taken >= maxQueued {
		buf.free()
		return protocolError("put of %d bytes beyond the credit", h.length)
	}
	s.received++
	s.backlog += int64(h.length)
	s.ordered.push(orderedItem{kind: kindPut, request: h.request, buf: buf})
	return nil
}

func (d *dataConn) draft(h header, b []byte) error {
	draft, err := parseDraft(b)
	if err != nil {
		return err
	}
	if err := d.admitRequest(); err != nil {
		return err
	}
	s := d.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.answers[h.request]; a != nil {
		if a.done {
			d.result(h.request, a.err)
		}
		return nil // at work since before the connection was lost
	}
	s.answers[h.request] = &orderedAnswer{}
	s.ordered.push(orderedItem{kind: h.kind, request: h.request, draft: draft})
	return nil
}

func (d *dataConn) credit(b []byte) error {
	if len(b) != 8 {
		return protocolError("credit has %d bytes", len(b))
	}
	n := binary.LittleEndian.Uint64(b)
	if n > uint64(d.inFlight.Load()) {
		return protocolError("credit of %d bytes, %d are in flight", n, d.inFlight.Load())
	}
	d.inFlight.Add(-int64(n))
	d.window.Release(int64(n))
	return nil
}

func (d *dataConn) quickWork() {
	for {
		q, ok := d.quick.pop()
		if !ok {
			return
		}
		b, err := d.quickAnswer(q)
		q.buf.free()
		d.answerWith(q.header.request, b, err)
	}
}

func (d *dataConn) quickAnswer(q quickRequest) ([]byte, error) {
	switch q.header.kind {
	case kindPoint:
		return d.s.handler.Point(d.ctx, string(q.buf.b))
	case kindLocate:
		return d.locate(q.buf.b)
	}
	hs, err := parseIDs[seal.H](q.buf.b)
	if err != nil {
		return nil, err
	}
	have, err := d.s.handler.Have(d.ctx, hs)
	if err != nil {
		return nil, err
	}
	bits := make([]byte, (len(have)+7)/8)
	for i, yes := range have {
		if yes {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return bits, nil
}

// result ends a request that has no answer but its success.
func (d *dataConn) result(request uint64, err error) { d.answerWith(request, nil, err) }

func (d *dataConn) answerWith(request uint64, body []byte, err error) {
	d.waiting.Add(-1)
	if err != nil {
		d.failure(request, err)
		return
	}
	d.fc.send(outFrame{header: header{kind: kindAnswer, request: request}, body: body})
}

func (d *dataConn) failure(request uint64, err error) {
	d.fc.send(outFrame{header: header{kind: kindFailure, request: request}, body: encodeFailure(err, "mover")})
}

func (d *dataConn) taken(taken, durable uint64) {
	b := binary.LittleEndian.AppendUint64(nil, taken)
	d.fc.send(outFrame{header: header{kind: kindTaken}, body: binary.LittleEndian.AppendUint64(b, durable)})
}

func encodeFailure(err error, part string) []byte {
	f := ToFailure(err, part)
	if len(f.GetMessage()) > maxText/2 {
		f.Message = f.GetMessage()[:maxText/2]
	}
	b, merr := proto.Marshal(f)
	if merr != nil {
		// Only text that is not UTF-8 can do that: the kind is what matters.
		b, _ = proto.Marshal(&keepwardv1.Failure{Kind: f.GetKind(), Code: f.GetCode(), Message: "(unprintable)", Part: part})
	}
	return b
}

func parseFailure(b []byte) error {
	f := &keepwardv1.Failure{}
	if err := proto.Unmarshal(b, f); err != nil {
		return protocolError("failure is none: %w", err)
	}
	return FromFailure(f)
}
