package server

import (
	"context"
	"database/sql"
	"encoding/hex"
	"strings"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/repo/repoconf"
)

// AttachRepository takes a repository that exists into the configuration. It may be stopped
// anywhere: asked again, it goes on.
func (s *repositoryService) AttachRepository(ctx context.Context, req *connect.Request[keepwardv1.AttachRepositoryRequest], out *connect.ServerStream[keepwardv1.CatalogProgress]) error {
	row, err := s.repos.attach(ctx, req.Msg)
	if err != nil {
		return err
	}
	s.manager.ConfigChanged()
	return s.repos.rebuildCatalog(ctx, row, out.Send)
}

// RebuildCatalog reads what stands in repositories into the catalog again.
func (s *repositoryService) RebuildCatalog(ctx context.Context, req *connect.Request[keepwardv1.RebuildCatalogRequest], out *connect.ServerStream[keepwardv1.CatalogProgress]) error {
	rows, err := catalog.Repositories(ctx, s.db.Read())
	if err != nil {
		return err
	}
	if name := req.Msg.GetRepository(); name != "" {
		row, err := catalog.GetRepository(ctx, s.db.Read(), name)
		if err != nil {
			return err
		}
		rows = []catalog.Repository{row}
	}
	for _, row := range rows {
		if err := s.repos.rebuildCatalog(ctx, row, out.Send); err != nil {
			return err
		}
	}
	return nil
}

// attach finds a repository, opens its keys and makes its row; for one that is attached
// already it answers the row.
func (r *repositories) attach(ctx context.Context, m *keepwardv1.AttachRepositoryRequest) (catalog.Repository, error) {
	r.making.Lock()
	defer r.making.Unlock()
	want := m.GetRepository()
	if want == nil {
		return catalog.Repository{}, errs.New(errs.Invalid, "repository.missing", "attach repository: nothing was sent")
	}
	config.CompleteRepository(want)
	site, err := siteOf(ctx, r.db.Read())
	if err != nil {
		return catalog.Repository{}, err
	}
	if err := config.Error(config.CheckRepository(want, site)); err != nil {
		return catalog.Repository{}, err
	}
	client, online := r.nodes.Transport(want.Transport)
	if !online {
		return catalog.Repository{}, offline("attach repository", want.Name, want.Transport)
	}
	res, err := client.ReadRepository(ctx, connect.NewRequest(&keepwardv1.ReadRepositoryRequest{Path: want.Path}))
	if err != nil {
		return catalog.Repository{}, err
	}
	found := res.Msg
	row, attached, err := r.attachable(ctx, want, found)
	if err != nil {
		return row, err
	}
	if attached {
		// Whoever tries his key on it must not be told that it fits.
		copied := row
		return row, r.unlock(&copied, found, repoconf.Unlock{RecoveryKey: m.GetRecoveryKey(), Passphrase: m.GetPassphrase()})
	}
	if err := r.unlock(&row, found, repoconf.Unlock{RecoveryKey: m.GetRecoveryKey(), Passphrase: m.GetPassphrase()}); err != nil {
		return row, err
	}
	if err := r.own(ctx, client, row, m.GetTakeOver()); err != nil {
		return row, err
	}
	// The repository is ours; a client that hangs up now must not leave it without a row.
	ctx = context.WithoutCancel(ctx)
	err = r.db.Write(ctx, func(tx *sql.Tx) error {
		if err := catalog.AddRepository(ctx, tx, row); err != nil || len(row.Recovery) == 0 {
			return err
		}
		return catalog.NoteExport(ctx, tx, row.Name, time.Now()) // somebody had it just now
	})
	if err != nil {
		return row, err
	}
	r.audit(ctx, "repository attached", "repository", row.Name, "transport", row.Transport, "path", row.Path, "id", hex.EncodeToString(row.ID[:]))
	return row, nil
}

// attachable makes the row of a repository that was found, unless it or its name is taken.
func (r *repositories) attachable(ctx context.Context, want *keepwardv1.Repository, found *keepwardv1.ReadRepositoryResponse) (row catalog.Repository, attached bool, err error) {
	cfg, _, err := repoconf.ParseConfig(found.GetConfiguration())
	if err != nil {
		return row, false, err
	}
	row = catalog.Repository{
		Name: want.Name, ID: cfg.ID, Transport: want.Transport, Path: found.GetCanonicalPath(),
		Streams: want.Streams, Writers: want.Writers, Created: cfg.Created, Upkeep: upkeepOf(want), Proofs: proofsOf(want),
	}
	rows, err := catalog.Repositories(ctx, r.db.Read())
	if err != nil {
		return row, false, err
	}
	for _, other := range rows {
		switch {
		case other.Name == want.Name && other.ID == cfg.ID && other.Transport == want.Transport && other.Path == row.Path:
			return other, true, nil
		case other.ID == cfg.ID:
			return row, false, errs.New(errs.Exists, "repository.attached", "attach repository %q: it is attached already, as %s", want.Name, other.Name)
		case other.Name == want.Name:
			return row, false, errs.New(errs.Exists, "repository.exists", "attach repository %q: there is another of that name, on %s at %s", want.Name, other.Transport, other.Path)
		}
	}
	return row, false, nil
}

