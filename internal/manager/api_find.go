package manager

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/wire"
)

// Find looks for files, in one point or in all of a computer, or of all computers, and tells the
// versions of each. Versions are of one computer and one repository.
func (m *Manager) Find(ctx context.Context, req *connect.Request[keepwardv1.FindRequest], stream *connect.ServerStream[keepwardv1.FindResponse]) error {
	points, err := m.findIn(ctx, req.Msg)
	if err != nil {
		return err
	}
	slices.SortStableFunc(points, func(a, b *keepwardv1.Point) int {
		return cmp.Or(strings.Compare(a.GetComputer(), b.GetComputer()), strings.Compare(a.GetRepository(), b.GetRepository()),
			a.GetTime().AsTime().Compare(b.GetTime().AsTime()))
	})
	for len(points) > 0 {
		n := 1
		for n < len(points) && points[n].GetRepository() == points[0].GetRepository() && points[n].GetComputer() == points[0].GetComputer() {
			n++
		}
		if err := m.findSome(ctx, req.Msg, points[:n], stream.Send); err != nil {
			return err
		}
		points = points[n:]
	}
	return nil
}

func (m *Manager) findIn(ctx context.Context, req *keepwardv1.FindRequest) ([]*keepwardv1.Point, error) {
	if req.GetPoint() != "" {
		p, err := m.findPoint(ctx, req.GetPoint(), req.GetComputer())
		return []*keepwardv1.Point{p}, err
	}
	if req.GetComputer() != "" {
		if err := m.knownComputer(ctx, req.GetComputer()); err != nil {
			return nil, err
		}
	}
	return catalog.Points(ctx, m.deps.DB.Read(), catalog.PointFilter{Computer: req.GetComputer()})
}

// findSome searches points of one computer in one repository, the oldest first.
func (m *Manager) findSome(ctx context.Context, asked *keepwardv1.FindRequest, points []*keepwardv1.Point, send func(*keepwardv1.FindResponse) error) error {
	keys, err := m.keysOf(ctx, points[0].GetRepository())
	if err != nil {
		return err
	}
	key := keys.computer(points[0].GetComputer())
	byID := make(map[string]*keepwardv1.Point, len(points))
	req := &keepwardv1.FindMoverRequest{
		Glob: asked.GetGlob(), Types: asked.GetTypes(), MinSize: asked.GetMinSize(), MaxSize: asked.MaxSize, After: asked.GetAfter(), Before: asked.GetBefore(),
	}
	for _, p := range points {
		byID[p.GetId()] = p
		req.Points = append(req.Points, &keepwardv1.PointKey{Point: p.GetId(), ComputerKey: key})
	}
	return m.browsers.with(ctx, points[0].GetRepository(), func(t transportClient, attempt string) error {
		req.Attempt = attempt
		stream, err := t.FindMover(ctx, connect.NewRequest(req))
		if err != nil {
			return wire.FromConnect(err)
		}
		sent := false
		for stream.Receive() {
			f := stream.Msg()
			newest, first := byID[f.GetPoint()], byID[f.GetFirst()]
			sent = true
			err := send(&keepwardv1.FindResponse{
				Point: newest.GetId(), Time: newest.GetTime(), Computer: newest.GetComputer(), Repository: newest.GetRepository(), Entry: f.GetEntry(),
				FirstPoint: first.GetId(), FirstTime: first.GetTime(), Points: f.GetPoints(),
			})
			if err != nil {
				return endStream(stream, err, true)
			}
		}
		return endStream(stream, stream.Err(), sent)
	})
}
