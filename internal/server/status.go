package server

import (
	"cmp"
	"context"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// recentAge is how long an ended session stays in the status.
const recentAge = 24 * time.Hour

type statusService struct{ *server }

func (s *statusService) GetStatus(ctx context.Context, req *connect.Request[keepwardv1.GetStatusRequest]) (*connect.Response[keepwardv1.GetStatusResponse], error) {
	now := time.Now()
	res := &keepwardv1.GetStatusResponse{Version: s.cfg.Version, Started: timestamppb.New(s.started), Time: timestamppb.New(now)}
	v, err := s.fillStanding(ctx, res)
	if err != nil {
		return nil, err
	}
	res.Views = v.counts(res.Computers)
	if res.Counts, err = s.statusCounts(ctx, now.Add(-recentAge)); err != nil {
		return nil, err
	}
	active := 0
	if req.Msg.GetBrief() {
		active = briefActive
	}
	if res.Active, err = s.manager.ActiveSessions(ctx, active); err != nil {
		return nil, err
	}
	if !req.Msg.GetBrief() {
		if res.Recent, err = s.manager.EndedSince(ctx, now.Add(-recentAge)); err != nil {
			return nil, err
		}
	}
	if res.Conditions, err = s.conditionsOf(ctx, res); err != nil {
		return nil, err
	}
	res.Counts.Computers, res.Counts.Conditions = int64(len(res.Computers)), int64(len(res.Conditions))
	for _, c := range res.Conditions {
		if c.GetSeverity() == severityError {
			res.Counts.Errors++
		}
	}
	if req.Msg.GetBrief() {
		shorten(res)
	}
	return connect.NewResponse(res), nil
}

// ListHours is the manager's: it keeps to what its caller may know of before it counts.
func (s *statusService) ListHours(ctx context.Context, req *connect.Request[keepwardv1.ListHoursRequest]) (*connect.Response[keepwardv1.ListHoursResponse], error) {
	res, err := s.manager.ListHours(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(res), nil
}

// fillStanding puts into a status what is there: computers, transports, repositories.
func (s *server) fillStanding(ctx context.Context, res *keepwardv1.GetStatusResponse) (*views, error) {
	computers, v, err := s.computerMessages(ctx)
	if err != nil {
		return nil, err
	}
	res.Computers = computers
	if res.Transports, err = s.transportMessages(ctx); err != nil {
		return nil, err
	}
	rows, err := catalog.Repositories(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	res.Repositories = s.repositoryMessages(rows)
	return v, nil
}

// conditionsOf are all lasting problems, of what is there and of all else. Whoever asks for them, a
// status or who tells people, is told the same.
func (s *server) conditionsOf(ctx context.Context, standing *keepwardv1.GetStatusResponse) ([]*keepwardv1.Condition, error) {
	out := slices.Concat(s.manager.Conditions(), allConditions(standing))
	for _, of := range []func(context.Context) ([]*keepwardv1.Condition, error){s.groupConditions, s.updateConditions, s.jobConditions, s.notifyConditions, s.alarmConditions} {
		list, err := of(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// How many active sessions and conditions a brief status has at most.
const (
	briefActive     = 10
	briefConditions = 100
)

// shorten leaves out what an overview does not show.
func shorten(res *keepwardv1.GetStatusResponse) {
	res.Computers = nil
	mostUrgent(res.Conditions)
	res.Conditions = res.Conditions[:min(len(res.Conditions), briefConditions)]
}

// mostUrgent puts errors first, and of each severity the newest.
func mostUrgent(list []*keepwardv1.Condition) {
	slices.SortStableFunc(list, func(a, b *keepwardv1.Condition) int {
		return cmp.Or(cmp.Compare(a.GetSeverity(), b.GetSeverity()), b.GetSince().AsTime().Compare(a.GetSince().AsTime()))
	})
}

// statusCounts counts sessions: those that are not over, and those that ended since a moment.
func (s *server) statusCounts(ctx context.Context, since time.Time) (*keepwardv1.StatusCounts, error) {
	out := &keepwardv1.StatusCounts{}
	active, err := catalog.CountActive(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	for _, one := range active {
		countSession(out, one.Status, one.Count)
	}
	ended, err := catalog.EndedSince(ctx, s.db.Read(), since)
	if err != nil {
		return nil, err
	}
	for _, one := range ended {
		countSession(out, one.Status, 1)
	}
	return out, nil
}

// countSession adds so many sessions of a status.
func countSession(n *keepwardv1.StatusCounts, status job.Status, count int64) {
	switch {
	case !status.Final() && status.Class() == job.Parked:
		n.Waiting += count
	case !status.Final():
		n.Running += count
	case status.Result() == job.ResultSuccess:
		n.Success += count
	case status.Result() == job.ResultWarning:
		n.Warning += count
	case status.Result() == job.ResultFailed:
		n.Failed += count
	}
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
