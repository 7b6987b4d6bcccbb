package manager

import (
	"context"
	"maps"
	"slices"
	"time"

	"keepward/internal/job"
)

// runningTime is how the names of the settings about it begin.
const runningTime = "total_running_time"

// endCommits is the value of total_running_time_end by which what is written is kept.
const endCommits = "commit"

// overdueAt is when the session has run for too long; zero: never. It counts from the start of its
// first task on, waits and pauses among it: the limit is there so that a window is kept.
func (s *session) overdueAt() time.Time {
	knobs := s.m.knobs()
	if s.row.Started.IsZero() || !knobs.Bool("total_running_time_limit") {
		return time.Time{}
	}
	for _, t := range s.tasks {
		if !t.row.Status.Final() && t.row.Status != job.KillPending && !t.concluding() {
			return s.row.Started.Add(knobs.Duration("total_running_time"))
		}
	}
	return time.Time{} // all are on their way out
}

// overdue ends the session if it has run for too long.
func (s *session) overdue(ctx context.Context) {
	if at := s.overdueAt(); !at.IsZero() && !time.Now().Before(at) {
		s.deliver(ctx, letter{ev: evOverdue{
			limit: s.m.knobs().Duration("total_running_time"), commit: s.m.knobs().Text("total_running_time_end") == endCommits,
		}})
	}
}

// tickAll has every session look at its deadlines anew.
func (m *Manager) tickAll() {
	m.mu.Lock()
	live := slices.Collect(maps.Values(m.live))
	m.mu.Unlock()
	for _, s := range live {
		s.post("", evTick{})
	}
}
