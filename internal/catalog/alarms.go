package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
)

// LastRan is when a session of a job last began to work, or ended if that is known; running: one works now.
// It looks at so many of the newest ones.
func LastRan(ctx context.Context, q Queryer, jobName string, newest int) (at time.Time, running bool, err error) {
	var n int64
	err = q.QueryRowContext(ctx, `SELECT coalesce(max(max(started, CASE WHEN started > 0 THEN ended ELSE 0 END)), 0), coalesce(max(started > 0 AND ended = 0), 0)
		FROM (SELECT started, ended FROM sessions WHERE job = ? ORDER BY id DESC LIMIT +?)`, jobName, newest).Scan(&n, &running)
	if err != nil {
		return at, false, fmt.Errorf("find last run of job %s: %w", jobName, err)
	}
	return timeOf(n), running, nil
}

// RepositoryDay is how full a repository was on a day.
type RepositoryDay struct {
	Day             int64 // since 1970 UTC
	SizeBytes, Free int64
}

// RepositoryDaysKept is for how many days that is known.
const RepositoryDaysKept = 400

const dayLength = 24 * time.Hour

// DayOf is the number of a moment's day.
func DayOf(t time.Time) int64 { return t.Unix() / int64(dayLength/time.Second) }

// NoteRepositoryDay keeps how full a repository is on a day, the first time it is told, and forgets what is too old.
func NoteRepositoryDay(ctx context.Context, tx *sql.Tx, name string, d RepositoryDay) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO repository_days (repository, day, size_bytes, free_bytes) SELECT name, ?, ?, ? FROM repositories WHERE name = ?
		ON CONFLICT (repository, day) DO NOTHING`, d.Day, d.SizeBytes, d.Free, name)
	if err == nil {
		_, err = tx.ExecContext(ctx, `DELETE FROM repository_days WHERE repository = ? AND day < ?`, name, d.Day-RepositoryDaysKept)
	}
	if err != nil {
		return fmt.Errorf("keep how full repository %s is: %w", name, err)
	}
	return nil
}

// RepositoryDays are the days of all repositories from one on, the oldest first.
func RepositoryDays(ctx context.Context, q Queryer, from int64) (map[string][]RepositoryDay, error) {
	type row struct {
		name string
		RepositoryDay
	}
	rows, err := q.QueryContext(ctx, `SELECT repository, day, size_bytes, free_bytes FROM repository_days WHERE day >= ? ORDER BY repository, day`, from)
	list, err := collect(rows, err, func(r *sql.Rows) (d row, err error) {
		return d, r.Scan(&d.name, &d.Day, &d.SizeBytes, &d.Free)
	})
	if err != nil {
		return nil, fmt.Errorf("list how full repositories were: %w", err)
	}
	out := map[string][]RepositoryDay{}
	for _, d := range list {
		out[d.name] = append(out[d.name], d.RepositoryDay)
	}
	return out, nil
}

// DaysOfRepository are the days of one repository from one on, the oldest first.
func DaysOfRepository(ctx context.Context, q Queryer, name string, from int64) ([]RepositoryDay, error) {
	rows, err := q.QueryContext(ctx, `SELECT day, size_bytes, free_bytes FROM repository_days WHERE repository = ? AND day >= ? ORDER BY day`, name, from)
	list, err := collect(rows, err, func(r *sql.Rows) (d RepositoryDay, err error) { return d, r.Scan(&d.Day, &d.SizeBytes, &d.Free) })
	if err != nil {
		return nil, fmt.Errorf("list how full repository %s was: %w", name, err)
	}
	return list, nil
}

// SeenCondition is a lasting problem that was seen.
type SeenCondition struct {
	*keepwardv1.Condition
	First, Told, Gone time.Time
}

// SeenConditions are all of them.
func SeenConditions(ctx context.Context, q Queryer) ([]SeenCondition, error) {
	rows, err := q.QueryContext(ctx, `SELECT definition, first, told, gone FROM notify_conditions ORDER BY code, subject`)
	out, err := collect(rows, err, func(r *sql.Rows) (s SeenCondition, err error) {
		var text string
		var first, told, gone int64
		if err := r.Scan(&text, &first, &told, &gone); err != nil {
			return s, err
		}
		s.First, s.Told, s.Gone = timeOf(first), timeOf(told), timeOf(gone)
		s.Condition, err = fromJSON(text, &keepwardv1.Condition{})
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("list conditions that were seen: %w", err)
	}
	return out, nil
}

// PutSeenCondition keeps what is known of one.
func PutSeenCondition(ctx context.Context, tx *sql.Tx, s SeenCondition) error {
	text, err := toJSON(s.Condition)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO notify_conditions (code, subject, definition, first, told, gone) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (code, subject) DO UPDATE SET definition = excluded.definition, told = excluded.told, gone = excluded.gone`,
		s.GetCode(), s.GetSubject(), text, nanos(s.First), nanos(s.Told), nanos(s.Gone))
	if err != nil {
		return fmt.Errorf("keep condition %s of %s: %w", s.GetCode(), s.GetSubject(), err)
	}
	return nil
}

// ForgetSeenCondition drops one that is over.
func ForgetSeenCondition(ctx context.Context, tx *sql.Tx, s SeenCondition) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM notify_conditions WHERE code = ? AND subject = ?`, s.GetCode(), s.GetSubject()); err != nil {
		return fmt.Errorf("forget condition %s of %s: %w", s.GetCode(), s.GetSubject(), err)
	}
	return nil
}

// JobsChanged is when each job was changed last.
func JobsChanged(ctx context.Context, q Queryer) (map[string]time.Time, error) {
	type row struct {
		name string
		at   int64
	}
	rows, err := q.QueryContext(ctx, `SELECT name, changed FROM jobs`)
	list, err := collect(rows, err, func(r *sql.Rows) (j row, err error) { return j, r.Scan(&j.name, &j.at) })
	if err != nil {
		return nil, fmt.Errorf("list when jobs were changed: %w", err)
	}
	out := make(map[string]time.Time, len(list))
	for _, j := range list {
		out[j.name] = timeOf(j.at)
	}
	return out, nil
}
