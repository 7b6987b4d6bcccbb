package catalog

import (
	"context"
	"database/sql"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

// AddEvents adds lines to the logs of their sessions. Their numbers must be set, and follow
// the last ones: the manager counts, and keeps the count with the session.
func AddEvents(ctx context.Context, tx *sql.Tx, events []*keepwardv1.Event) error {
	for _, e := range events {
		_, err := tx.ExecContext(ctx, `INSERT INTO events
			(session, seq, time, task, level, part, code, text, path, from_status, to_status, actor)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			e.Session, e.Seq, nanos(e.Time.AsTime()), e.Task, e.Level, e.Part, e.Code, e.Text, e.Path, e.From, e.To, e.Actor)
		if err != nil {
			return fmt.Errorf("add event %d of session %d: %w", e.Seq, e.Session, err)
		}
	}
	return nil
}

// HasEvent tells whether a node's line is in the log already: nodes report again what was not
// answered. The index it goes by has no lines of the server's own.
func HasEvent(ctx context.Context, q Queryer, e *keepwardv1.Event) (bool, error) {
	var found bool
	err := q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM events
		WHERE session = ? AND time = ? AND task = ? AND part = ? AND code = ? AND text = ? AND path IS ? AND part <> 'server')`,
		e.Session, nanos(e.Time.AsTime()), e.Task, e.Part, e.Code, e.Text, e.Path).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("look for a line in the log of session %d: %w", e.Session, err)
	}
	return found, nil
}

// Events reads a session's log behind afterSeq, up to limit lines.
func Events(ctx context.Context, q Queryer, session, afterSeq int64, limit int) ([]*keepwardv1.Event, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+eventColumns+` FROM events WHERE session = ? AND seq > ? ORDER BY seq LIMIT +?`, session, afterSeq, limit)
	out, err := collect(rows, err, scanEvent(session))
	if err != nil {
		return nil, fmt.Errorf("read log of session %d: %w", session, err)
	}
	return out, nil
}

const eventColumns = `seq, time, task, level, part, code, text, path, from_status, to_status, actor`

func scanEvent(session int64) func(*sql.Rows) (*keepwardv1.Event, error) {
	return func(r *sql.Rows) (*keepwardv1.Event, error) {
		e := &keepwardv1.Event{Session: session}
		var at int64
		err := r.Scan(&e.Seq, &at, &e.Task, &e.Level, &e.Part, &e.Code, &e.Text, &e.Path, &e.From, &e.To, &e.Actor)
		e.Time = timestamppb.New(timeOf(at))
		return e, err
	}
}
