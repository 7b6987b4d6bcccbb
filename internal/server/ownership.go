package server

import (
	"bytes"
	"context"
	"database/sql"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
)

// claim puts this server's term into a repository, once in each term, and is an error of kind
// Denied where another server, a clone, or this one's later life owns it.
func (r *repositories) claim(ctx context.Context, client keepwardv1connect.TransportServiceClient, row catalog.Repository) error {
	term := r.data.term.Load()
	r.mu.Lock()
	known := r.claimed[row.Name] == term
	r.mu.Unlock()
	if known {
		return nil
	}
	owner, err := r.owner(ctx, client, row, term)
	if err != nil {
		return err
	}
	// Without a name the object is damaged; the term is ours alone, unless this is a clone.
	if owner.GetTerm() != term || len(owner.GetOwner()) > 0 && !bytes.Equal(owner.GetOwner(), r.data.owner()) {
		return r.notOurs(row, owner, term)
	}
	r.mu.Lock()
	r.claimed[row.Name] = term
	r.mu.Unlock()
	return nil
}

func (r *repositories) owner(ctx context.Context, client keepwardv1connect.TransportServiceClient, row catalog.Repository, term uint64) (*keepwardv1.ClaimRepositoryResponse, error) {
	res, err := client.ClaimRepository(ctx, connect.NewRequest(&keepwardv1.ClaimRepositoryRequest{
		RepositoryPath: row.Path, RepositoryId: row.ID[:], Term: term, Owner: r.data.owner(),
	}))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

func (r *repositories) notOurs(row catalog.Repository, owner *keepwardv1.ClaimRepositoryResponse, term uint64) error {
	who := "another server"
	if bytes.HasPrefix(owner.GetOwner(), r.data.serverID[:]) {
		who = "a clone of this server, or this one in a later life,"
	}
	return errs.New(errs.Denied, "repository.owner", "use repository %s: %s owns it, by term %d; this server is at term %d", row.Name, who, owner.GetTerm(), term).
		WithHint("stop the other one; if it is gone for good: keepward repository take-over %s", row.Name)
}

// takeOver makes this server the owner, above whatever term stands in the repository.
func (r *repositories) takeOver(ctx context.Context, client keepwardv1connect.TransportServiceClient, row catalog.Repository) error {
	owner, err := r.owner(ctx, client, row, r.data.term.Load())
	if err != nil {
		return err
	}
	if owner.GetTerm() >= r.data.term.Load() && !bytes.Equal(owner.GetOwner(), r.data.owner()) {
		if err := r.raiseTerm(ctx, owner.GetTerm()+1); err != nil {
			return err
		}
		// Once more: who stopped at nothing to be the owner may still be there.
		if owner, err = r.owner(ctx, client, row, r.data.term.Load()); err != nil {
			return err
		}
	}
	if !bytes.Equal(owner.GetOwner(), r.data.owner()) {
		return r.notOurs(row, owner, r.data.term.Load())
	}
	return nil
}

// raiseTerm begins a higher term without a start: what was ordered before goes on.
func (r *repositories) raiseTerm(ctx context.Context, term uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.data.term.Load() >= term {
		return nil
	}
	err := r.db.Write(ctx, func(tx *sql.Tx) error { return catalog.RaiseTerm(ctx, tx, term, time.Now(), r.cfg.Version) })
	if err == nil {
		r.data.term.Store(term)
	}
	return err
}

func (s *repositoryService) TakeOverRepository(ctx context.Context, req *connect.Request[keepwardv1.TakeOverRepositoryRequest]) (*connect.Response[keepwardv1.TakeOverRepositoryResponse], error) {
	row, err := catalog.GetRepository(ctx, s.db.Read(), req.Msg.GetName())
	if err != nil {
		return nil, err
	}
	client, online := s.nodes.Transport(row.Transport)
	if !online {
		return nil, offline("take over repository", row.Name, row.Transport)
	}
	if err := s.repos.takeOver(ctx, client, row); err != nil {
		return nil, err
	}
	s.audit(ctx, "repository taken over", "repository", row.Name, "term", s.data.term.Load())
	row = s.repos.look(ctx, row)
	s.manager.ConfigChanged()
	return connect.NewResponse(&keepwardv1.TakeOverRepositoryResponse{Repository: s.repositoryMessage(row)}), nil
}

func offline(what, repository, transport string) error {
	return errs.New(errs.Unavailable, "transport.offline", "%s %q: transport %s is offline", what, repository, transport).
		WithHint("start it, and look at: keepward status")
}
