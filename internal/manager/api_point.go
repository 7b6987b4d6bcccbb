package manager

import (
	"context"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// browsePage bounds one page of a listing that asks for no bound.
const browsePage = 1000

// PointsOf are the restore points of a computer, the newest first.
func (m *Manager) PointsOf(ctx context.Context, computer string) ([]*keepwardv1.Point, error) {
	points, err := catalog.Points(ctx, m.deps.DB.Read(), catalog.PointFilter{Computer: computer})
	if err != nil {
		return nil, err
	}
	return points, m.explain(ctx, points)
}

// LastPoint is the time of a computer's newest point; zero: it has none.
func (m *Manager) LastPoint(ctx context.Context, computer string) (time.Time, error) {
	points, err := catalog.Points(ctx, m.deps.DB.Read(), catalog.PointFilter{Computer: computer, Whole: true, Limit: 1})
	if err != nil || len(points) == 0 {
		return time.Time{}, err
	}
	return points[0].GetTime().AsTime(), nil
}

// knownComputer refuses the name of a computer that neither is there nor has left points.
func (m *Manager) knownComputer(ctx context.Context, name string) error {
	_, err := catalog.GetComputer(ctx, m.deps.DB.Read(), name)
	if errs.KindOf(err) == errs.NotFound && m.hasPoints(ctx, name) {
		return nil
	}
	return err
}

// ListPoints lists restore points, the newest first.
func (m *Manager) ListPoints(ctx context.Context, req *connect.Request[keepwardv1.ListPointsRequest]) (*connect.Response[keepwardv1.ListPointsResponse], error) {
	f := catalog.PointFilter{Computer: req.Msg.GetComputer(), Job: req.Msg.GetJob(), Repository: req.Msg.GetRepository(), Deleted: req.Msg.GetDeleted(), Limit: int(req.Msg.GetLimit()), Within: within(ctx)}
	if f.Computer != "" {
		if err := m.knownComputer(ctx, f.Computer); err != nil {
			return nil, err
		}
	}
	if id := req.Msg.GetBehind(); id != "" {
		p, err := m.findAnyPoint(ctx, id, "")
		if err != nil {
			return nil, err
		}
		f.Behind = p
	}
	points, err := catalog.Points(ctx, m.deps.DB.Read(), f)
	if err != nil {
		return nil, err
	}
	if err := m.nothingBecause(ctx, f, len(points)); err != nil {
		return nil, err
	}
	if err := m.explain(ctx, points); err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ListPointsResponse{Points: points}), nil
}

// nothingBecause tells an empty list from a list of something that does not exist.
func (m *Manager) nothingBecause(ctx context.Context, f catalog.PointFilter, found int) error {
	if found > 0 {
		return nil
	}
	if f.Job != "" {
		if _, err := catalog.GetJob(ctx, m.deps.DB.Read(), f.Job); err != nil {
			return err
		}
	}
	if f.Repository != "" {
		if _, err := catalog.GetRepository(ctx, m.deps.DB.Read(), f.Repository); err != nil {
			return err
		}
	}
	return nil
}

// GetPoint finds one point by any name it has.
func (m *Manager) GetPoint(ctx context.Context, req *connect.Request[keepwardv1.GetPointRequest]) (*connect.Response[keepwardv1.GetPointResponse], error) {
	name := req.Msg.GetName()
	if before := req.Msg.GetBefore(); before != "" && (name == "" || name == latest) {
		if _, ok := parseTime(before); !ok {
			return nil, errs.New(errs.Invalid, "point.time", "find restore point: %q is not a time", before).WithHint("write it as 2026-11-01T22:00:00Z")
		}
		name = before
	}
	p, err := m.findAnyPoint(ctx, name, req.Msg.GetComputer())
	if err == nil {
		err = m.explain(ctx, []*keepwardv1.Point{p})
	}
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.GetPointResponse{Point: p}), nil
}

// Browse lists what lies below a path in a point.
func (m *Manager) Browse(ctx context.Context, req *connect.Request[keepwardv1.BrowseRequest]) (*connect.Response[keepwardv1.BrowseResponse], error) {
	p, err := m.findPoint(ctx, req.Msg.GetPoint(), req.Msg.GetComputer())
	if err != nil {
		return nil, err
	}
	key, err := m.keyOf(ctx, p)
	if err != nil {
		return nil, err
	}
	limit := req.Msg.GetLimit()
	if limit <= 0 {
		limit = browsePage
	}
	var out *keepwardv1.BrowseResponse
	err = m.browsers.with(ctx, p.GetRepository(), func(t transportClient, attempt string) error {
		res, err := t.BrowseMover(ctx, connect.NewRequest(&keepwardv1.BrowseMoverRequest{
			Attempt: attempt, Point: key.GetPoint(), ComputerKey: key.GetComputerKey(), Path: req.Msg.GetPath(),
			Cursor: req.Msg.GetCursor(), Limit: limit, Recursive: req.Msg.GetRecursive(),
		}))
		if err == nil {
			out = &keepwardv1.BrowseResponse{Self: res.Msg.GetSelf(), Entries: res.Msg.GetEntries(), NextCursor: res.Msg.GetNextCursor(), Point: p}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(out), nil
}

// Diff compares two points of one repository.
func (m *Manager) Diff(ctx context.Context, req *connect.Request[keepwardv1.DiffRequest], stream *connect.ServerStream[keepwardv1.DiffResponse]) error {
	a, err := m.findPoint(ctx, req.Msg.GetA(), req.Msg.GetComputer())
	if err != nil {
		return err
	}
	b, err := m.findPoint(ctx, req.Msg.GetB(), req.Msg.GetComputer())
	if err != nil {
		return err
	}
	if a.GetRepository() != b.GetRepository() {
		return errs.New(errs.Invalid, "diff.repositories", "compare restore points: they lie in two repositories, %s and %s", a.GetRepository(), b.GetRepository())
	}
	keyA, err := m.keyOf(ctx, a)
	if err != nil {
		return err
	}
	keyB, err := m.keyOf(ctx, b)
	if err != nil {
		return err
	}
	return m.browsers.with(ctx, a.GetRepository(), func(t transportClient, attempt string) error {
		in, err := t.DiffMover(ctx, connect.NewRequest(&keepwardv1.DiffMoverRequest{Attempt: attempt, A: keyA, B: keyB}))
		if err != nil {
			return wire.FromConnect(err)
		}
		sent := false
		for in.Receive() {
			sent = true
			if err := stream.Send(&keepwardv1.DiffResponse{Change: in.Msg().GetChange(), A: in.Msg().GetA(), B: in.Msg().GetB()}); err != nil {
				return endStream(in, err, true)
			}
		}
		return endStream(in, in.Err(), sent)
	})
}

// endStream closes a stream and says how it went. Once something was passed on, a failure must
// not start it again from its beginning, so it is no longer one of availability.
func endStream[T any](stream *connect.ServerStreamForClient[T], err error, sent bool) error {
	err = wire.FromConnect(err)
	closeErr := stream.Close()
	if err == nil {
		err = wire.FromConnect(closeErr)
	}
	if err != nil && sent && errs.KindOf(err) == errs.Unavailable {
		return errs.New(errs.Busy, "browse.broken", "read restore point: the connection broke after a part of the answer: %w", err).WithHint("ask again")
	}
	return err
}
