package manager

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// watchEvery is the shortest time between two pictures of a session that differ in their
// progress alone.
const watchEvery = 500 * time.Millisecond

// logBatch bounds what one answer of a log holds.
const logBatch = 500

// defaultList bounds a list that asks for no bound.
const defaultList = 100

// current is a session as it is now.
func (m *Manager) currentSession(ctx context.Context, id int64) (*keepwardv1.Session, error) {
	if s := m.liveSession(id); s != nil {
		return s.live.Load(), nil
	}
	row, err := catalog.GetSession(ctx, m.deps.DB.Read(), id)
	if err != nil {
		return nil, err
	}
	return m.describeRow(ctx, row)
}

func (m *Manager) describeRow(ctx context.Context, row catalog.Session) (*keepwardv1.Session, error) {
	if s := m.liveSession(row.ID); s != nil {
		return s.live.Load(), nil
	}
	if s := m.ended.get(row); s != nil {
		return s, nil
	}
	tasks, err := catalog.Tasks(ctx, m.deps.DB.Read(), row.ID)
	if err != nil {
		return nil, err
	}
	s := describe(row, tasks)
	m.ended.put(row, s)
	return s, nil
}

func (m *Manager) sessions(ctx context.Context, f catalog.SessionFilter) ([]*keepwardv1.Session, error) {
	rows, err := catalog.Sessions(ctx, m.deps.DB.Read(), f)
	if err != nil {
		return nil, err
	}
	out := make([]*keepwardv1.Session, 0, len(rows))
	for _, row := range rows {
		s, err := m.describeRow(ctx, row)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// ActiveSessions are the sessions that are not over, the newest first; no more than limit, if it is
// not 0.
func (m *Manager) ActiveSessions(ctx context.Context, limit int) ([]*keepwardv1.Session, error) {
	return m.sessions(ctx, catalog.SessionFilter{Active: true, Limit: limit})
}

// EndedSince are the sessions that ended at or after a moment, the newest first.
func (m *Manager) EndedSince(ctx context.Context, since time.Time) ([]*keepwardv1.Session, error) {
	return m.sessions(ctx, catalog.SessionFilter{EndedAfter: since})
}

// RecentSessions are the newest sessions of a job, the newest first.
func (m *Manager) RecentSessions(ctx context.Context, jobName string, limit int) ([]*keepwardv1.Session, error) {
	return m.sessions(ctx, catalog.SessionFilter{Job: jobName, Limit: limit})
}

// JobActive is the newest session of a job that is not over; 0: none.
func (m *Manager) JobActive(ctx context.Context, jobName string) (int64, error) {
	rows, err := catalog.Sessions(ctx, m.deps.DB.Read(), catalog.SessionFilter{Active: true, Job: jobName, Limit: 1})
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return rows[0].ID, nil
}

// GetSession is one session as it is now.
func (m *Manager) GetSession(ctx context.Context, req *connect.Request[keepwardv1.GetSessionRequest]) (*connect.Response[keepwardv1.GetSessionResponse], error) {
	s, err := m.currentSession(ctx, req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	if waits := m.waits(s); len(waits) > 0 {
		s = proto.CloneOf(s) // others have it too
		s.Waits = waits
	}
	return connect.NewResponse(&keepwardv1.GetSessionResponse{Session: s}), nil
}

// WatchSession sends the session at once and at every change, and ends after a final status.
func (m *Manager) WatchSession(ctx context.Context, req *connect.Request[keepwardv1.WatchSessionRequest], stream *connect.ServerStream[keepwardv1.WatchSessionResponse]) error {
	return m.watch(ctx, req.Msg.GetId(), func(s *keepwardv1.Session) error {
		return stream.Send(&keepwardv1.WatchSessionResponse{Session: s})
	})
}

func (m *Manager) watch(ctx context.Context, id int64, send func(*keepwardv1.Session) error) error {
	changed, end := m.hub.watch(id)
	defer end()
	var last *keepwardv1.Session
	var sent time.Time
	for {
		s, err := m.currentSession(ctx, id)
		if err != nil {
			return err
		}
		// Progress is told now and then, all else at once.
		var later <-chan time.Time
		if wait := watchEvery - time.Since(sent); wait > 0 && last != nil && sameStanding(last, s) {
			later = time.After(wait)
		} else if s != last {
			if err := send(s); err != nil {
				return err
			}
			last, sent = s, time.Now()
		}
		if job.Status(s.GetStatus()).Final() {
			return nil
		}
		select {
		case <-changed:
		case <-later:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sameStanding tells whether two pictures of a session differ in their progress alone.
func sameStanding(a, b *keepwardv1.Session) bool {
	if a.GetStatus() != b.GetStatus() || a.GetPhase() != b.GetPhase() || a.GetReason().GetText() != b.GetReason().GetText() {
		return false
	}
	for i, t := range a.GetTasks() {
		u := b.GetTasks()[i]
		if t.GetStatus() != u.GetStatus() || t.GetPhase() != u.GetPhase() || t.GetReason().GetText() != u.GetReason().GetText() {
			return false
		}
	}
	return true
}

// ReadLog sends the log, and with follow goes on until the session is over.
func (m *Manager) ReadLog(ctx context.Context, req *connect.Request[keepwardv1.ReadLogRequest], stream *connect.ServerStream[keepwardv1.ReadLogResponse]) error {
	return m.readLog(ctx, req.Msg, func(events []*keepwardv1.Event) error {
		return stream.Send(&keepwardv1.ReadLogResponse{Events: events})
	})
}

func (m *Manager) readLog(ctx context.Context, req *keepwardv1.ReadLogRequest, send func([]*keepwardv1.Event) error) error {
	changed, end := m.hub.watch(req.GetId())
	defer end()
	seq := req.GetAfterSeq()
	for {
		// The status is read before the log: what is final then has all its lines.
		s, err := m.currentSession(ctx, req.GetId())
		if err != nil {
			return err
		}
		for {
			events, err := catalog.Events(ctx, m.deps.DB.Read(), req.GetId(), seq, logBatch)
			if err != nil {
				return err
			}
			if len(events) == 0 {
				break
			}
			if err := send(events); err != nil {
				return err
			}
			seq = events[len(events)-1].GetSeq()
		}
		if !req.GetFollow() || job.Status(s.GetStatus()).Final() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
