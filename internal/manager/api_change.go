package manager

import (
	"context"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
)

// DeletePoints hides points; they can be undeleted until the grace time is over.
func (m *Manager) DeletePoints(ctx context.Context, req *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	return m.changePoints(ctx, actionDelete, req.Msg)
}

// UndeletePoints takes a deletion back.
func (m *Manager) UndeletePoints(ctx context.Context, req *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	return m.changePoints(ctx, actionUndelete, req.Msg)
}

// HoldPoints puts points on legal hold.
func (m *Manager) HoldPoints(ctx context.Context, req *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	return m.changePoints(ctx, actionHold, req.Msg)
}

// ReleasePoints ends a legal hold.
func (m *Manager) ReleasePoints(ctx context.Context, req *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	return m.changePoints(ctx, actionRelease, req.Msg)
}
