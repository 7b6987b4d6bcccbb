package manager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// hintUndelete says how a deleted point comes back.
const hintUndelete = "undelete it first: keepward point undelete %s"

// reasonMost bounds the reason of a mark: it is kept in the repository.
const reasonMost = 1000

// changePoints marks points as a user wants. First all are looked at, so that what can be
// refused is refused before anything is done.
func (m *Manager) changePoints(ctx context.Context, do action, req *keepwardv1.ChangePointsRequest) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
	if err := m.waitReady(ctx); err != nil {
		return nil, err
	}
	if err := m.holdMarks(ctx); err != nil {
		return nil, err
	}
	defer m.letMarks()
	points, change, err := m.toChange(ctx, do, req)
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.ChangePointsResponse{Points: points}
	for _, p := range points {
		if do.already(p) {
			res.Unchanged = append(res.Unchanged, p.GetId())
		}
	}
	how := mark{do: do, reason: cmp.Or(req.GetReason(), "by "+cmp.Or(m.user(ctx), bySelf)), now: time.Now()}
	if err := m.markAll(ctx, change, how); err != nil {
		return nil, err
	}
	for _, p := range change {
		m.log.Info("restore point marked", "action", how.do, "point", p.GetId(), "user", m.user(ctx), "reason", how.reason)
	}
	if err := m.explain(ctx, points); err != nil {
		return nil, err
	}
	return connect.NewResponse(res), nil
}

// toChange finds the points that are named, and those of them that are not yet as the action would make
// them. Nothing is done where one of them must not be changed.
func (m *Manager) toChange(ctx context.Context, do action, req *keepwardv1.ChangePointsRequest) (points, change []*keepwardv1.Point, err error) {
	if len(req.GetNames()) == 0 {
		return nil, nil, errs.New(errs.Invalid, "point.none", "%s restore points: none was named", do)
	}
	if len(req.GetReason()) > reasonMost {
		return nil, nil, errs.New(errs.Invalid, "point.reason", "%s restore points: the reason is longer than %d bytes", do, reasonMost)
	}
	if points, err = m.namedPoints(ctx, do, req.GetNames()); err != nil {
		return nil, nil, err
	}
	for _, p := range points {
		if do.already(p) {
			continue
		}
		if err := m.allowed(ctx, do, p); err != nil {
			return nil, nil, err
		}
		change = append(change, p)
	}
	return points, change, nil
}

// PointsToDelete are the points that a deletion would hide; it fails where the deletion would.
func (m *Manager) PointsToDelete(ctx context.Context, req *keepwardv1.ChangePointsRequest) ([]*keepwardv1.Point, error) {
	_, change, err := m.toChange(ctx, actionDelete, req)
	return change, err
}

// PointsToRelease are the points whose hold a release would end; it fails where the release would.
func (m *Manager) PointsToRelease(ctx context.Context, req *keepwardv1.ChangePointsRequest) ([]*keepwardv1.Point, error) {
	_, change, err := m.toChange(ctx, actionRelease, req)
	return change, err
}

// namedPoints finds the points of a list of ids and prefixes, each once.
func (m *Manager) namedPoints(ctx context.Context, do action, names []string) ([]*keepwardv1.Point, error) {
	var out []*keepwardv1.Point
	for _, name := range names {
		if !isPrefix(name) {
			return nil, errs.New(errs.Invalid, "point.name", "%s restore points: %q is no id", do, name).
				WithHint("name points by their ids here, or at least %d digits of them: keepward point list --deleted", shortestPrefix)
		}
		p, err := m.findAnyPoint(ctx, name, "")
		if err != nil {
			if errs.KindOf(err) == errs.NotFound && do == actionUndelete {
				return nil, errs.New(errs.NotFound, "point.unknown", "undelete restore point %s: there is none", name).
					WithHint("one whose grace time is over is purged by the next sweep, and gone for good")
			}
			return nil, err
		}
		if !slices.ContainsFunc(out, func(o *keepwardv1.Point) bool { return o.GetId() == p.GetId() }) {
			out = append(out, p)
		}
	}
	return out, nil
}

