package agent

import (
	"context"
	"path/filepath"
	"sync"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/gentle"
	"keepward/internal/pipeline"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/restore"
	"keepward/internal/source"
	"keepward/internal/wire"
)

// service is what the server calls. The link has proved that it is the server.
type service struct{ a *agent }

func (s *service) StartBackup(ctx context.Context, req *connect.Request[keepwardv1.StartBackupRequest]) (*connect.Response[keepwardv1.StartBackupResponse], error) {
	m := req.Msg
	if s.a.standing.running(m.GetJob()) {
		return nil, errs.New(errs.Busy, "agent.own-run", "begin attempt %s: the agent runs job %s by itself now", m.GetOrder().GetAttempt(), m.GetJob()).
			WithHint("the server takes that run over as a session in a moment; this one is tried again")
	}
	opts, err := backupOptions(m, s.a.cfg.DataDir)
	if err != nil {
		return nil, err
	}
	opts.Version = s.a.cfg.Version
	enough := make(chan struct{})
	opts.Enough = enough
	err = s.a.begin(ctx, m.GetOrder(), sync.OnceFunc(func() { close(enough) }), gentle.Work{Waits: !m.GetFullSpeed(), Processors: int(m.GetProcessors())}, func(ctx context.Context) *keepwardv1.AttemptEnd {
		return s.a.backup(ctx, m, opts)
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.StartBackupResponse{}), nil
}

// backupOptions checks an order before anything begins.
func backupOptions(m *keepwardv1.StartBackupRequest, own string) (pipeline.Options, error) {
	var o pipeline.Options
	var err error
	if o.Attempt, err = point.ParseAttempt(m.GetOrder().GetAttempt()); err != nil {
		return o, err
	}
	if o.Keys, err = wire.KeysFromProto(m.GetKeys()); err != nil {
		return o, err
	}
	if o.Compression, err = seal.ParseCompression(m.GetCompression()); err != nil {
		return o, err
	}
	if o.Selection, err = selectionOf(m.GetFiles(), own); err != nil {
		return o, err
	}
	o.Parent, o.Checkpoint, o.Full = m.GetParent(), m.GetCheckpoint(), m.GetFull()
	return o, nil
}

// selectionOf is what an order wants to have walked; own is the agent's data directory.
func selectionOf(f *keepwardv1.FileSelection, own string) (source.Selection, error) {
	s := source.Selection{
		Include: f.GetInclude(), Exclude: f.GetExclude(), Only: f.GetOnly(),
		OneFileSystem: f.GetOneFileSystem(), IncludeCaches: f.GetIncludeCaches(), IncludeTemporary: f.GetIncludeTemporary(),
	}
	dir, err := filepath.Abs(own)
	if err == nil {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		s.Own = []string{dir}
	}
	_, err = s.Filter()
	return s, err
}

func (s *service) StartRestore(ctx context.Context, req *connect.Request[keepwardv1.StartRestoreRequest]) (*connect.Response[keepwardv1.StartRestoreResponse], error) {
	m := req.Msg
	if _, err := point.ParseAttempt(m.GetOrder().GetAttempt()); err != nil {
		return nil, err // it names a directory
	}
	keys, err := wire.KeysFromProto(m.GetKeys())
	if err != nil {
		return nil, err
	}
	overwrite, err := restore.ParseOverwrite(m.GetOverwrite())
	if err != nil {
		return nil, err
	}
	opts := restore.Options{
		Keys: keys, Point: m.GetPoint(), Paths: m.GetPaths(), To: string(m.GetTo()), Strip: m.GetStrip(),
		Overwrite: overwrite, DeleteExtra: m.GetDeleteExtra(), DryRun: m.GetDryRun(),
		Verify: m.GetVerify(), Estimate: m.GetEstimate(), OwnersByName: !m.GetNumericOwner(),
	}
	for _, o := range m.GetOwners() {
		opts.Owners = append(opts.Owners, restore.OwnerMap{Group: o.GetGroup(), From: o.GetFrom(), To: o.GetTo()})
	}
	for _, r := range m.GetRenames() {
		opts.Renames = append(opts.Renames, restore.PathMap{From: string(r.GetFrom()), To: string(r.GetTo())})
	}
	err = s.a.begin(ctx, m.GetOrder(), nil, gentle.Work{}, func(ctx context.Context) *keepwardv1.AttemptEnd {
		if m.GetCommand() != nil {
			return s.a.restoreInto(ctx, m, opts)
		}
		return s.a.restore(ctx, m, opts)
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.StartRestoreResponse{}), nil
}

func (s *service) StopAttempt(_ context.Context, req *connect.Request[keepwardv1.StopAttemptRequest]) (*connect.Response[keepwardv1.StopAttemptResponse], error) {
	m := req.Msg
	if err := s.a.node.CheckTerm(m.GetOrder().GetTerm()); err != nil {
		return nil, err
	}
	if m.GetCommit() {
		if err := s.a.endEarly(m.GetOrder().GetAttempt()); err != nil {
			return nil, err
		}
		return connect.NewResponse(&keepwardv1.StopAttemptResponse{}), nil
	}
	why := errStopped
	if m.GetReason() != "" {
		why = errs.New(errs.Cancelled, "attempt.stopped", "stopped: %s", m.GetReason())
	}
	s.a.stop(m.GetOrder().GetAttempt(), why)
	return connect.NewResponse(&keepwardv1.StopAttemptResponse{}), nil
}
