package transport

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/mover"
)

const (
	// ratesTimeout bounds the telling of one mover; the next heartbeat tells it again.
	ratesTimeout = 5 * time.Second
	// ratesAtOnce bounds how many are told at once.
	ratesAtOnce = 16
)

// SetRates tells movers what they may move. Those that are not there any more are passed over.
func (s *Service) SetRates(ctx context.Context, req *connect.Request[keepwardv1.SetRatesRequest]) (*connect.Response[keepwardv1.SetRatesResponse], error) {
	if err := s.node.CheckTerm(req.Msg.GetTerm()); err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.SetRatesResponse{}), s.tellRates(ctx, req.Msg.GetAttempts())
}

// takeRates does the same with what a heartbeat brought.
func (s *Service) takeRates(list []*keepwardv1.AttemptRates) {
	s.own.Go(func() {
		if err := s.tellRates(s.ctx, list); err != nil && s.ctx.Err() == nil {
			s.log.Debug("a mover was not told its rates, the next heartbeat tells it again", "error", err)
		}
	})
}

func (s *Service) tellRates(ctx context.Context, list []*keepwardv1.AttemptRates) error {
	var g errgroup.Group
	g.SetLimit(ratesAtOnce)
	for _, r := range list {
		p := s.find(r.GetAttempt())
		if p == nil {
			continue
		}
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, ratesTimeout)
			defer cancel()
			select {
			case <-p.started:
			case <-ctx.Done():
				return ctx.Err()
			}
			if p.failed != nil {
				return nil
			}
			_, err := mover.TrafficClient(p.dir).SetMoverRates(ctx, connect.NewRequest(&keepwardv1.SetMoverRatesRequest{Rates: r.GetRates()}))
			return err
		})
	}
	return g.Wait()
}
