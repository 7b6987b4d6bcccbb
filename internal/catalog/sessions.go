package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// Session is one run of a job. Its status is derived from its tasks; it is kept so that
// lists need not read them.
type Session struct {
	ID         int64
	Job        string
	Type       job.Type
	Status     job.Status
	Phase      string
	Reason     *keepwardv1.Reason
	Failure    *keepwardv1.Failure
	Priority   int
	Repository string
	Full       bool
	StartedBy  string
	// Definition is the JSON of what to do, as it was at submission; see DefinitionOf.
	Definition string
	Created    time.Time
	Started    time.Time
	Ended      time.Time // zero: not final
	LastSeq    int64     // of its events
	// Origin is the session whose failed tasks this one tries again, Retry the how manieth time
	// that is done by itself.
	Origin int64
	Retry  int
	// RetryAt is when its own failed tasks are tried again; zero: they are not.
	RetryAt time.Time
}

const sessionColumns = `id, job, type, status, phase, reason_json, failure_json, priority, repository, is_full,
	started_by, definition_json, created, started, ended, last_seq, origin, retry, retry_at`

func scanSession(row interface{ Scan(...any) error }) (Session, error) {
	var s Session
	var reason, failure string
	var created, started, ended, retryAt int64
	err := row.Scan(&s.ID, &s.Job, &s.Type, &s.Status, &s.Phase, &reason, &failure, &s.Priority, &s.Repository, &s.Full,
		&s.StartedBy, &s.Definition, &created, &started, &ended, &s.LastSeq, &s.Origin, &s.Retry, &retryAt)
	if err != nil {
		return s, err
	}
	s.Created, s.Started, s.Ended, s.RetryAt = timeOf(created), timeOf(started), timeOf(ended), timeOf(retryAt)
	if s.Reason, err = fromJSON(reason, &keepwardv1.Reason{}); err != nil {
		return s, err
	}
	s.Failure, err = fromJSON(failure, &keepwardv1.Failure{})
	return s, err
}

// Definition is the JSON to keep in Session.Definition.
func Definition(m proto.Message) (string, error) { return toJSON(m) }

// DefinitionOf reads a session's definition into m, a new message of the right type.
func DefinitionOf[M proto.Message](s Session, m M) (M, error) { return fromJSON(s.Definition, m) }

// AddSession adds a session and gives it its number.
func AddSession(ctx context.Context, tx *sql.Tx, s *Session) error {
	var j jsonOf
	reason, failure := j.of(s.Reason), j.of(s.Failure)
	if j.err != nil {
		return j.err
	}
	err := tx.QueryRowContext(ctx, `INSERT INTO sessions (job, type, status, phase, reason_json, failure_json, priority,
		repository, is_full, started_by, definition_json, created, origin, retry) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		s.Job, s.Type, s.Status, s.Phase, reason, failure, s.Priority,
		s.Repository, s.Full, s.StartedBy, s.Definition, nanos(s.Created), s.Origin, s.Retry).Scan(&s.ID)
	if err != nil {
		return fmt.Errorf("add session: %w", err)
	}
	return nil
}

// PutSession keeps what changes in a session's life, its last event's number included. Its retry
// has calls of its own, since it changes when the session is over.
func PutSession(ctx context.Context, tx *sql.Tx, s *Session) error {
	var j jsonOf
	reason, failure := j.of(s.Reason), j.of(s.Failure)
	if j.err != nil {
		return j.err
	}
	args := []any{s.Status, s.Phase, reason, failure, s.Priority, nanos(s.Started), s.LastSeq}
	end := ""
	if !s.Ended.IsZero() { // two indexes would be written anew with each change for an end that is not there
		end = ", ended = ?"
		args = append(args, nanos(s.Ended))
	}
	_, err := tx.ExecContext(ctx, `UPDATE sessions SET status = ?, phase = ?, reason_json = ?, failure_json = ?,
		priority = ?, started = ?, last_seq = ?`+end+` WHERE id = ?`, append(args, s.ID)...)
	if err != nil {
		return fmt.Errorf("write session %d: %w", s.ID, err)
	}
	return nil
}

// GetSession finds a session by its number.
func GetSession(ctx context.Context, q Queryer, id int64) (Session, error) {
	s, err := scanSession(q.QueryRowContext(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE id = ?`, id))
	s, ok, err := found(s, err, "read session")
	if err != nil || ok {
		return s, err
	}
	return s, errs.New(errs.NotFound, "session.unknown", "there is no session %d", id).
		WithHint("keepward session list shows the sessions there are")
}

// SinceFull is how many runs of a job were completed since the last one that read everything;
// its first one did.
func SinceFull(ctx context.Context, q Queryer, name string) (int, error) {
	const completed = `job = ? AND type = ? AND status IN (?, ?, ?)`
	args := []any{name, job.Backup, job.Completed, job.CompletedWithWarnings, job.CompletedWithErrors}
	var n int
	err := q.QueryRowContext(ctx, `SELECT count(*) FROM sessions WHERE `+completed+` AND id >
		(SELECT coalesce(max(CASE WHEN is_full THEN id END), min(id), 0) FROM sessions WHERE `+completed+`)`, append(args, args...)...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count runs of job %s: %w", name, err)
	}
	return n, nil
}

// LastSession is the newest session of a job, and whether there is one.
func LastSession(ctx context.Context, q Queryer, jobName string) (Session, bool, error) {
	list, err := Sessions(ctx, q, SessionFilter{Job: jobName, Limit: 1})
	if err != nil || len(list) == 0 {
		return Session{}, false, err
	}
	return list[0], true, nil
}
