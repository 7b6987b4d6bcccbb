package transport

import (
	"bytes"
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/point"
	"keepward/internal/wire"
)

// The actions of MarkPoints.
const (
	actionDelete   = "delete"
	actionUndelete = "undelete"
	actionHold     = "hold"
	actionRelease  = "release"
)

// MarkPoints puts or removes markers of points, and tells point by point how it went. Done twice
// it answers the same.
func (s *Service) MarkPoints(ctx context.Context, req *connect.Request[keepwardv1.MarkPointsRequest]) (*connect.Response[keepwardv1.MarkPointsResponse], error) {
	m := req.Msg
	r, done, err := s.openFor(ctx, m)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := owned(ctx, r, "mark restore points", m.GetTerm(), m.GetOwner()); err != nil {
		return nil, err
	}
	note := repo.Note{Time: m.GetTime().AsTime(), Reason: m.GetReason()}
	mark := map[string]func(context.Context, point.Attempt) error{
		actionDelete:   func(ctx context.Context, a point.Attempt) error { return r.MarkDeleted(ctx, a, note) },
		actionUndelete: r.Undelete,
		actionHold:     func(ctx context.Context, a point.Attempt) error { return r.Hold(ctx, a, note) },
		actionRelease:  r.Release,
	}[m.GetAction()]
	if mark == nil {
		return nil, errs.New(errs.Invalid, "point.action", "mark restore points: %q is no action", m.GetAction())
	}
	res := &keepwardv1.MarkPointsResponse{}
	for _, name := range m.GetPoints() {
		a, err := point.ParseAttempt(name)
		if err == nil {
			err = mark(ctx, a)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		res.Points = append(res.Points, &keepwardv1.PointMark{Point: name, Failure: wire.ToFailure(err, "transport")})
	}
	s.log.Info("restore points marked", "repository", m.GetRepositoryPath(), "action", m.GetAction(), "points", len(m.GetPoints()), "reason", m.GetReason())
	return connect.NewResponse(res), nil
}

// owned refuses a server that was replaced as the owner of a repository, or is a clone of it:
// only one may decide what is deleted, and which attempt is cut off. Of an owner that is damaged
// only the term counts.
func owned(ctx context.Context, r *repo.Repository, what string, term uint64, server []byte) error {
	owner, err := r.Owner(ctx)
	if errs.KindOf(err) == errs.NotFound {
		return nil
	}
	if err == nil && (owner.Term > term || owner.Term == term && len(owner.Server) > 0 && !bytes.Equal(owner.Server, server)) {
		err = errs.New(errs.Denied, "repository.owner", "%s in %s: another server owns it, by term %d; the order is of term %d", what, r.Backend().Location(), owner.Term, term).
			WithHint("only one server may decide about a repository; to make this one the owner: keepward repository take-over NAME")
	}
	return err
}

// ListMarkers answers which points there are, by name, and what marks them.
func (s *Service) ListMarkers(ctx context.Context, req *connect.Request[keepwardv1.ListMarkersRequest]) (*connect.Response[keepwardv1.ListMarkersResponse], error) {
	m := req.Msg
	r, done, err := s.openFor(ctx, m)
	if err != nil {
		return nil, err
	}
	defer done()
	marked, err := markersOf(ctx, r)
	if err != nil {
		return nil, err
	}
	// Names last: a point that is purged meanwhile is then not listed, whatever its markers were.
	names, err := r.PointNames(ctx)
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.ListMarkersResponse{}
	for _, a := range names {
		res.Names = append(res.Names, a.String())
		if p := marked[a]; p != nil {
			res.Marked = append(res.Marked, p)
		}
	}
	return connect.NewResponse(res), nil
}

// markersOf are the markers of all points. One that cannot be read has effect all the same.
func markersOf(ctx context.Context, r *repo.Repository) (map[point.Attempt]*keepwardv1.PointMarkers, error) {
	out := map[point.Attempt]*keepwardv1.PointMarkers{}
	for m, err := range r.Markers(ctx) {
		if m.Attempt == (point.Attempt{}) && err != nil {
			if k := errs.KindOf(err); k == errs.Corrupt || k == errs.Invalid {
				continue // a name that is none
			}
			return nil, err
		}
		reason, at := m.Reason, timestamppb.New(m.Time)
		if err != nil {
			reason, at = "its marker cannot be read: "+err.Error(), nil
		}
		p := out[m.Attempt]
		if p == nil {
			p = &keepwardv1.PointMarkers{Point: m.Attempt.String()}
			out[m.Attempt] = p
		}
		if m.Kind == ledger.Held {
			p.Held, p.HoldReason = true, reason
		} else {
			p.Deleted, p.DeletedAt, p.DeletedBecause = true, at, reason
		}
	}
	return out, nil
}
