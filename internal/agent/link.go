package agent

import (
	"context"
	"sync"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/rate"
	"keepward/internal/wire"
)

// link is the data connection of an attempt, as traffic rules see it.
type link struct {
	limit rate.Limit

	mu        sync.Mutex
	told      bool   // the server has said something since the order to begin
	number    uint64 // of what it said last
	own, peer string
	local     bool
}

// begin takes what the order to begin says, unless there was a newer one.
func (l *link) begin(r *keepwardv1.Rates) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.told {
		l.take(r)
	}
}

func (l *link) set(r *keepwardv1.Rates) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = true
	l.take(r)
}

// take goes by what the server says, unless it has come late; mu must be held.
func (l *link) take(r *keepwardv1.Rates) {
	if r.GetNumber() < l.number {
		return
	}
	l.number = r.GetNumber()
	l.limit.Set(r.GetNetwork())
}

// met notes how the mover was reached.
func (l *link) met(c wire.Arrival) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.own, l.peer, l.local = c.Own, c.Address, c.Local
}

func (l *link) meter() *keepwardv1.RateMeter {
	bytes, held := l.limit.Moved()
	l.mu.Lock()
	defer l.mu.Unlock()
	return &keepwardv1.RateMeter{SentBytes: bytes, SentHeldMillis: held.Milliseconds(), Local: l.local, OwnAddress: l.own, PeerAddress: l.peer}
}

// linkOf is that of an attempt that runs.
func (a *agent) linkOf(id string) *link {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := a.running[id]; at != nil {
		return at.link
	}
	return &link{}
}

// setRates changes what attempts may send. Those that do not run any more are passed over.
func (a *agent) setRates(list []*keepwardv1.AttemptRates) {
	for _, r := range list {
		a.mu.Lock()
		at := a.running[r.GetAttempt()]
		a.mu.Unlock()
		if at != nil {
			at.link.set(r.GetRates())
		}
	}
}

// trafficService is what the server calls about rates.
type trafficService struct{ a *agent }

func (s *trafficService) SetRates(_ context.Context, req *connect.Request[keepwardv1.SetRatesRequest]) (*connect.Response[keepwardv1.SetRatesResponse], error) {
	if err := s.a.node.CheckTerm(req.Msg.GetTerm()); err != nil {
		return nil, err
	}
	s.a.setRates(req.Msg.GetAttempts())
	return connect.NewResponse(&keepwardv1.SetRatesResponse{}), nil
}
