package manager

import (
	"cmp"
	"context"
	"slices"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/schedule"
)

const (
	hoursShown    = 24
	hoursMost     = 7 * 24
	hourRuns      = 10
	hourRunsMost  = 1000
	durationsSeen = 5
)

// ListHours lists the hours before and behind now.
func (m *Manager) ListHours(ctx context.Context, req *keepwardv1.ListHoursRequest) (*keepwardv1.ListHoursResponse, error) {
	back, ahead, runs := cmp.Or(req.GetBack(), hoursShown), cmp.Or(req.GetAhead(), hoursShown), cmp.Or(req.GetRuns(), hourRuns)
	if min(back, ahead, runs) < 1 || max(back, ahead) > hoursMost || runs > hourRunsMost {
		return nil, errs.New(errs.Invalid, "status.hours", "list hours: %d back, %d ahead and %d runs make no sense", req.GetBack(), req.GetAhead(), req.GetRuns()).
			WithHint("1 to %d hours, and 1 to %d runs", hoursMost, hourRunsMost)
	}
	now := time.Now()
	since, until := now.Add(-time.Duration(back)*time.Hour), now.Add(time.Duration(ahead)*time.Hour)
	out := &keepwardv1.ListHoursResponse{}
	first := since.Truncate(time.Hour)
	for at := first; !at.After(until); at = at.Add(time.Hour) {
		out.Hours = append(out.Hours, &keepwardv1.Hour{Start: stamp(at)})
	}
	hourOf := func(t time.Time) *keepwardv1.Hour {
		return out.Hours[min(max(0, int(t.Sub(first)/time.Hour)), len(out.Hours)-1)] // a clock may have been set
	}
	ended, err := catalog.Sessions(ctx, m.deps.DB.Read(), catalog.SessionFilter{EndedAfter: since, Within: within(ctx)})
	if err != nil {
		return nil, err
	}
	for _, s := range ended {
		switch h := hourOf(s.Ended); s.Status.Result() {
		case job.ResultSuccess:
			h.Success++
		case job.ResultWarning:
			h.Warning++
		case job.ResultFailed:
			h.Failed++
		}
	}
	coming, err := m.comingRuns(ctx, now, until)
	if err != nil {
		return nil, err
	}
	for _, r := range coming {
		hourOf(r.GetRun().GetTime().AsTime()).Coming++
	}
	out.Found, out.Runs = int64(len(coming)), coming[:min(int(runs), len(coming))]
	took := map[string]int64{}
	for _, r := range out.Runs {
		if _, known := took[r.GetJob()]; !known {
			if took[r.GetJob()], err = m.usualSeconds(ctx, r.GetJob()); err != nil {
				return nil, err
			}
		}
		r.AboutSeconds = took[r.GetJob()]
	}
	return out, nil
}

// comingRuns are all runs in (now, until] of jobs that run at moments, the next one first. Of a caller
// who may not know of all computers they are those of jobs that lie wholly within what it may know of.
func (m *Manager) comingRuns(ctx context.Context, now, until time.Time) (out []*keepwardv1.ComingRun, err error) {
	jobs, err := m.expandedJobs(ctx)
	if err != nil {
		return nil, err
	}
	zones, err := m.zonesFor(ctx, jobs)
	if err != nil {
		return nil, err
	}
	only := within(ctx)
	byName := make(map[string]*keepwardv1.Job, len(jobs))
	for _, j := range jobs {
		byName[j.GetName()] = j
	}
	named := func(name string) (*keepwardv1.Job, error) { return byName[name], nil }
	for _, j := range jobs {
		if only != nil && !allOf(j.GetComputers(), only) {
			continue
		}
		s, ok := scheduleOf(j)
		if !ok {
			continue
		}
		var runs []*keepwardv1.NextRun
		switch s.Kind() {
		case schedule.Calendar:
			runs = calendarRunsUntil(j, s, zones, now, until)
		case schedule.AfterJob:
			if root, rule, err := rootOf(j, named); err != nil {
				return nil, err
			} else if root != nil {
				runs = asFollower(root.GetName(), calendarRunsUntil(root, rule, zones, now, until))
			}
		case schedule.Continuously:
			if runs, _, err = m.nextContinuous(ctx, j, s, now); err != nil {
				return nil, err
			}
			runs = slices.DeleteFunc(runs, func(r *keepwardv1.NextRun) bool { return r.GetTime().AsTime().After(until) })
		}
		for _, r := range runs {
			out = append(out, &keepwardv1.ComingRun{Job: j.GetName(), Type: j.GetType(), Run: r})
		}
	}
	slices.SortStableFunc(out, func(a, b *keepwardv1.ComingRun) int {
		return cmp.Or(a.GetRun().GetTime().AsTime().Compare(b.GetRun().GetTime().AsTime()), cmp.Compare(a.GetJob(), b.GetJob()))
	})
	return out, nil
}

func allOf(names, in []string) bool {
	return len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(in, n) })
}

// usualSeconds is how long sessions of a job take.
func (m *Manager) usualSeconds(ctx context.Context, name string) (int64, error) {
	ended, err := catalog.EndedOfJob(ctx, m.deps.DB.Read(), name, durationsSeen)
	if err != nil {
		return 0, err
	}
	var took []time.Duration
	for _, s := range ended {
		if s.Status.LeftResult() && !s.Started.IsZero() {
			took = append(took, s.Ended.Sub(s.Started))
		}
	}
	if len(took) == 0 {
		return 0, nil
	}
	slices.Sort(took)
	return int64(max(took[len(took)/2], time.Second) / time.Second), nil
}
