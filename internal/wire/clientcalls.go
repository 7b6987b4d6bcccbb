package wire

import (
	"context"
	"encoding/binary"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// begin registers a request and sends it, if there is a connection to send it on.
func (c *DataClient) begin(ctx context.Context, r *request) (number uint64, err error) {
	if err := c.acquire(ctx, c.slots, 1); err != nil {
		return 0, err
	}
	r.answer = make(chan answer, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	c.requests[c.number] = r
	if c.conn != nil {
		c.conn.send(outFrame{header: header{kind: r.kind, request: c.number}, body: r.body})
	}
	return c.number, nil
}

// finish forgets a request; frames that still come for it are dropped.
func (c *DataClient) finish(number uint64) {
	c.mu.Lock()
	delete(c.requests, number)
	c.mu.Unlock()
	c.slots.Release(1)
}

// call makes one request and waits for its answer.
func (c *DataClient) call(ctx context.Context, k kind, body []byte) ([]byte, error) {
	r := &request{kind: k, body: body}
	number, err := c.begin(ctx, r)
	if err != nil {
		return nil, err
	}
	defer c.finish(number)
	select {
	case a := <-r.answer:
		return a.body, a.err
	case <-ctx.Done():
		return nil, errs.New(errs.KindOf(ctx.Err()), "", "wait for the mover: %w", ctx.Err())
	case <-c.done.Done():
		return nil, c.failed()
	}
}

// Get fetches records by id, in any order, and calls fn once for each as it arrives; fn
// must not keep rec. If some cannot be had, fn is still called for all others, and the
// error names the first. It may be called from several goroutines.
func (c *DataClient) Get(ctx context.Context, ids []seal.ID, fn func(i int, rec []byte) error) error {
	var first error
	for from := 0; from < len(ids); from += maxGet {
		part := ids[from:min(from+maxGet, len(ids))]
		err := c.get(ctx, part, func(i int, rec []byte) error { return fn(from+i, rec) })
		if err != nil && first == nil {
			first = err
		}
		if c.failed() != nil || ctx.Err() != nil {
			break
		}
	}
	return first
}

func (c *DataClient) get(ctx context.Context, ids []seal.ID, fn func(i int, rec []byte) error) error {
	r := &request{
		kind: kindGet, body: appendIDs(make([]byte, 0, len(ids)*idSize), ids),
		records: make(chan record, len(ids)), ids: ids, got: make([]bool, len(ids)),
	}
	r.missing = make([]int, len(ids))
	for i := range r.missing {
		r.missing[i] = i
	}
	number, err := c.begin(ctx, r)
	if err != nil {
		return err
	}
	defer c.abandon(number, r)
	for {
		select {
		case rec := <-r.records:
			if err := c.consume(rec, fn); err != nil {
				return err
			}
		case a := <-r.answer:
			return c.lastRecords(r, a, fn)
		case <-ctx.Done():
			return errs.New(errs.KindOf(ctx.Err()), "", "wait for the mover: %w", ctx.Err())
		case <-c.done.Done():
			return c.failed()
		}
	}
}

// lastRecords deals with what arrived before the answer, which came last.
func (c *DataClient) lastRecords(r *request, a answer, fn func(i int, rec []byte) error) error {
	for {
		select {
		case rec := <-r.records:
			if err := c.consume(rec, fn); err != nil {
				return err
			}
		default:
			return a.err
		}
	}
}

// consume hands one record to its caller.
func (c *DataClient) consume(rec record, fn func(i int, rec []byte) error) error {
	err := fn(rec.index, rec.buf.b[recordPrefix:])
	rec.drop()
	return err
}

// drop frees a record and lets the mover send as much again.
func (r record) drop() {
	n := int64(len(r.buf.b) - recordPrefix)
	r.buf.free()
	if r.from.consumed.Add(n) < creditEvery {
		return
	}
	if n := r.from.consumed.Swap(0); n > 0 {
		r.from.send(outFrame{header: header{kind: kindCredit}, body: binary.LittleEndian.AppendUint64(nil, uint64(n))})
	}
}

// abandon ends a get, whose records may still be on their way.
func (c *DataClient) abandon(number uint64, r *request) {
	c.finish(number)
	for {
		select {
		case rec := <-r.records:
			rec.drop()
		default:
			return
		}
	}
}
