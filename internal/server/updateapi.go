package server

import (
	"cmp"
	"context"
	"database/sql"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
)

type updateService struct{ *rollouts }

func (s *updateService) UploadPackage(ctx context.Context, req *connect.Request[keepwardv1.UploadPackageRequest]) (*connect.Response[keepwardv1.UploadPackageResponse], error) {
	res, err := s.packages.take(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	if p := res.GetPackage(); p != nil {
		s.audit(ctx, "agent package imported", "platform", p.GetOs()+"/"+p.GetArch(), "version", p.GetVersion(), "sha256", p.GetSha256())
	}
	return connect.NewResponse(res), nil
}

func (s *updateService) ListPackages(ctx context.Context, _ *connect.Request[keepwardv1.ListPackagesRequest]) (*connect.Response[keepwardv1.ListPackagesResponse], error) {
	list, err := s.packages.list(ctx)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ListPackagesResponse{Packages: list}), nil
}

func (s *updateService) RemovePackage(ctx context.Context, req *connect.Request[keepwardv1.RemovePackageRequest]) (*connect.Response[keepwardv1.RemovePackageResponse], error) {
	m := req.Msg
	err := s.db.Write(ctx, func(tx *sql.Tx) error { return catalog.DeleteAgentPackage(ctx, tx, m.Os, m.Arch, m.Version) })
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "agent package removed", "platform", m.Os+"/"+m.Arch, "version", m.Version)
	s.packages.mu.Lock()
	defer s.packages.mu.Unlock()
	if err := s.packages.sweep(ctx); err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.RemovePackageResponse{}), nil
}

func (s *updateService) UpdateComputers(ctx context.Context, req *connect.Request[keepwardv1.UpdateComputersRequest]) (*connect.Response[keepwardv1.UpdateComputersResponse], error) {
	m := req.Msg
	computers, err := s.wanted(ctx, m)
	if err != nil {
		return nil, err
	}
	ro, err := s.begin(ctx, &keepwardv1.Rollout{
		User: userOf(ctx), Version: cmp.Or(m.Version, s.cfg.Version), AtOnce: m.AtOnce, AllowDowngrade: m.AllowDowngrade, Again: len(m.Computers) > 0,
	}, computers)
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "rollout begun", "rollout", ro.GetId(), "version", ro.GetVersion(), "computers", len(ro.GetMembers()))
	return connect.NewResponse(&keepwardv1.UpdateComputersResponse{Rollout: ro}), nil
}

// wanted are the computers that a request names, in one of its ways.
func (s *updateService) wanted(ctx context.Context, m *keepwardv1.UpdateComputersRequest) ([]*keepwardv1.Computer, error) {
	ways := 0
	for _, is := range []bool{len(m.Computers) > 0, m.Group != "", m.AllOutOfDate} {
		if is {
			ways++
		}
	}
	switch {
	case ways != 1:
		return nil, errs.New(errs.Invalid, "update.which", "update agents: name computers, a group, or all that are out of date")
	case m.AtOnce < 0:
		return nil, errs.New(errs.Invalid, "update.at-once", "update agents: %d computers at once are none", m.AtOnce)
	case m.AllOutOfDate:
		return s.computersIn(ctx, viewOutOfDate, "")
	case m.Group != "":
		return s.computersIn(ctx, "", m.Group)
	}
	var out []*keepwardv1.Computer
	for _, name := range m.Computers {
		row, err := catalog.GetComputer(ctx, s.db.Read(), name)
		if err != nil {
			return nil, err
		}
		c, err := s.computerMessage(ctx, row)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (s *updateService) ListRollouts(ctx context.Context, _ *connect.Request[keepwardv1.ListRolloutsRequest]) (*connect.Response[keepwardv1.ListRolloutsResponse], error) {
	list, err := catalog.Rollouts(ctx, s.db.Read(), "")
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ListRolloutsResponse{Rollouts: list}), nil
}

func (s *updateService) GetRollout(ctx context.Context, req *connect.Request[keepwardv1.GetRolloutRequest]) (*connect.Response[keepwardv1.GetRolloutResponse], error) {
	ro, err := catalog.GetRollout(ctx, s.db.Read(), req.Msg.Id)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.GetRolloutResponse{Rollout: ro}), nil
}

func (s *updateService) StopRollout(ctx context.Context, req *connect.Request[keepwardv1.StopRolloutRequest]) (*connect.Response[keepwardv1.StopRolloutResponse], error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	ro, err := catalog.GetRollout(ctx, s.db.Read(), req.Msg.Id)
	if err != nil {
		return nil, err
	}
	if ro.GetStatus() == catalog.RolloutActive && ro.GetReason() == "" {
		ro.Reason = "stopped by " + userOf(ctx)
		if err := s.db.Write(ctx, func(tx *sql.Tx) error { return catalog.PutRollout(ctx, tx, ro) }); err != nil {
			return nil, err
		}
		s.audit(ctx, "rollout stopped", "rollout", ro.GetId())
		s.look()
	}
	return connect.NewResponse(&keepwardv1.StopRolloutResponse{Rollout: ro}), nil
}