// already tells whether a point is as the action would make it. It is left so then, with the
// reason and the time that it has: who asks twice gets what was asked, and no failure.
func (do action) already(p *keepwardv1.Point) bool {
	switch do {
	case actionDelete:
		return p.GetDeleted() != nil
	case actionUndelete:
		return p.GetDeleted() == nil
	case actionHold:
		return p.GetHeld()
	}
	return !p.GetHeld()
}

// allowed refuses what must not be done to a point.
func (m *Manager) allowed(ctx context.Context, do action, p *keepwardv1.Point) error {
	id := p.GetId()
	switch {
	case do == actionDelete && p.GetHeld():
		return errs.New(errs.Denied, "point.held", "delete restore point %s: it is on hold: %s", id, p.GetHoldReason()).
			WithHint("release it first: keepward point release %s", id)
	case do == actionHold && p.GetDeleted() != nil:
		return errs.New(errs.Denied, "point.deleted", "hold restore point %s: it is deleted", id).WithHint(hintUndelete, id)
	case do == actionUndelete:
		return m.notPurging(ctx, p)
	}
	return nil
}

// notPurging refuses to undelete a point whose purge was ordered and may be under way.
func (m *Manager) notPurging(ctx context.Context, p *keepwardv1.Point) error {
	session, err := catalog.PurgedBy(ctx, m.deps.DB.Read(), p.GetId())
	if err != nil || session == 0 {
		return err
	}
	row, err := catalog.GetSession(ctx, m.deps.DB.Read(), session)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return err
	}
	if err != nil || row.Status.Final() {
		return nil // the repository tells whether it is still there
	}
	return errs.New(errs.Busy, "point.purging", "undelete restore point %s: its grace time is over, and session %d purges it", p.GetId(), session).
		WithHint("end the session with 'keepward session kill %d' and try again: what it has not purged yet comes back", session)
}

// markAll marks points, repository by repository. What fails does not undo what was done, and
// the error says both.
func (m *Manager) markAll(ctx context.Context, points []*keepwardv1.Point, how mark) error {
	byRepository := map[string][]*keepwardv1.Point{}
	for _, p := range points {
		byRepository[p.GetRepository()] = append(byRepository[p.GetRepository()], p)
	}
	var failures []error
	bad := 0
	for name, list := range byRepository {
		r, err := catalog.GetRepository(ctx, m.deps.DB.Read(), name)
		var failed map[string]error
		if err == nil {
			failed, err = m.markPoints(ctx, r, list, how)
		}
		if err != nil {
			failures, bad = append(failures, err), bad+len(list)
			continue
		}
		for _, err := range failed {
			failures, bad = append(failures, err), bad+1
		}
	}
	switch {
	case len(failures) == 0:
		return nil
	case len(points) == 1:
		return failures[0]
	}
	return errs.New(errs.KindOf(failures[0]), errs.CodeOf(failures[0]), "%s %d of %d restore points failed, the others are done: %w",
		how.do, bad, len(points), errors.Join(failures[:min(len(failures), 5)]...)).WithHint("%s", errs.HintOf(failures[0]))
}

// usable refuses a deleted point where one is needed to read from.
func usable(p *keepwardv1.Point) error {
	if p.GetDeleted() == nil {
		return nil
	}
	return errs.New(errs.NotFound, "point.deleted", "restore point %s is deleted: %s", p.GetId(), strings.TrimSpace(p.GetDeletedBecause())).
		WithHint(hintUndelete, p.GetId())
}

// Sweep starts a session that gives back the space of what no point needs, and answers its
// number.
func (m *Manager) Sweep(ctx context.Context, order *keepwardv1.SweepRepositoryRequest) (int64, error) {
	return m.maintain(ctx, job.Sweep, order.GetName(), order)
}

// retentionText is how a log line names a point.
func retentionText(p *keepwardv1.Point) string {
	return fmt.Sprintf("restore point %s of %s, %s, by job %s", p.GetId(), p.GetComputer(), p.GetTime().AsTime().Local().Format(time.DateTime), p.GetJob())
}
