package catalog

import (
	"context"
	"database/sql"
	"fmt"
)

// Hold is one resource of the set that a task holds. It is kept where the set could have been
// another one; else what a task holds is known from what it is.
type Hold struct {
	Kind  string
	Name  string
	Count int
	Alone bool
}

// PutHolds replaces what a task holds.
func PutHolds(ctx context.Context, tx *sql.Tx, task string, holds []Hold) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM holds WHERE task = ?`, task); err != nil {
		return fmt.Errorf("write what task %s holds: %w", task, err)
	}
	for i, h := range holds {
		_, err := tx.ExecContext(ctx, `INSERT INTO holds (task, position, kind, name, count, alone) VALUES (?, ?, ?, ?, ?, ?)`,
			task, i, h.Kind, h.Name, h.Count, h.Alone)
		if err != nil {
			return fmt.Errorf("write what task %s holds: %w", task, err)
		}
	}
	return nil
}

// Holds lists what a task holds, where that is kept.
func Holds(ctx context.Context, q Queryer, task string) ([]Hold, error) {
	rows, err := q.QueryContext(ctx, `SELECT kind, name, count, alone FROM holds WHERE task = ? ORDER BY position`, task)
	out, err := collect(rows, err, func(r *sql.Rows) (h Hold, err error) {
		return h, r.Scan(&h.Kind, &h.Name, &h.Count, &h.Alone)
	})
	if err != nil {
		return nil, fmt.Errorf("read what task %s holds: %w", task, err)
	}
	return out, nil
}
