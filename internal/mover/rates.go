package mover

import (
	"context"
	"sync"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/rate"
	"keepward/internal/wire"
)

// rates hold the task to its shares: of the network what it sends, of the repository's disk what it
// reads and writes.
type rates struct {
	network, read, write rate.Limit

	mu        sync.Mutex
	number    uint64 // of what was said last
	own, peer string
	local     bool
	over      chan struct{} // closed when nothing is held up any more
	gone      bool
}

// set goes by what the server says, unless that has come late.
func (r *rates) set(to *keepwardv1.Rates) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if to.GetNumber() < r.number {
		return
	}
	r.number = to.GetNumber()
	r.network.Set(to.GetNetwork())
	r.read.Set(to.GetRead())
	r.write.Set(to.GetWrite())
}

func (r *rates) done() chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over == nil {
		r.over = make(chan struct{})
	}
	return r.over
}

// letGo ends the waits on the disk: a task that is to end must not be held up any more.
func (r *rates) letGo() {
	over := r.done()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.gone {
		r.gone = true
		close(over)
	}
}

func (r *rates) reading(n int) { r.read.Wait(r.done(), n) }
func (r *rates) writing(n int) { r.write.Wait(r.done(), n) }

// met notes how the agent came.
func (r *rates) met(a wire.Arrival) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own, r.peer, r.local = a.Own, a.Address, a.Local
}

func (r *rates) meter() *keepwardv1.RateMeter {
	m := &keepwardv1.RateMeter{}
	for _, one := range []struct {
		of          *rate.Limit
		bytes, held *int64
	}{
		{&r.network, &m.SentBytes, &m.SentHeldMillis}, {&r.read, &m.ReadBytes, &m.ReadHeldMillis}, {&r.write, &m.WrittenBytes, &m.WrittenHeldMillis},
	} {
		bytes, held := one.of.Moved()
		*one.bytes, *one.held = bytes, held.Milliseconds()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m.Local, m.OwnAddress, m.PeerAddress = r.local, r.own, r.peer
	return m
}

// SetMoverRates changes the shares of the task.
func (c *control) SetMoverRates(_ context.Context, req *connect.Request[keepwardv1.SetMoverRatesRequest]) (*connect.Response[keepwardv1.SetMoverRatesResponse], error) {
	c.t.rates.set(req.Msg.GetRates())
	return connect.NewResponse(&keepwardv1.SetMoverRatesResponse{}), nil
}

// TrafficClient makes calls about rates to the mover in directory.
func TrafficClient(directory string) keepwardv1connect.MoverTrafficServiceClient {
	return keepwardv1connect.NewMoverTrafficServiceClient(socketClient(directory), "http://mover", connect.WithInterceptors(wire.Errors()))
}
