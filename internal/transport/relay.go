package transport

import (
	"context"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/mover"
	"keepward/internal/wire"
)

// browser is the control socket of a browse mover.
func (s *Service) browser(attempt string) (keepwardv1connect.MoverServiceClient, error) {
	p := s.find(attempt)
	if p == nil {
		return nil, errs.New(errs.NotFound, "mover.not-found", "browse: there is no mover for attempt %s (any more)", attempt)
	}
	return mover.Client(p.dir), nil
}

// BrowseMover passes a listing on.
func (s *Service) BrowseMover(ctx context.Context, req *connect.Request[keepwardv1.BrowseMoverRequest]) (*connect.Response[keepwardv1.BrowseMoverResponse], error) {
	c, err := s.browser(req.Msg.GetAttempt())
	if err != nil {
		return nil, err
	}
	res, err := c.Browse(ctx, connect.NewRequest(req.Msg))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(res.Msg), nil
}

// FindMover passes a search on.
func (s *Service) FindMover(ctx context.Context, req *connect.Request[keepwardv1.FindMoverRequest], out *connect.ServerStream[keepwardv1.FindMoverResponse]) error {
	c, err := s.browser(req.Msg.GetAttempt())
	if err != nil {
		return err
	}
	in, err := c.Find(ctx, connect.NewRequest(req.Msg))
	return pass(in, err, out)
}

// DiffMover passes a comparison on.
func (s *Service) DiffMover(ctx context.Context, req *connect.Request[keepwardv1.DiffMoverRequest], out *connect.ServerStream[keepwardv1.DiffMoverResponse]) error {
	c, err := s.browser(req.Msg.GetAttempt())
	if err != nil {
		return err
	}
	in, err := c.Diff(ctx, connect.NewRequest(req.Msg))
	return pass(in, err, out)
}

// ReadRecordsMover passes sealed records on.
func (s *Service) ReadRecordsMover(ctx context.Context, req *connect.Request[keepwardv1.ReadRecordsMoverRequest], out *connect.ServerStream[keepwardv1.ReadRecordsResponse]) error {
	c, err := s.browser(req.Msg.GetAttempt())
	if err != nil {
		return err
	}
	in, err := c.ReadRecords(ctx, connect.NewRequest(req.Msg))
	return pass(in, err, out)
}

// pass copies a stream until it ends.
func pass[T any](in *connect.ServerStreamForClient[T], err error, out *connect.ServerStream[T]) error {
	if err != nil {
		return wire.FromConnect(err)
	}
	defer func() { _ = in.Close() }()
	for in.Receive() {
		if err := out.Send(in.Msg()); err != nil {
			return err
		}
	}
	return wire.FromConnect(in.Err())
}
