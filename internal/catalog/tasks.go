package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// Task is the share of a session that is one computer.
type Task struct {
	ID         string
	Session    int64
	Position   int
	Computer   string // empty: none takes part
	Repository string
	Status     job.Status
	Phase      string
	Attempts   int // opened so far
	Reason     *keepwardv1.Reason
	Failure    *keepwardv1.Failure
	Progress   *keepwardv1.Progress
	Point      string // made or read
	RestartAt  time.Time
	RestartOn  string // roles whose return ends the wait for RestartAt, separated by a space
	Errors     int64  // events of these levels
	Warnings   int64
	KilledBy   string
	// KillCommits: it is being ended, and what is written shall be kept.
	KillCommits bool
	// SuspendedBy is who wants it to pause.
	SuspendedBy string
	// Interruptions is how many attempts ended by an interruption or a pause: they do not count
	// against the limit. Preemptions is how often in a row it was interrupted for other sessions,
	// InterruptedFor the session for which it lets go now.
	Interruptions  int
	Preemptions    int
	InterruptedFor int64
	Priority       int
	// Holds tells whether it holds its set: while it is leaving it may have let go of it before.
	Holds bool
	// StartAt is when it may leave the queue; zero: at once.
	StartAt time.Time
	Started time.Time
	Ended   time.Time
	// Report is what it came to, where it makes no point.
	Report *keepwardv1.TaskReport
}

const taskColumns = `id, session, position, computer, repository, status, phase, attempts, reason_json, failure_json,
	progress_json, point, restart_at, restart_on, errors, warnings, killed_by, started, ended, report_json,
	suspended_by, interruptions, preemptions, interrupted_for, start_at, priority, holds, kill_commits`

func scanTask(row interface{ Scan(...any) error }) (Task, error) {
	var t Task
	var reason, failure, progress, report string
	var restart, started, ended, startAt int64
	err := row.Scan(&t.ID, &t.Session, &t.Position, &t.Computer, &t.Repository, &t.Status, &t.Phase, &t.Attempts, &reason, &failure,
		&progress, &t.Point, &restart, &t.RestartOn, &t.Errors, &t.Warnings, &t.KilledBy, &started, &ended, &report,
		&t.SuspendedBy, &t.Interruptions, &t.Preemptions, &t.InterruptedFor, &startAt, &t.Priority, &t.Holds, &t.KillCommits)
	if err != nil {
		return t, err
	}
	t.RestartAt, t.Started, t.Ended, t.StartAt = timeOf(restart), timeOf(started), timeOf(ended), timeOf(startAt)
	if t.Reason, err = fromJSON(reason, &keepwardv1.Reason{}); err != nil {
		return t, err
	}
	if t.Failure, err = fromJSON(failure, &keepwardv1.Failure{}); err != nil {
		return t, err
	}
	if t.Progress, err = fromJSON(progress, &keepwardv1.Progress{}); err != nil {
		return t, err
	}
	t.Report, err = fromJSON(report, &keepwardv1.TaskReport{})
	return t, err
}

// AddTask adds a task to a session.
func AddTask(ctx context.Context, tx *sql.Tx, t *Task) error {
	if err := t.write(ctx, tx, `INSERT INTO tasks (session, position, computer, repository,
		status, phase, attempts, reason_json, failure_json, progress_json, point, restart_at, restart_on,
		errors, warnings, killed_by, started, ended, report_json, suspended_by, interruptions,
		preemptions, interrupted_for, start_at, priority, holds, kill_commits, id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		t.Session, t.Position, t.Computer, t.Repository); err != nil {
		return fmt.Errorf("add task %s: %w", t.ID, err)
	}
	return nil
}

// PutTask keeps what changes in a task's life.
func PutTask(ctx context.Context, tx *sql.Tx, t *Task) error {
	if err := t.write(ctx, tx, `UPDATE tasks SET
		status = ?, phase = ?, attempts = ?, reason_json = ?, failure_json = ?, progress_json = ?, point = ?, restart_at = ?, restart_on = ?,
		errors = ?, warnings = ?, killed_by = ?, started = ?, ended = ?, report_json = ?, suspended_by = ?, interruptions = ?,
		preemptions = ?, interrupted_for = ?, start_at = ?, priority = ?, holds = ?, kill_commits = ? WHERE id = ?`); err != nil {
		return fmt.Errorf("write task %s: %w", t.ID, err)
	}
	return nil
}

// write runs a statement with what it begins with, then what changes in a task, then its id.
func (t *Task) write(ctx context.Context, tx *sql.Tx, statement string, first ...any) error {
	var j jsonOf
	reason, failure, progress, report := j.of(t.Reason), j.of(t.Failure), j.of(t.Progress), j.of(t.Report)
	if j.err != nil {
		return j.err
	}
	_, err := tx.ExecContext(ctx, statement, append(first,
		t.Status, t.Phase, t.Attempts, reason, failure, progress, t.Point, nanos(t.RestartAt), t.RestartOn,
		t.Errors, t.Warnings, t.KilledBy, nanos(t.Started), nanos(t.Ended), report, t.SuspendedBy, t.Interruptions,
		t.Preemptions, t.InterruptedFor, nanos(t.StartAt), t.Priority, t.Holds, t.KillCommits, t.ID)...)
	return err
}

// Tasks lists the tasks of a session in their order.
func Tasks(ctx context.Context, q Queryer, session int64) ([]Task, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+taskColumns+` FROM tasks WHERE session = ? ORDER BY position`, session)
	out, err := collect(rows, err, func(r *sql.Rows) (Task, error) { return scanTask(r) })
	if err != nil {
		return nil, fmt.Errorf("list tasks of session %d: %w", session, err)
	}
	return out, nil
}
