package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Retries lists the sessions whose failed tasks are to be tried again, the next first.
func Retries(ctx context.Context, q Queryer) ([]Session, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE retry_at <> 0 ORDER BY retry_at, id`)
	out, err := collect(rows, err, func(r *sql.Rows) (Session, error) { return scanSession(r) })
	if err != nil {
		return nil, fmt.Errorf("list sessions to be retried: %w", err)
	}
	return out, nil
}

// EndRetry notes that the failed tasks of a session are not, or no longer, to be tried again.
func EndRetry(ctx context.Context, tx *sql.Tx, session int64) error {
	if _, err := tx.ExecContext(ctx, `UPDATE sessions SET retry_at = 0 WHERE id = ?`, session); err != nil {
		return fmt.Errorf("end the retry of session %d: %w", session, err)
	}
	return nil
}

// PlanRetry notes when the failed tasks of a session are to be tried again.
func PlanRetry(ctx context.Context, tx *sql.Tx, session int64, at time.Time) error {
	if _, err := tx.ExecContext(ctx, `UPDATE sessions SET retry_at = ? WHERE id = ?`, nanos(at), session); err != nil {
		return fmt.Errorf("plan the retry of session %d: %w", session, err)
	}
	return nil
}
