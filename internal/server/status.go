package server

import (
	"context"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
)

// recentAge is how long an ended session stays in the status.
const recentAge = 24 * time.Hour

type statusService struct{ *server }

func (s *statusService) GetStatus(ctx context.Context, _ *connect.Request[keepwardv1.GetStatusRequest]) (*connect.Response[keepwardv1.GetStatusResponse], error) {
	now := time.Now()
	res := &keepwardv1.GetStatusResponse{Version: s.cfg.Version, Started: timestamppb.New(s.started), Time: timestamppb.New(now)}
	computers, v, err := s.computerMessages(ctx)
	if err != nil {
		return nil, err
	}
	res.Computers, res.Views = computers, v.counts(computers)
	if res.Transports, err = s.transportMessages(ctx); err != nil {
		return nil, err
	}
	rows, err := catalog.Repositories(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	res.Repositories = s.repositoryMessages(rows)
	if res.Active, err = s.manager.ActiveSessions(ctx); err != nil {
		return nil, err
	}
	if res.Recent, err = s.manager.EndedSince(ctx, now.Add(-recentAge)); err != nil {
		return nil, err
	}
	jobs, err := s.jobConditions(ctx)
	if err != nil {
		return nil, err
	}
	groups, err := s.groupConditions(ctx)
	if err != nil {
		return nil, err
	}
	updates, err := s.updateConditions(ctx)
	if err != nil {
		return nil, err
	}
	res.Conditions = slices.Concat(s.manager.Conditions(), allConditions(res), groups, updates, jobs)
	return connect.NewResponse(res), nil
}

// allConditions gathers what the parts of a status say of themselves.
func allConditions(res *keepwardv1.GetStatusResponse) []*keepwardv1.Condition {
	out := transportConditions(res.Transports)
	for _, r := range res.Repositories {
		out = append(out, r.Conditions...)
	}
	for _, c := range res.Computers {
		out = append(out, c.Conditions...)
	}
	return out
}
