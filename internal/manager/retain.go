package manager

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/repo/point"
	"keepward/internal/retention"
)

// judged is a point with the verdict on it.
type judged struct {
	point   *keepwardv1.Point
	verdict retention.Verdict
}

// scope says which points are decided on; zero fields take all. Whatever it says, a decision
// takes all points into account that one job has made of one computer.
type scope struct {
	computer, job string
	// pairs, if set, are those to decide on, each asked for by itself.
	pairs []catalog.Pair
	// want is tried in place of the job's own retention.
	want *keepwardv1.Retention
	// bare: nobody asks for the points' counters.
	bare bool
}

// retained decides on all points of a scope that are not deleted. Points of a job that is gone
// are kept, as those of a job without retention are: nobody has said otherwise.
func (m *Manager) retained(ctx context.Context, in scope, now time.Time) ([]judged, error) {
	points, err := m.pointsIn(ctx, in)
	if err != nil || len(points) == 0 {
		return nil, err
	}
	rules, err := m.rules(ctx, in)
	if err != nil {
		return nil, err
	}
	groups := map[catalog.Pair][]*keepwardv1.Point{}
	for _, p := range points {
		pair := catalog.Pair{Computer: p.GetComputer(), Job: p.GetJob()}
		groups[pair] = append(groups[pair], p)
	}
	out := make([]judged, 0, len(points))
	for pair, list := range groups {
		out = append(out, rules.judge(pair, list, now)...)
	}
	slices.SortFunc(out, func(a, b judged) int {
		p, q := a.point, b.point
		return cmp.Or(q.GetTime().AsTime().Compare(p.GetTime().AsTime()), cmp.Compare(q.GetSession(), p.GetSession()), cmp.Compare(p.GetId(), q.GetId()))
	})
	return out, nil
}

// pointsIn are the points of a scope that are not deleted.
func (m *Manager) pointsIn(ctx context.Context, in scope) ([]*keepwardv1.Point, error) {
	q := m.deps.DB.Read()
	if in.pairs == nil {
		return catalog.Points(ctx, q, catalog.PointFilter{Computer: in.computer, Job: in.job, Bare: in.bare})
	}
	var out []*keepwardv1.Point
	for _, one := range in.pairs {
		points, err := catalog.Points(ctx, q, catalog.PointFilter{Pair: &one, Bare: in.bare})
		if err != nil {
			return nil, err
		}
		out = append(out, points...)
	}
	return out, nil
}

// rules is everything that decides on points, as it is now.
type rules struct {
	policies map[string]retention.Policy // by job
	upkeep   map[string]catalog.Upkeep   // by repository
	left     map[catalog.Pair]time.Time
	uses     map[string]string // by point
}

func (m *Manager) rules(ctx context.Context, in scope) (*rules, error) {
	q := m.deps.DB.Read()
	r := &rules{policies: map[string]retention.Policy{}, upkeep: map[string]catalog.Upkeep{}, uses: map[string]string{}}
	jobs, err := m.jobsIn(ctx, in)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		r.policies[j.GetName()] = config.PolicyOf(j.GetRetention())
	}
	if in.want != nil {
		r.policies[in.job] = config.PolicyOf(in.want)
	}
	repositories, err := catalog.Repositories(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, one := range repositories {
		r.upkeep[one.Name] = one.Upkeep
	}
	uses, err := catalog.Uses(ctx, q, "")
	if err != nil {
		return nil, err
	}
	for _, u := range uses {
		r.uses[u.ID] = useText(u)
	}
	r.left, err = catalog.Unprotected(ctx, q)
	return r, err
}

// jobsIn are the jobs of a scope that there are.
func (m *Manager) jobsIn(ctx context.Context, in scope) ([]*keepwardv1.Job, error) {
	if in.pairs == nil {
		return catalog.Jobs(ctx, m.deps.DB.Read())
	}
	names := map[string]bool{}
	for _, one := range in.pairs {
		names[one.Job] = true
	}
	return catalog.JobsNamed(ctx, m.deps.DB.Read(), slices.Sorted(maps.Keys(names)))
}

func useText(u catalog.Use) string {
	if u.Parent {
		return fmt.Sprintf("parent of running session %d", u.Session)
	}
	return fmt.Sprintf("needed by running session %d", u.Session)
}