// unlock opens the sealed master with the secret and keeps both, sealed by this server. With a
// passphrase no recovery key is known: one has to be added before one can be exported.
func (r *repositories) unlock(row *catalog.Repository, found *keepwardv1.ReadRepositoryResponse, u repoconf.Unlock) error {
	cfg, _, err := repoconf.ParseConfig(found.GetConfiguration())
	if err != nil {
		return err
	}
	master, key, err := u.Open(cfg, keyObjects(found.GetKeys()))
	if err != nil {
		return err
	}
	master.Epoch = max(master.Epoch, uint16(found.GetEpoch()))
	if row.Master, err = r.data.keys.sealMaster(row.ID, master); err != nil {
		return err
	}
	row.Recovery = []byte{}
	if u.Passphrase == "" {
		row.Recovery, err = r.data.keys.sealRecovery(row.ID, key.Secret)
	}
	return err
}

func keyObjects(list []*keepwardv1.KeyObject) []repoconf.KeyObject {
	out := make([]repoconf.KeyObject, len(list))
	for i, k := range list {
		out[i] = repoconf.KeyObject{Name: k.GetName(), Content: k.GetContent()}
	}
	return out
}

// own makes this server the owner. Another one is only shut out if that was asked for.
func (r *repositories) own(ctx context.Context, client keepwardv1connect.TransportServiceClient, row catalog.Repository, takeOver bool) error {
	if takeOver {
		return r.takeOver(ctx, client, row)
	}
	err := r.claim(ctx, client, row)
	if errs.CodeOf(err) == "repository.owner" {
		return errs.New(errs.Denied, "repository.owner", "attach repository %s: another server owns it", row.Name).
			WithHint("stop that server; if it is gone for good, add --take-over: it is shut out then")
	}
	return err
}

// DetachRepository forgets a repository that no job uses. What is in it stays as it is.
func (s *repositoryService) DetachRepository(ctx context.Context, req *connect.Request[keepwardv1.DetachRepositoryRequest]) (*connect.Response[keepwardv1.DetachRepositoryResponse], error) {
	name := req.Msg.GetName()
	var gone []string
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := catalog.GetRepository(ctx, tx, name); err != nil {
			return err
		}
		var err error
		if gone, err = jobsToForget(ctx, tx, req.Msg); err != nil {
			return err
		}
		for _, j := range gone {
			if err := catalog.DeleteJob(ctx, tx, j); err != nil {
				return err
			}
		}
		active, err := catalog.ActiveSessions(ctx, tx, name)
		if err != nil {
			return err
		}
		if len(active) > 0 {
			return errs.New(errs.Busy, "repository.in-use", "detach repository %q: session %d uses it", name, active[0]).
				WithHint("wait for its end, or end it: keepward session kill %d", active[0])
		}
		if err := catalog.ForgetLevel(ctx, tx, "repository/"+name, time.Now()); err != nil {
			return err
		}
		return catalog.ForgetRepository(ctx, tx, name)
	})
	if err != nil {
		return nil, err
	}
	s.repos.forget(name)
	s.manager.ConfigChanged()
	s.audit(ctx, "repository detached", "repository", name, "jobs deleted", gone)
	return connect.NewResponse(&keepwardv1.DetachRepositoryResponse{DeletedJobs: gone}), nil
}

// jobsToForget are the jobs that go with a repository. Those that somebody still means to run
// refuse it: all are named, with what can be done about them.
func jobsToForget(ctx context.Context, tx *sql.Tx, req *keepwardv1.DetachRepositoryRequest) ([]string, error) {
	jobs, err := catalog.Jobs(ctx, tx)
	if err != nil {
		return nil, err
	}
	var enabled, disabled []string
	for _, j := range jobs {
		switch {
		case j.Repository != req.GetName():
		case j.Disabled:
			disabled = append(disabled, j.Name)
		default:
			enabled = append(enabled, j.Name)
		}
	}
	if req.GetDeleteDisabledJobs() && len(enabled) == 0 {
		return disabled, nil
	}
	hint := "delete them (keepward job delete NAME), or give them another repository (keepward job edit NAME --repository OTHER); their restore points stay"
	switch {
	case len(enabled) > 0:
		return nil, errs.New(errs.Busy, "repository.in-use", "detach repository %q: jobs that write to it: %s", req.GetName(), strings.Join(enabled, ", ")).
			WithHint("%s", hint)
	case len(disabled) > 0:
		return nil, errs.New(errs.Busy, "repository.in-use", "detach repository %q: disabled jobs that name it: %s", req.GetName(), strings.Join(disabled, ", ")).
			WithHint("%s; or add --delete-disabled-jobs", hint)
	}
	return nil, nil
}

// forget drops what is remembered of a repository that has no row any more.
func (r *repositories) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.claimed, name)
	delete(r.ailed, name)
}
