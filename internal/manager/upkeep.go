package manager

import (
	"cmp"
	"context"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/job"
)

// upkeepSchedules are the repositories as dueRuns takes them: named, with a schedule. What was
// missed is made up for once.
func upkeepSchedules(repositories []catalog.Repository) []*keepwardv1.Job {
	var out []*keepwardv1.Job
	for _, r := range repositories {
		rule := cmp.Or(r.Upkeep.Maintenance, job.DefaultMaintenance)
		out = append(out, &keepwardv1.Job{Name: r.Name, Schedule: rule, Disabled: rule == config.MaintenanceNever})
	}
	return out
}

// startUpkeep starts what is due for repositories: retention of all points, and then the sweep,
// which waits for it. It answers the runs to try again.
func (m *Manager) startUpkeep(ctx context.Context, runs []due) (left []due) {
	for _, r := range runs {
		err := m.upkeep(ctx, r.job)
		if err == nil || ctx.Err() != nil {
			continue
		}
		m.log.Error("maintenance not started", "repository", r.job, "at", r.at, "error", err, "again", mayPass(err))
		if mayPass(err) {
			left = append(left, r)
		}
	}
	return left
}

func (m *Manager) upkeep(ctx context.Context, repository string) error {
	if err := m.noteUnprotected(ctx, time.Now()); err != nil {
		return err
	}
	active, err := m.activeIn(ctx, repository)
	if err != nil {
		return err
	}
	if active[job.Retention] == 0 {
		if err := m.retain(ctx, "", repository); err != nil {
			return err
		}
	}
	if id := active[job.Sweep]; id != 0 {
		m.log.Info("sweep not started: the last one is not over", "repository", repository, "session", id)
		return nil
	}
	_, err = m.submit(ctx, request{
		typ: job.Sweep, repository: repository, by: byMaintenance, computers: []string{""},
		definition: &keepwardv1.SweepRepositoryRequest{Name: repository},
	})
	return err
}

// activeIn is a session of each type that works on a repository and is not over.
func (m *Manager) activeIn(ctx context.Context, repository string) (map[job.Type]int64, error) {
	rest, err := catalog.RestOf(ctx, m.deps.DB.Read(), repository)
	return rest.Active, err
}
