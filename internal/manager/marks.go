package manager

import (
	"context"
	"database/sql"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// action is what may be done to the markers of a point; the words go over the wire.
type action string

const (
	actionDelete   action = "delete"
	actionUndelete action = "undelete"
	actionHold     action = "hold"
	actionRelease  action = "release"
)

// marksAtOnce bounds one call to a transport: each marker is a few durable writes.
const marksAtOnce = 100

// mark is an action on points of one repository. The repository has the first word, and the
// catalog follows it; what a death between the two leaves is put right by reconcile.
type mark struct {
	do     action
	reason string
	now    time.Time
}

// holdMarks takes the right to change markers. Who has it may also order purges, so that no
// point is undeleted while its purge is on the way.
func (m *Manager) holdMarks(ctx context.Context) error {
	select {
	case m.marks <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errs.New(errs.Busy, "point.marking", "mark restore points: others are being marked: %w", ctx.Err()).WithHint("try again in a moment")
	}
}

func (m *Manager) letMarks() { <-m.marks }

// markPoints marks points of one repository, and answers which could not be marked and why. The
// caller holds the marks.
func (m *Manager) markPoints(ctx context.Context, r catalog.Repository, points []*keepwardv1.Point, how mark) (map[string]error, error) {
	failed := map[string]error{}
	for len(points) > 0 {
		n := min(len(points), marksAtOnce)
		if err := m.markSome(ctx, r, points[:n], how, failed); err != nil {
			return failed, err
		}
		points = points[n:]
	}
	return failed, nil
}

func (m *Manager) markSome(ctx context.Context, r catalog.Repository, points []*keepwardv1.Point, how mark, failed map[string]error) error {
	t, err := m.transport(r.Transport)
	if err != nil {
		return err
	}
	req := &keepwardv1.MarkPointsRequest{
		RepositoryPath: r.Path, RepositoryId: r.ID[:], Term: m.deps.Term(), Action: string(how.do), Reason: how.reason, Time: timestamppb.New(how.now),
		Owner: m.deps.Owner,
	}
	for _, p := range points {
		req.Points = append(req.Points, p.GetId())
	}
	callCtx, cancel := context.WithTimeout(ctx, m.set.Order)
	defer cancel()
	res, err := t.MarkPoints(callCtx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	answers := make(map[string]error, len(points))
	for _, a := range res.Msg.GetPoints() {
		answers[a.GetPoint()] = wire.FromFailure(a.GetFailure())
	}
	// What is marked is written down even when the caller hangs up.
	return m.deps.DB.Write(context.WithoutCancel(ctx), func(tx *sql.Tx) error {
		for _, p := range points {
			err, answered := answers[p.GetId()]
			if !answered {
				err = errs.New(errs.Internal, "point.unanswered", "mark restore point %s: transport %s did not say how it went", p.GetId(), r.Transport)
			}
			if err != nil {
				failed[p.GetId()] = err
				continue
			}
			how.apply(p)
			if err := catalog.SetMarker(ctx, tx, p.GetId(), markerOf(p)); err != nil {
				return err
			}
		}
		return nil
	})
}

// apply puts what was done into the point.
func (how mark) apply(p *keepwardv1.Point) {
	switch how.do {
	case actionDelete:
		p.Deleted, p.DeletedBecause = timestamppb.New(how.now), how.reason
	case actionUndelete:
		p.Deleted, p.DeletedBecause = nil, ""
	case actionHold:
		p.Held, p.HoldReason = true, how.reason
	case actionRelease:
		p.Held, p.HoldReason = false, ""
	}
}

func markerOf(p *keepwardv1.Point) catalog.Marker {
	mk := catalog.Marker{DeletedBecause: p.GetDeletedBecause(), Held: p.GetHeld(), HoldReason: p.GetHoldReason()}
	if p.GetDeleted() != nil {
		mk.Deleted = p.GetDeleted().AsTime()
	}
	return mk
}

// reconcile brings the catalog's markers in line with the repository's, which count, and forgets
// points whose purge was ordered and which are gone. The caller holds the marks.
func (m *Manager) reconcile(ctx context.Context, r catalog.Repository) error {
	t, err := m.transport(r.Transport)
	if err != nil {
		return err
	}
	callCtx, cancel := context.WithTimeout(ctx, m.set.Order)
	defer cancel()
	res, err := t.ListMarkers(callCtx, connect.NewRequest(&keepwardv1.ListMarkersRequest{
		RepositoryPath: r.Path, RepositoryId: r.ID[:], Term: m.deps.Term(),
	}))
	if err != nil {
		return err
	}
	points, err := catalog.Points(ctx, m.deps.DB.Read(), catalog.PointFilter{Repository: r.Name, Deleted: true, Bare: true})
	if err != nil {
		return err
	}
	purged, err := catalog.PointsToPurge(ctx, m.deps.DB.Read(), r.Name)
	if err != nil {
		return err
	}
	return m.deps.DB.Write(ctx, func(tx *sql.Tx) error { return m.follow(ctx, tx, res.Msg, points, purged) })
}

// follow writes what differs between the catalog and a repository.
func (m *Manager) follow(ctx context.Context, tx *sql.Tx, now *keepwardv1.ListMarkersResponse, points []*keepwardv1.Point, purged []string) error {
	there := make(map[string]bool, len(now.GetNames()))
	for _, name := range now.GetNames() {
		there[name] = true
	}
	marked := make(map[string]*keepwardv1.PointMarkers, len(now.GetMarked()))
	for _, p := range now.GetMarked() {
		marked[p.GetPoint()] = p
	}
	for _, p := range points {
		want := wantedMarker(p, marked[p.GetId()])
		if !there[p.GetId()] || want == markerOf(p) {
			continue
		}
		m.log.Info("markers of a restore point taken over from its repository", "point", p.GetId(), "deleted", !want.Deleted.IsZero(), "held", want.Held)
		if err := catalog.SetMarker(ctx, tx, p.GetId(), want); err != nil {
			return err
		}
	}
	for _, id := range purged {
		var err error
		if there[id] {
			err = m.unpurge(ctx, tx, id)
		} else {
			err = catalog.ForgetPoint(ctx, tx, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wantedMarker is what the catalog should say of a point. A marker that cannot be read keeps the
// time that the catalog knows, else it counts from now on.
func wantedMarker(p *keepwardv1.Point, now *keepwardv1.PointMarkers) catalog.Marker {
	mk := catalog.Marker{Held: now.GetHeld(), HoldReason: now.GetHoldReason()}
	if !now.GetDeleted() {
		return mk
	}
	mk.DeletedBecause = now.GetDeletedBecause()
	switch {
	case now.GetDeletedAt() != nil:
		mk.Deleted = now.GetDeletedAt().AsTime()
	case p.GetDeleted() != nil:
		mk.Deleted, mk.DeletedBecause = p.GetDeleted().AsTime(), p.GetDeletedBecause()
	default:
		mk.Deleted = time.Now().UTC()
	}
	return mk
}

// unpurge takes back that a purge was ordered, if its session is over.
func (m *Manager) unpurge(ctx context.Context, tx *sql.Tx, id string) error {
	session, err := catalog.PurgedBy(ctx, tx, id)
	if err != nil || session == 0 {
		return err
	}
	row, err := catalog.GetSession(ctx, tx, session)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return err
	}
	if err == nil && !row.Status.Final() {
		return nil
	}
	return catalog.SetPurgedBy(ctx, tx, id, 0)
}

// Reconcile takes over the markers of a repository's points, as after its points were read into
// an empty catalog.
func (m *Manager) Reconcile(ctx context.Context, repository string) error {
	r, err := catalog.GetRepository(ctx, m.deps.DB.Read(), repository)
	if err != nil {
		return err
	}
	if err := m.holdMarks(ctx); err != nil {
		return err
	}
	defer m.letMarks()
	return m.reconcile(ctx, r)
}

// reconcileAll does so for every repository of a transport that has come online.
func (m *Manager) reconcileAll(ctx context.Context, transport string) {
	repositories, err := catalog.Repositories(ctx, m.deps.DB.Read())
	if err == nil {
		if err = m.holdMarks(ctx); err == nil {
			defer m.letMarks()
		}
	}
	for _, r := range repositories {
		if err == nil && r.Transport == transport {
			if err := m.reconcile(ctx, r); err != nil && ctx.Err() == nil {
				m.log.Warn("markers of restore points not compared", "repository", r.Name, "error", err)
			}
		}
	}
	if err != nil && ctx.Err() == nil {
		m.log.Error("repositories not read", "transport", transport, "error", err)
	}
}
