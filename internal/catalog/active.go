package catalog

import (
	"context"
	"database/sql"
	"fmt"
)

// ActiveTasks lists the tasks of all sessions that have not ended, in the order of their sessions
// and in theirs.
func ActiveTasks(ctx context.Context, q Queryer) ([]Task, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+taskColumns+` FROM tasks
		WHERE session IN (SELECT id FROM sessions WHERE ended = 0) ORDER BY session, position`)
	out, err := collect(rows, err, func(r *sql.Rows) (Task, error) { return scanTask(r) })
	if err != nil {
		return nil, fmt.Errorf("list tasks of active sessions: %w", err)
	}
	return out, nil
}

// ActiveAttempts lists the attempts of the tasks of all sessions that have not ended; of each
// task the newest comes last.
func ActiveAttempts(ctx context.Context, q Queryer) ([]Attempt, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+attemptColumns+` FROM attempts
		WHERE task IN (SELECT id FROM tasks WHERE session IN (SELECT id FROM sessions WHERE ended = 0)) ORDER BY task, number`)
	out, err := collect(rows, err, func(r *sql.Rows) (Attempt, error) { return scanAttempt(r) })
	if err != nil {
		return nil, fmt.Errorf("list attempts of active sessions: %w", err)
	}
	return out, nil
}