func (r *rules) judge(pair catalog.Pair, list []*keepwardv1.Point, now time.Time) []judged {
	byID := make(map[string]*keepwardv1.Point, len(list))
	points := make([]retention.Point, 0, len(list))
	for _, p := range list {
		byID[p.GetId()] = p
		points = append(points, retention.Point{
			ID: p.GetId(), Time: p.GetTime().AsTime(), Partial: p.GetPartial(), Faulty: p.GetCompleteness() == point.WithErrors.String(),
			Held: p.GetHeld(), HoldReason: p.GetHoldReason(), Pinned: r.uses[p.GetId()],
		})
	}
	since, left := r.left[pair]
	var out []judged
	for _, v := range r.policies[pair.Job].Evaluate(points, now, time.Local) {
		p := byID[v.Point.ID]
		if left {
			v.Leave(since, r.upkeep[p.GetRepository()].UnprotectedAfter, now)
		}
		out = append(out, judged{p, v})
	}
	return out
}

// pairsMost is up to how many pairs of computer and job are decided on one by one: with more it is
// quicker to read all points there are.
const pairsMost = 1000

// explain puts into points why they are kept and until when, and when those that are deleted are
// gone for good.
func (m *Manager) explain(ctx context.Context, points []*keepwardv1.Point) error {
	if len(points) == 0 {
		return nil
	}
	in := scope{bare: true}
	seen := map[catalog.Pair]bool{}
	for _, p := range points {
		pair := catalog.Pair{Computer: p.GetComputer(), Job: p.GetJob()}
		if !seen[pair] {
			seen[pair] = true
			in.pairs = append(in.pairs, pair)
		}
	}
	if len(in.pairs) > pairsMost {
		in.pairs = nil
	}
	list, err := m.retained(ctx, in, time.Now())
	if err != nil {
		return err
	}
	verdicts := make(map[string]retention.Verdict, len(list))
	for _, j := range list {
		verdicts[j.point.GetId()] = j.verdict
	}
	repositories, err := catalog.Repositories(ctx, m.deps.DB.Read())
	if err != nil {
		return err
	}
	grace := map[string]time.Duration{}
	for _, r := range repositories {
		grace[r.Name] = r.Upkeep.Grace()
	}
	for _, p := range points {
		if p.GetDeleted() != nil {
			p.PurgeAfter = timestamppb.New(p.GetDeleted().AsTime().Add(grace[p.GetRepository()]))
			continue
		}
		say(p, verdicts[p.GetId()])
	}
	return nil
}

// say puts a verdict into the point's fields. One that is to go at the next run is said to be
// kept until now.
func say(p *keepwardv1.Point, v retention.Verdict) {
	p.KeptBecause = v.Because
	switch {
	case v.Keep:
		p.KeptUntil = stamp(v.Until)
	case len(v.Because) > 0:
		p.KeptBecause = []string{"until the next retention run: " + v.Because[0]}
		p.KeptUntil = timestamppb.Now()
	}
}

// PreviewRetention says what retention would do to the points of a job now; by want, if set, in
// place of the job's own.
func (m *Manager) PreviewRetention(ctx context.Context, jobName string, want *keepwardv1.Retention) (*keepwardv1.PreviewRetentionResponse, error) {
	if _, err := catalog.GetJob(ctx, m.deps.DB.Read(), jobName); err != nil {
		return nil, err
	}
	if refusals := config.PolicyOf(want).Check(); len(refusals) > 0 {
		return &keepwardv1.PreviewRetentionResponse{Refused: refusals[0].Err.Error()}, nil
	}
	now := time.Now()
	list, err := m.retained(ctx, scope{job: jobName, want: want}, now)
	if err != nil {
		return nil, err
	}
	out := &keepwardv1.PreviewRetentionResponse{}
	for _, j := range list {
		if j.verdict.Keep {
			out.Kept++
			say(j.point, j.verdict)
		} else {
			out.Deleted++
			out.FreedBytes += j.point.GetCounters().GetStoredBytes()
			j.point.Deleted, j.point.DeletedBecause = timestamppb.New(now), j.verdict.Because[0]
		}
		out.Points = append(out.Points, j.point)
	}
	return out, nil
}
