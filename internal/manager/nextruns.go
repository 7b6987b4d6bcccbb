package manager

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/schedule"
)

// NextRuns are up to n coming runs of a job by its schedule, and in words when it runs where that
// has no moments of its own.
func (m *Manager) NextRuns(ctx context.Context, j *keepwardv1.Job, n int) ([]*keepwardv1.NextRun, string, error) {
	s, ok := scheduleOf(j)
	if !ok || n <= 0 {
		return nil, "", nil
	}
	j, err := m.expandedJob(ctx, j)
	if err != nil {
		return nil, "", err
	}
	now := time.Now()
	switch s.Kind() {
	case schedule.AfterJob:
		return m.nextAfter(ctx, j, s, n, now)
	case schedule.Continuously:
		return m.nextContinuous(ctx, j, s, now)
	case schedule.WhenOnline:
		return nil, fmt.Sprintf("when one of its computers comes online, at most every %s for each", hours(s.Gap())), nil
	}
	zones, err := m.zonesFor(ctx, []*keepwardv1.Job{j})
	if err != nil {
		return nil, "", err
	}
	return calendarRuns(j, s, zones, n, now), "", nil
}

// calendarRuns are the n coming runs of a job whose schedule is a calendar.
func calendarRuns(j *keepwardv1.Job, s schedule.Schedule, zones map[string]*time.Location, n int, now time.Time) []*keepwardv1.NextRun {
	out := runsOf(j, s, zones, func(s schedule.Schedule) []time.Time { return s.NextN(now, n) })
	return out[:min(n, len(out))]
}

// calendarRunsUntil are those up to a moment.
func calendarRunsUntil(j *keepwardv1.Job, s schedule.Schedule, zones map[string]*time.Location, now, until time.Time) []*keepwardv1.NextRun {
	return runsOf(j, s, zones, func(s schedule.Schedule) []time.Time { return s.Between(now, until) })
}

// runsOf are the runs of a job at the moments of its schedule, in each of its zones.
func runsOf(j *keepwardv1.Job, s schedule.Schedule, zones map[string]*time.Location, moments func(schedule.Schedule) []time.Time) (out []*keepwardv1.NextRun) {
	for _, part := range partsOf(j, s, zones) {
		computers := part.computers
		if computers == nil {
			computers = j.GetComputers()
		}
		last := time.Duration(0)
		for _, c := range computers {
			last = max(last, spread(j.GetName(), c, j.GetJitter().AsDuration()))
		}
		for _, at := range moments(part.schedule) {
			r := &keepwardv1.NextRun{Time: timestamppb.New(at), Computers: part.computers}
			if last > 0 {
				r.Until = timestamppb.New(at.Add(last))
			}
			if s.PerComputer() {
				r.Zone = part.schedule.Zone().String()
			}
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b *keepwardv1.NextRun) int { return a.GetTime().AsTime().Compare(b.GetTime().AsTime()) })
	return out
}

// rootOf follows a chain from a job to the one that begins it, and its calendar; nil: that has none.
// named finds a job by its name, nil if there is none.
func rootOf(j *keepwardv1.Job, named func(string) (*keepwardv1.Job, error)) (_ *keepwardv1.Job, _ schedule.Schedule, err error) {
	for seen := map[string]bool{}; j != nil && !seen[j.GetName()]; {
		seen[j.GetName()] = true
		rule, _ := scheduleOf(j)
		switch rule.Kind() {
		case schedule.Calendar:
			return j, rule, nil
		case schedule.AfterJob:
			name, _ := rule.After()
			if j, err = named(name); err != nil {
				return nil, rule, err
			}
		default:
			return nil, rule, nil
		}
	}
	return nil, schedule.Schedule{}, nil
}

// asFollower are runs of a job as those of one that follows it.
func asFollower(root string, runs []*keepwardv1.NextRun) []*keepwardv1.NextRun {
	for _, r := range runs {
		r.After, r.Until, r.Computers = root, nil, nil
	}
	return runs
}

// nextAfter follows a chain to the job that begins it.
func (m *Manager) nextAfter(ctx context.Context, j *keepwardv1.Job, s schedule.Schedule, n int, now time.Time) ([]*keepwardv1.NextRun, string, error) {
	after, completed := s.After()
	when := "when a session of job " + after + " is over"
	if completed {
		when += " and has left a result"
	}
	root, rule, err := rootOf(j, func(name string) (*keepwardv1.Job, error) {
		j, err := catalog.GetJob(ctx, m.deps.DB.Read(), name)
		if errs.KindOf(err) == errs.NotFound {
			return nil, nil
		}
		return j, err
	})
	if err != nil || root == nil {
		return nil, when, err
	}
	if root, err = m.expandedJob(ctx, root); err != nil {
		return nil, "", err
	}
	zones, err := m.zonesFor(ctx, []*keepwardv1.Job{root})
	if err != nil {
		return nil, "", err
	}
	return asFollower(root.GetName(), calendarRuns(root, rule, zones, n, now)), when, nil
}

func (m *Manager) nextContinuous(ctx context.Context, j *keepwardv1.Job, s schedule.Schedule, now time.Time) ([]*keepwardv1.NextRun, string, error) {
	at, err := m.againAt(ctx, j.GetName(), s, now)
	when := fmt.Sprintf("%s after the end of its last session", hours(s.Gap()))
	if err != nil || at.IsZero() {
		return nil, when, err
	}
	return []*keepwardv1.NextRun{{Time: timestamppb.New(at)}}, when, nil
}

// hours is a time of whole minutes for people.
func hours(d time.Duration) string {
	text := strings.TrimSuffix(d.String(), "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
