package manager

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
	"keepward/internal/speed"
)

// speedAtLeast is how much of a task's speed a server that is killed loses at most: it is written with
// what is written anyway, and if there is nothing, by itself after so long. Until the next report that
// time is one mean.
const speedAtLeast = 5 * time.Minute

// pace is how fast a task was, as its manager keeps it. Those who look read it while it runs on.
type pace struct {
	mu     sync.Mutex
	series speed.Series
	// For the worker of the session alone.
	news  bool      // it differs from the catalog
	saved time.Time // when it was the same last
}

func newPace(had *speed.Series, now time.Time) *pace {
	p := &pace{saved: now}
	if had != nil {
		p.series = *had
	}
	return p
}

// copy is the series as it is now.
func (p *pace) copy() *speed.Series {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.series
	s.Slots = slices.Clone(s.Slots)
	return &s
}

// loadPace reads what was written of a task's speed before this server started. What cannot be read is
// begun anew: a graph must not hold a backup up.
func (s *session) loadPace(ctx context.Context, t *task, now time.Time) {
	if t.pace.Load() != nil {
		return
	}
	had, err := catalog.SpeedOf(ctx, s.m.deps.DB.Read(), t.row.ID)
	if err != nil {
		s.m.log.Warn("how fast a task was is not known any more", "task", t.row.ID, "error", err)
	}
	t.pace.Store(newPace(had, now))
}

// savePace writes the speed of a task, if it has news.
func (t *task) savePace(ctx context.Context, tx *sql.Tx) error {
	p := t.pace.Load()
	if p == nil || !p.news {
		return nil
	}
	s := p.copy()
	if t.row.Status.Final() {
		s.Finish()
	}
	return catalog.PutSpeed(ctx, tx, t.row.ID, s)
}

// paceSaved notes that the speed of a task is written.
func (t *task) paceSaved(now time.Time) {
	if p := t.pace.Load(); p != nil {
		p.news, p.saved = false, now
	}
}

// amounts are what of a task's counters its speed is about.
func (t *task) amounts(c *keepwardv1.Counters) speed.Amounts {
	a := speed.Amounts{Read: c.GetReadBytes(), Sent: c.GetSentBytes(), Stored: c.GetStoredBytes()}
	if t.typ == job.Restore {
		a.Stored = max(c.GetDoneBytes()-c.GetSkippedBytes(), 0)
	}
	return a
}

// keepPace takes a report into the speed of the task.
func (t *task) keepPace(x *turn) {
	p := mergeProgress(t.progress)
	if p.GetCounters() == nil || t.att == nil {
		return
	}
	own := t.pace.Load()
	if own == nil {
		own = newPace(nil, x.now)
		t.pace.Store(own)
	}
	own.mu.Lock()
	own.series.Add(x.now, t.att.row.ID, t.amounts(p.GetCounters()))
	own.mu.Unlock()
	own.news = true
	x.dirty = x.dirty || x.now.Sub(own.saved) >= speedAtLeast
}

// GetSessionSpeed says how fast each task of a session was.
func (m *Manager) GetSessionSpeed(ctx context.Context, req *connect.Request[keepwardv1.GetSessionSpeedRequest]) (*connect.Response[keepwardv1.GetSessionSpeedResponse], error) {
	s, err := m.currentSession(ctx, req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	all, err := catalog.Speeds(ctx, m.deps.DB.Read(), s.GetId())
	if err != nil {
		return nil, err
	}
	// What is newer than the catalog, of those that run.
	if live := m.liveSession(s.GetId()); live != nil {
		for _, t := range live.tasks {
			if p := t.pace.Load(); p != nil {
				all[t.row.ID] = p.copy()
			}
		}
	}
	out := &keepwardv1.GetSessionSpeedResponse{}
	for _, t := range s.GetTasks() {
		if one := all[t.GetId()]; one != nil {
			out.Tasks = append(out.Tasks, taskSpeed(t.GetId(), one))
		}
	}
	return connect.NewResponse(out), nil
}

func taskSpeed(task string, s *speed.Series) *keepwardv1.TaskSpeed {
	out := &keepwardv1.TaskSpeed{Task: task, Start: stamp(s.Start), Every: durationpb.New(s.Every), Until: stamp(s.Last)}
	for _, v := range s.Slots {
		out.ReadBytes, out.SentBytes, out.StoredBytes = append(out.ReadBytes, v.Read), append(out.SentBytes, v.Sent), append(out.StoredBytes, v.Stored)
		out.Running = append(out.Running, v.Running)
	}
	return out
}
