package server

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/manager"
	"keepward/internal/repo/repoconf"
	"keepward/internal/wire"
)

// lookFresh is how old figures may be that a list shows: lists asked for in a row cost one look.
const lookFresh = 2 * time.Second

type repositoryService struct{ *server }

func (s *repositoryService) CreateRepository(ctx context.Context, req *connect.Request[keepwardv1.CreateRepositoryRequest]) (*connect.Response[keepwardv1.CreateRepositoryResponse], error) {
	want := req.Msg.Repository
	if want == nil {
		return nil, errs.New(errs.Invalid, "repository.missing", "create repository: nothing was sent")
	}
	config.CompleteRepository(want)
	row, key, err := s.repos.create(ctx, want)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.CreateRepositoryResponse{Repository: s.repositoryMessage(row), RecoveryKey: key}), nil
}

func (s *repositoryService) ListRepositories(ctx context.Context, _ *connect.Request[keepwardv1.ListRepositoriesRequest]) (*connect.Response[keepwardv1.ListRepositoriesResponse], error) {
	rows, err := catalog.Repositories(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	s.lookAtStale(ctx, rows)
	transports, err := s.transportMessages(ctx)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ListRepositoriesResponse{Repositories: s.repositoryMessages(rows), Transports: transports}), nil
}

// lookAtStale brings the figures of rows up to date, all at once.
func (s *repositoryService) lookAtStale(ctx context.Context, rows []catalog.Repository) {
	var g errgroup.Group
	for i := range rows {
		if time.Since(rows[i].Figures.Looked) > lookFresh {
			g.Go(func() error {
				rows[i] = s.repos.look(ctx, rows[i])
				return nil
			})
		}
	}
	_ = g.Wait() // what could not be looked at keeps its old figures
}

func (s *repositoryService) GetRepository(ctx context.Context, req *connect.Request[keepwardv1.GetRepositoryRequest]) (*connect.Response[keepwardv1.GetRepositoryResponse], error) {
	row, err := catalog.GetRepository(ctx, s.db.Read(), req.Msg.Name)
	if err != nil {
		return nil, err
	}
	row = s.repos.look(ctx, row)
	return connect.NewResponse(&keepwardv1.GetRepositoryResponse{Repository: s.repositoryMessage(row)}), nil
}

func (s *repositoryService) EditRepository(ctx context.Context, req *connect.Request[keepwardv1.EditRepositoryRequest]) (*connect.Response[keepwardv1.EditRepositoryResponse], error) {
	var row catalog.Repository
	err := s.db.Write(ctx, func(tx *sql.Tx) (err error) {
		if row, err = catalog.GetRepository(ctx, tx, req.Msg.Name); err != nil {
			return err
		}
		if req.Msg.Streams != nil {
			row.Streams = *req.Msg.Streams
		}
		if req.Msg.Writers != nil {
			row.Writers = *req.Msg.Writers
		}
		limits := configured(row)
		if req.Msg.UndeleteGrace != nil {
			limits.UndeleteGrace = req.Msg.UndeleteGrace
		}
		if req.Msg.UnprotectedAfter != nil {
			limits.UnprotectedAfter = req.Msg.UnprotectedAfter
		}
		if req.Msg.Maintenance != nil {
			limits.Maintenance = *req.Msg.Maintenance
		}
		if req.Msg.Recompress != nil {
			limits.Recompress = *req.Msg.Recompress
		}
		if req.Msg.ReadLimit != nil {
			limits.ReadLimit = *req.Msg.ReadLimit
		}
		if req.Msg.WriteLimit != nil {
			limits.WriteLimit = *req.Msg.WriteLimit
		}
		editProofs(limits, req.Msg)
		config.CompleteUpkeep(limits)
		if err := config.Error(config.CheckLimits(limits)); err != nil {
			return err
		}
		row.Upkeep = upkeepOf(limits)
		if err := catalog.SetUpkeep(ctx, tx, row.Name, row.Upkeep); err != nil {
			return err
		}
		state := row.Proofs.State
		row.Proofs = proofsOf(limits)
		row.Proofs.State = state
		if err := setProofs(ctx, tx, row.Name, row.Proofs); err != nil {
			return err
		}
		return catalog.EditRepository(ctx, tx, row.Name, row.Streams, row.Writers)
	})
	if err != nil {
		return nil, err
	}
	s.manager.ConfigChanged()
	s.repos.lookSoon() // it may be asked to prove more now
	s.audit(ctx, "repository changed", "repository", row.Name, "streams", row.Streams, "writers", row.Writers,
		"undelete_grace", row.Upkeep.Grace(), "unprotected_after", row.Upkeep.UnprotectedAfter, "maintenance", row.Upkeep.Maintenance,
		"recompress", row.Upkeep.Recompress, "read_limit", row.Upkeep.ReadLimit, "write_limit", row.Upkeep.WriteLimit)
	return connect.NewResponse(&keepwardv1.EditRepositoryResponse{Repository: s.repositoryMessage(row)}), nil
}

