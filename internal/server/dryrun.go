package server

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/group"
	"keepward/internal/job"
)

// DryRun tells what a backup with a job would take now, of all its computers or some.
func (s *jobService) DryRun(ctx context.Context, req *connect.Request[keepwardv1.DryRunRequest], stream *connect.ServerStream[keepwardv1.DryRunResponse]) error {
	j, err := s.dryRunJob(ctx, req.Msg)
	if err != nil {
		return err
	}
	expanded, err := group.Expanded(ctx, s.db.Read(), []*keepwardv1.Job{j})
	if err != nil {
		return err
	}
	computers := expanded[0].GetComputers()
	if some := req.Msg.GetComputers(); len(some) > 0 {
		for _, c := range some {
			if !slices.Contains(computers, c) {
				return catalog.NotFound("computer", c, computers)
			}
		}
		computers = slices.Compact(slices.Sorted(slices.Values(some)))
	}
	if len(computers) == 0 {
		return errs.New(errs.Invalid, "job.no-computers", "dry run: there is no computer to look at")
	}
	// It names files of computers to who asks.
	s.audit(ctx, "dry run", "job", j.GetName(), "computers", computers)
	return s.manager.DryRun(ctx, j, computers, stream.Send)
}

// dryRunJob is the job that is asked about: one that there is, or one that is tried.
func (s *jobService) dryRunJob(ctx context.Context, m *keepwardv1.DryRunRequest) (*keepwardv1.Job, error) {
	if m.GetJob() == nil {
		j, err := catalog.GetJob(ctx, s.db.Read(), m.GetName())
		if err == nil && job.Type(j.GetType()) != job.Backup {
			err = errs.New(errs.Invalid, "dry-run.type", "dry run of job %s: a job of type %s takes no files", j.GetName(), j.GetType())
		}
		return j, err
	}
	j := m.GetJob()
	site, err := siteOf(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	return j, config.Error(config.CheckFiles(j, site))
}
