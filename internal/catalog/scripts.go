package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// Script is the journal's row of one script of a session. It is written before the script is
// started.
type Script struct {
	Session int64
	Task    string // empty: the session's
	Place   job.Place
	Ordered time.Time
	Ended   time.Time             // zero: not known to have ended
	End     *keepwardv1.ScriptEnd // nil: not known to have ended
}

// PutScript adds the row of a script, or replaces it.
func PutScript(ctx context.Context, tx *sql.Tx, s *Script) error {
	end, err := toJSON(s.End)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO scripts (session, task, place, ordered, ended, end_json) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (session, task, place) DO UPDATE SET ordered = excluded.ordered, ended = excluded.ended, end_json = excluded.end_json`,
		s.Session, s.Task, s.Place, nanos(s.Ordered), nanos(s.Ended), end)
	if err != nil {
		return fmt.Errorf("write script %s of session %d: %w", s.Place, s.Session, err)
	}
	return nil
}

// Scripts lists the scripts of a session that were ordered.
func Scripts(ctx context.Context, q Queryer, session int64) ([]Script, error) {
	rows, err := q.QueryContext(ctx, `SELECT session, task, place, ordered, ended, end_json FROM scripts WHERE session = ? ORDER BY task, place`, session)
	out, err := collect(rows, err, func(r *sql.Rows) (s Script, err error) {
		var ordered, ended int64
		var end string
		if err := r.Scan(&s.Session, &s.Task, &s.Place, &ordered, &ended, &end); err != nil {
			return s, err
		}
		s.Ordered, s.Ended = timeOf(ordered), timeOf(ended)
		s.End, err = fromJSON(end, &keepwardv1.ScriptEnd{})
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("list scripts of session %d: %w", session, err)
	}
	return out, nil
}

// Verdict is how a task ends once the scripts after the job have run.
type Verdict struct {
	Task    string
	Session int64
	Status  job.Status
	Text    string
	Actor   string
}

// PutVerdict adds a verdict, or replaces it.
func PutVerdict(ctx context.Context, tx *sql.Tx, v *Verdict) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO verdicts (task, session, status, text, actor) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (task) DO UPDATE SET status = excluded.status, text = excluded.text, actor = excluded.actor`,
		v.Task, v.Session, v.Status, v.Text, v.Actor)
	if err != nil {
		return fmt.Errorf("write verdict of task %s: %w", v.Task, err)
	}
	return nil
}

// DropVerdict forgets the verdict of a task that is over.
func DropVerdict(ctx context.Context, tx *sql.Tx, task string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM verdicts WHERE task = ?`, task); err != nil {
		return fmt.Errorf("forget verdict of task %s: %w", task, err)
	}
	return nil
}

// Verdicts lists the verdicts of a session's tasks.
func Verdicts(ctx context.Context, q Queryer, session int64) ([]Verdict, error) {
	rows, err := q.QueryContext(ctx, `SELECT task, session, status, text, actor FROM verdicts WHERE session = ?`, session)
	out, err := collect(rows, err, func(r *sql.Rows) (v Verdict, err error) {
		err = r.Scan(&v.Task, &v.Session, &v.Status, &v.Text, &v.Actor)
		return v, err
	})
	if err != nil {
		return nil, fmt.Errorf("list verdicts of session %d: %w", session, err)
	}
	return out, nil
}
