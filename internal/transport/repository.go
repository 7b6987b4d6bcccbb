package transport

import (
	"context"
	"path/filepath"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/storage"
)

// CreateRepository makes a repository in an empty place; with probe_only it only tells
// whether it could.
func (s *Service) CreateRepository(ctx context.Context, req *connect.Request[keepwardv1.TransportCreateRepositoryRequest]) (*connect.Response[keepwardv1.TransportCreateRepositoryResponse], error) {
	m := req.Msg
	if err := s.node.CheckTerm(m.GetTerm()); err != nil {
		return nil, err
	}
	if err := absolute(m.GetPath()); err != nil {
		return nil, err
	}
	b, err := storage.OpenDir(m.GetPath())
	if err != nil {
		return nil, err
	}
	if m.GetProbeOnly() {
		err = repo.Probe(ctx, b)
	} else {
		err = create(ctx, b, m)
	}
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.TransportCreateRepositoryResponse{CanonicalPath: b.Path(), FreeBytes: free(ctx, b.Path())}), nil
}

// free is how much fits at a path, which need not exist yet; -1: not known.
func free(ctx context.Context, path string) int64 {
	for {
		b, err := storage.OpenDir(path)
		if err != nil {
			return -1
		}
		sp, ok := storage.Backend(b).(storage.Spacer)
		if !ok {
			return -1
		}
		if n, err := sp.Free(ctx); err == nil {
			return n
		}
		parent := filepath.Dir(path)
		if parent == path {
			return -1
		}
		path = parent
	}
}

func create(ctx context.Context, b storage.Backend, m *keepwardv1.TransportCreateRepositoryRequest) error {
	cfg, damage, err := repo.ParseConfig(m.GetConfiguration())
	if err == nil {
		err = damage
	}
	if err != nil {
		return errs.New(errs.Invalid, "repository.configuration", "create repository: its configuration: %w", err)
	}
	keys := make([]repo.KeyObject, len(m.GetKeys()))
	for i, k := range m.GetKeys() {
		keys[i] = repo.KeyObject{Name: k.GetName(), Content: k.GetContent()}
	}
	return repo.Create(ctx, b, cfg, keys, repo.Owner{Term: m.GetTerm(), Server: m.GetOwner()})
}

// absolute refuses a path that would depend on where this process was started.
func absolute(path string) error {
	if !filepath.IsAbs(path) {
		return errs.New(errs.Invalid, "repository.path", "repository path %q: it is not absolute", path).
			WithHint("give the whole path, from / on")
	}
	return nil
}

// open opens a repository and checks that it is the one that is meant.
func open(ctx context.Context, path string, id []byte) (*repo.Repository, error) {
	if err := absolute(path); err != nil {
		return nil, err
	}
	b, err := storage.OpenDir(path)
	if err != nil {
		return nil, err
	}
	r, err := repo.Open(ctx, b)
	if err != nil {
		return nil, err
	}
	if got := r.Config().ID; string(got[:]) != string(id) {
		_ = r.Close()
		return nil, errs.New(errs.Invalid, "repository.other", "open repository %s: another repository is there now", path).
			WithHint("check what is mounted at that path")
	}
	return r, nil
}

// about is a call about one repository.
type about interface {
	GetTerm() uint64
	GetRepositoryPath() string
	GetRepositoryId() []byte
}

// openFor opens the repository that a call is about, for the server that may ask; done ends its use.
func (s *Service) openFor(ctx context.Context, m about) (r *repo.Repository, done func(), err error) {
	return s.openAt(ctx, m.GetTerm(), m.GetRepositoryPath(), m.GetRepositoryId())
}

// openAt is openFor where the call says it in other words.
func (s *Service) openAt(ctx context.Context, term uint64, path string, id []byte) (r *repo.Repository, done func(), err error) {
	if err := s.node.CheckTerm(term); err != nil {
		return nil, nil, err
	}
	if r, err = open(ctx, path, id); err != nil {
		return nil, nil, err
	}
	return r, func() { _ = r.Close() }, nil // only read, or written durably by then
}

// InspectRepository counts what a repository holds.
func (s *Service) InspectRepository(ctx context.Context, req *connect.Request[keepwardv1.InspectRepositoryRequest]) (*connect.Response[keepwardv1.InspectRepositoryResponse], error) {
	r, done, err := s.openAt(ctx, req.Msg.GetTerm(), req.Msg.GetPath(), req.Msg.GetRepositoryId())
	if err != nil {
		return nil, err
	}
	defer done()
	st, err := r.Stats(ctx)
	if err != nil {
		return nil, err
	}
	proofs, err := proofState(ctx, r, req.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.InspectRepositoryResponse{
		SizeBytes: st.Size, FreeBytes: st.Free, Packs: st.Packs, Segments: st.Segments, Points: st.Points, Chunks: st.Chunks, Proof: proofs,
	}), nil
}

// FenceAttempt settles an attempt: either its point is there, or a tombstone is from now on.
// A mover that still works on it works for nothing and is stopped.
func (s *Service) FenceAttempt(ctx context.Context, req *connect.Request[keepwardv1.FenceAttemptRequest]) (*connect.Response[keepwardv1.FenceAttemptResponse], error) {
	m := req.Msg
	attempt, err := point.ParseAttempt(m.GetOrder().GetAttempt())
	if err != nil {
		return nil, err
	}
	r, done, err := s.openAt(ctx, m.GetOrder().GetTerm(), m.GetRepositoryPath(), m.GetRepositoryId())
	if err != nil {
		return nil, err
	}
	defer done()
	// A server that was replaced must not cut off what the new owner has ordered.
	if err := owned(ctx, r, "settle attempt "+attempt.String(), m.GetOrder().GetTerm(), m.GetOrder().GetOwner()); err != nil {
		return nil, err
	}
	settle := r.Fence
	if m.GetCommit() {
		settle = r.CommitCheckpoint
	}
	res := &keepwardv1.FenceAttemptResponse{}
	committed, err := settle(ctx, attempt, m.GetReason())
	if res.Committed = committed; err == nil && committed {
		res.Partial, err = r.IsPartial(ctx, attempt)
	}
	if err != nil {
		return nil, err
	}
	// A mover that has made the partial point itself ends without being told.
	if p := s.find(attempt.String()); p != nil && (!committed || m.GetCommit()) {
		s.stop(p, "the attempt was cut off: "+m.GetReason())
	}
	if !committed {
		_, err := r.LatestCheckpoint(ctx, attempt)
		if err != nil && errs.KindOf(err) != errs.NotFound {
			return nil, err
		}
		res.Checkpoint = err == nil
	}
	return connect.NewResponse(res), nil
}
