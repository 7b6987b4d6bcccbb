package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"keepward/internal/speed"
)

// PutSpeed keeps how fast a task was, or replaces it.
func PutSpeed(ctx context.Context, tx *sql.Tx, task string, s *speed.Series) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO task_speed (task, start, every, slots, attempt, last, read, sent, stored) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (task) DO UPDATE SET start = excluded.start, every = excluded.every, slots = excluded.slots, attempt = excluded.attempt,
			last = excluded.last, read = excluded.read, sent = excluded.sent, stored = excluded.stored`,
		task, nanos(s.Start), int64(s.Every), speed.AppendSlots([]byte{}, s.Slots), s.Attempt, nanos(s.Last), s.Counted.Read, s.Counted.Sent, s.Counted.Stored)
	if err != nil {
		return fmt.Errorf("write speed of task %s: %w", task, err)
	}
	return nil
}

// Speeds are how fast the tasks of a session were, those of which it is known.
func Speeds(ctx context.Context, q Queryer, session int64) (map[string]*speed.Series, error) {
	return speedsOf(ctx, q, `task IN (SELECT id FROM tasks WHERE session = ?)`, session)
}

// SpeedOf is how fast a task was; nil: nothing is known.
func SpeedOf(ctx context.Context, q Queryer, task string) (*speed.Series, error) {
	all, err := speedsOf(ctx, q, `task = ?`, task)
	return all[task], err
}

func speedsOf(ctx context.Context, q Queryer, where string, of any) (map[string]*speed.Series, error) {
	rows, err := q.QueryContext(ctx, `SELECT task, start, every, slots, attempt, last, read, sent, stored FROM task_speed WHERE `+where, of)
	type row struct {
		task string
		*speed.Series
	}
	list, err := collect(rows, err, func(r *sql.Rows) (row, error) {
		v := row{Series: &speed.Series{}}
		var start, every, last int64
		var slots []byte
		if err := r.Scan(&v.task, &start, &every, &slots, &v.Attempt, &last, &v.Counted.Read, &v.Counted.Sent, &v.Counted.Stored); err != nil {
			return v, err
		}
		v.Start, v.Every, v.Last = timeOf(start), time.Duration(every), timeOf(last)
		if v.Every <= 0 {
			return v, fmt.Errorf("speed of task %s: a slot takes %v", v.task, v.Every)
		}
		v.Slots, err = speed.ParseSlots(slots)
		return v, err
	})
	if err != nil {
		return nil, fmt.Errorf("read speed of tasks: %w", err)
	}
	out := make(map[string]*speed.Series, len(list))
	for _, v := range list {
		out[v.task] = v.Series
	}
	return out, nil
}