func (s *repositoryService) CheckRepository(ctx context.Context, req *connect.Request[keepwardv1.CheckRepositoryRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	if _, err := catalog.GetRepository(ctx, s.db.Read(), req.Msg.Name); err != nil {
		return nil, err
	}
	if err := checkable(req.Msg); err != nil {
		return nil, err
	}
	return startedSession(s.manager.Check(ctx, req.Msg))
}

func (s *repositoryService) RebuildIndex(ctx context.Context, req *connect.Request[keepwardv1.RebuildIndexRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	if _, err := catalog.GetRepository(ctx, s.db.Read(), req.Msg.Name); err != nil {
		return nil, err
	}
	return startedSession(s.manager.Rebuild(ctx, req.Msg.Name))
}

func (s *repositoryService) SweepRepository(ctx context.Context, req *connect.Request[keepwardv1.SweepRepositoryRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	return startedSession(s.manager.Sweep(ctx, req.Msg))
}

func (s *repositoryService) ReconcileRepository(ctx context.Context, req *connect.Request[keepwardv1.ReconcileRepositoryRequest]) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	return startedSession(s.manager.ReconcileRepository(ctx, req.Msg.GetName()))
}

func startedSession(id int64, err error) (*connect.Response[keepwardv1.StartSessionResponse], error) {
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.StartSessionResponse{Session: id}), nil
}

func (s *repositoryService) ExportRecoveryKey(ctx context.Context, req *connect.Request[keepwardv1.ExportRecoveryKeyRequest]) (*connect.Response[keepwardv1.ExportRecoveryKeyResponse], error) {
	row, err := catalog.GetRepository(ctx, s.db.Read(), req.Msg.Name)
	if err != nil {
		return nil, err
	}
	secret, err := s.data.keys.recovery(row)
	if err != nil {
		return nil, err
	}
	// Logged before it is answered, so that no export goes unseen.
	s.audit(ctx, "recovery key exported", "repository", row.Name, "peer", req.Peer().Addr)
	err = s.db.Write(ctx, func(tx *sql.Tx) error { return catalog.NoteExport(ctx, tx, row.Name, time.Now()) })
	if err != nil {
		return nil, err
	}
	key := repoconf.Recovery{Repository: [4]byte(row.ID[:4]), Secret: secret}
	return connect.NewResponse(&keepwardv1.ExportRecoveryKeyResponse{RecoveryKey: key.Text()}), nil
}

func (s *server) repositoryMessages(rows []catalog.Repository) []*keepwardv1.Repository {
	out := make([]*keepwardv1.Repository, len(rows))
	for i, row := range rows {
		out[i] = s.repositoryMessage(row)
	}
	return out
}

func (s *server) repositoryMessage(row catalog.Repository) *keepwardv1.Repository {
	f := row.Figures
	r := &keepwardv1.Repository{
		Name: row.Name, Id: hex.EncodeToString(row.ID[:]), Transport: row.Transport, Path: row.Path,
		Streams: row.Streams, Writers: row.Writers, Status: s.repositoryStatus(row),
		SizeBytes: f.SizeBytes, FreeBytes: f.FreeBytes, Packs: f.Packs, Chunks: f.Chunks, Points: f.Points,
		Created: timestamp(row.Created), Conditions: s.repositoryConditions(row), RecoveryKeyExported: !row.Exported.IsZero(),
	}
	putUpkeep(r, row.Upkeep)
	putProofs(r, row.Proofs)
	r.Growth = s.growth(row.Name).message()
	return r
}

// upkeepOf is a completed repository's upkeep as the catalog keeps it.
func upkeepOf(r *keepwardv1.Repository) catalog.Upkeep {
	u := catalog.Upkeep{UnprotectedAfter: r.UnprotectedAfter.AsDuration(), Maintenance: r.Maintenance, Recompress: r.Recompress, ReadLimit: r.ReadLimit, WriteLimit: r.WriteLimit}
	if r.UndeleteGrace != nil {
		u.SetGrace(r.UndeleteGrace.AsDuration())
	}
	return u
}

// putUpkeep puts a repository's upkeep into a message.
func putUpkeep(r *keepwardv1.Repository, u catalog.Upkeep) {
	r.UndeleteGrace = durationpb.New(u.Grace())
	r.UnprotectedAfter = nil
	if u.UnprotectedAfter > 0 {
		r.UnprotectedAfter = durationpb.New(u.UnprotectedAfter)
	}
	r.Maintenance = cmp.Or(u.Maintenance, job.DefaultMaintenance)
	r.Recompress = cmp.Or(u.Recompress, job.DefaultRecompress)
	r.ReadLimit, r.WriteLimit = u.ReadLimit, u.WriteLimit
}

func (s *server) repositoryStatus(row catalog.Repository) string {
	if !s.nodes.liveness(manager.Node{Role: wire.RoleTransport, Name: row.Transport}).Online {
		return "offline"
	}
	if _, ails := s.repos.ailment(row.Name); ails {
		return "lost"
	}
	return "online"
}
