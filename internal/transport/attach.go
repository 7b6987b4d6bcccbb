package transport

import (
	"cmp"
	"context"
	"math"
	"path/filepath"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/point"
	"keepward/internal/storage"
)

// pointsPerAnswer bounds a page of points: with the largest of them it stays below what a
// message may hold, with the usual ones it saves calls.
const (
	pointsPerAnswer = 2000
	bytesPerAnswer  = 2 << 20
)

// ReadRepository answers what a server needs to take over a repository it does not know.
func (s *Service) ReadRepository(ctx context.Context, req *connect.Request[keepwardv1.ReadRepositoryRequest]) (*connect.Response[keepwardv1.ReadRepositoryResponse], error) {
	path, err := filepath.EvalSymlinks(req.Msg.GetPath())
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "repository.path", "look for a repository at %s: %w", req.Msg.GetPath(), err).
			WithHint("name the directory that holds keepward.conf, on the host of the transport service")
	}
	b, err := storage.OpenDir(path)
	if err != nil {
		return nil, err
	}
	r, err := repo.Open(ctx, b)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	owner, err := r.Owner(ctx)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return nil, err
	}
	keys, err := r.KeyObjects(ctx)
	if err != nil {
		return nil, err
	}
	epoch, err := r.Epoch(ctx)
	if err != nil {
		return nil, err
	}
	cfg := r.Config()
	res := &keepwardv1.ReadRepositoryResponse{
		CanonicalPath: path, Configuration: cfg.Encode(), OwnerTerm: owner.Term, Owner: owner.Server, RepositoryId: cfg.ID[:],
		Epoch: uint32(epoch),
	}
	for _, k := range keys {
		res.Keys = append(res.Keys, &keepwardv1.KeyObject{Name: k.Name, Content: k.Content})
	}
	return connect.NewResponse(res), nil
}

// MeasureRepository adds up what lies in a repository.
func (s *Service) MeasureRepository(ctx context.Context, req *connect.Request[keepwardv1.MeasureRepositoryRequest]) (*connect.Response[keepwardv1.MeasureRepositoryResponse], error) {
	m := req.Msg
	r, done, err := s.openFor(ctx, m)
	if err != nil {
		return nil, err
	}
	defer done()
	u, err := r.Usage(ctx, m.GetTime().AsTime())
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.MeasureRepositoryResponse{
		ParityPacks: u.ParityPacks, ParityBytes: u.ParityBytes, SmallPacks: u.SmallPacks, Segments: u.Segments, SegmentBytes: u.SegmentBytes, Rows: u.Rows,
	}
	for owner, o := range u.Owners {
		out := &keepwardv1.OwnerUse{Packs: o.Packs, DataBytes: o.DataBytes, MetadataBytes: o.MetadataBytes}
		if owner != ([16]byte{}) {
			out.Owner = owner[:]
		}
		res.Owners = append(res.Owners, out)
	}
	for _, a := range u.Ages {
		age := &keepwardv1.ProofAge{Never: a.Never, Packs: a.Packs, Bytes: a.Bytes}
		if a.Within > 0 {
			age.Within = durationpb.New(a.Within)
		}
		res.Ages = append(res.Ages, age)
	}
	return connect.NewResponse(res), nil
}

// ChangeKeys puts and removes what opens a repository.
func (s *Service) ChangeKeys(ctx context.Context, req *connect.Request[keepwardv1.ChangeKeysRequest]) (*connect.Response[keepwardv1.ChangeKeysResponse], error) {
	m := req.Msg
	r, done, err := s.openFor(ctx, m)
	if err != nil {
		return nil, err
	}
	defer done()
	if k := m.GetPut(); k != nil {
		if err := r.PutKey(ctx, repo.KeyObject{Name: k.GetName(), Content: k.GetContent()}); err != nil {
			return nil, err
		}
	}
	if m.GetEpoch() > 0 {
		if m.GetEpoch() > math.MaxUint16 {
			return nil, errs.New(errs.Invalid, "epoch.bounds", "begin epoch %d: there are %d at most", m.GetEpoch(), math.MaxUint16)
		}
		if err := r.PutEpoch(ctx, uint16(m.GetEpoch())); err != nil && errs.KindOf(err) != errs.Exists {
			return nil, err
		}
	}
	for _, name := range m.GetRemove() {
		if err := r.RemoveKey(ctx, name); err != nil {
			return nil, err
		}
	}
	return connect.NewResponse(&keepwardv1.ChangeKeysResponse{}), nil
}

// ClaimRepository puts the server's term, and answers who owns the repository then.
func (s *Service) ClaimRepository(ctx context.Context, req *connect.Request[keepwardv1.ClaimRepositoryRequest]) (*connect.Response[keepwardv1.ClaimRepositoryResponse], error) {
	m := req.Msg
	r, done, err := s.openFor(ctx, m)
	if err != nil {
		return nil, err
	}
	defer done()
	owner, err := r.Claim(ctx, repo.Owner{Term: m.GetTerm(), Server: m.GetOwner()})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ClaimRepositoryResponse{Term: owner.Term, Owner: owner.Server}), nil
}

// ListPoints answers every point and tombstone by listing, a page at a time.
func (s *Service) ListPoints(ctx context.Context, req *connect.Request[keepwardv1.TransportListPointsRequest]) (*connect.Response[keepwardv1.TransportListPointsResponse], error) {
	m := req.Msg
	r, done, err := s.openFor(ctx, m)
	if err != nil {
		return nil, err
	}
	defer done()
	marks, err := marksOf(ctx, r)
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.TransportListPointsResponse{}
	limit, bytes := int(cmp.Or(m.GetLimit(), pointsPerAnswer)), 0
	for o, err := range r.PointsAfter(ctx, m.GetAfter()) {
		if err != nil && o.Name == "" {
			return nil, err
		}
		if err != nil {
			s.log.Warn("a restore point is unreadable", "repository", m.GetRepositoryPath(), "object", o.Name, "error", err)
			res.Unreadable = append(res.Unreadable, o.Name)
			continue
		}
		if len(res.Points) >= limit || bytes > bytesPerAnswer {
			res.More = true
			break
		}
		bytes += len(o.Content)
		res.Points = append(res.Points, pointObject(o, marks[o.Attempt]))
	}
	return connect.NewResponse(res), nil
}

// marksOf are the markers of all points. One that cannot be read counts as put just now: a
// point that is hidden without a time has all of its grace before it.
func marksOf(ctx context.Context, r *repo.Repository) (map[point.Attempt][]repo.Marker, error) {
	marks := map[point.Attempt][]repo.Marker{}
	for m, err := range r.Markers(ctx) {
		if kind := errs.KindOf(err); err != nil && (kind != errs.Corrupt || m.Attempt == point.Attempt{}) {
			return nil, err
		}
		if err != nil {
			m.Note = repo.Note{Time: time.Now(), Reason: "its marker cannot be read"}
		}
		marks[m.Attempt] = append(marks[m.Attempt], m)
	}
	return marks, nil
}

func pointObject(o repo.Object, marks []repo.Marker) *keepwardv1.PointObject {
	out := &keepwardv1.PointObject{Id: o.Attempt.String(), Content: o.Content}
	for _, m := range marks {
		if m.Kind == ledger.Held {
			out.Held, out.HoldReason = timestamppb.New(m.Time), m.Reason
		} else {
			out.Deleted, out.DeletedBecause = timestamppb.New(m.Time), m.Reason
		}
	}
	return out
}
