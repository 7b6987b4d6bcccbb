package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"keepward/internal/job"
)

// Marker is what of a point's markers is known.
type Marker struct {
	Deleted        time.Time // zero: it is not deleted
	DeletedBecause string
	Held           bool
	HoldReason     string
}

// SetMarker keeps the markers of a point as they stand in its repository.
func SetMarker(ctx context.Context, tx *sql.Tx, id string, m Marker) error {
	_, err := tx.ExecContext(ctx, `UPDATE points SET deleted = ?, deleted_because = ?, held = ?, hold_reason = ? WHERE id = ?`,
		nanos(m.Deleted), m.DeletedBecause, m.Held, m.HoldReason, id)
	if err != nil {
		return fmt.Errorf("mark restore point %s: %w", id, err)
	}
	return nil
}

// PurgedBy is the session whose mover was told to purge the point; 0: none.
func PurgedBy(ctx context.Context, q Queryer, id string) (int64, error) {
	var session int64
	err := q.QueryRowContext(ctx, `SELECT purged_by FROM points WHERE id = ?`, id).Scan(&session)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read restore point %s: %w", id, err)
	}
	return session, nil
}

// SetPurgedBy keeps which session's mover is told to purge a point; 0: none is any more.
func SetPurgedBy(ctx context.Context, tx *sql.Tx, id string, session int64) error {
	if _, err := tx.ExecContext(ctx, `UPDATE points SET purged_by = ? WHERE id = ?`, session, id); err != nil {
		return fmt.Errorf("mark restore point %s: %w", id, err)
	}
	return nil
}

// PointsToPurge lists the points of a repository that a mover was told to purge, and which have
// not been seen to be gone.
func PointsToPurge(ctx context.Context, q Queryer, repository string) ([]string, error) {
	rows, err := q.QueryContext(ctx, `SELECT id FROM points WHERE repository = ? AND purged_by <> 0 ORDER BY id`, repository)
	out, err := collect(rows, err, scanText)
	if err != nil {
		return nil, fmt.Errorf("list restore points to purge in %s: %w", repository, err)
	}
	return out, nil
}

func scanText(r *sql.Rows) (text string, err error) {
	err = r.Scan(&text)
	return text, err
}

// ForgetPoint takes a point out that is gone from its repository.
func ForgetPoint(ctx context.Context, tx *sql.Tx, id string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM points WHERE id = ?`, id); err != nil {
		return fmt.Errorf("forget restore point %s: %w", id, err)
	}
	return nil
}

// Use is a point or an attempt that a task which is not over needs.
type Use struct {
	ID      string
	Session int64
	// Parent: a backup takes over from it; else it is being read.
	Parent bool
}

// openTasks are the tasks that are not over. Those are of sessions that are not, which an index lists:
// of a long history the tasks alone are a million rows.
const openTasks = `(SELECT tasks.* FROM sessions JOIN tasks ON tasks.session = sessions.id WHERE sessions.ended = 0 AND tasks.ended = 0)`

// Uses lists what the tasks of a repository that are not over need of its points; empty: of all
// repositories.
func Uses(ctx context.Context, q Queryer, repository string) ([]Use, error) {
	rows, err := q.QueryContext(ctx, `
		SELECT point, session, 0 FROM `+openTasks+` WHERE (?1 = '' OR repository = ?1) AND point <> ''
		UNION SELECT parent, session, 1 FROM `+openTasks+` AS tasks JOIN attempts ON tasks.id = attempts.task
			WHERE (?1 = '' OR repository = ?1) AND parent <> ''`, repository)
	out, err := collect(rows, err, func(r *sql.Rows) (u Use, err error) {
		err = r.Scan(&u.ID, &u.Session, &u.Parent)
		return u, err
	})
	if err != nil {
		return nil, fmt.Errorf("list uses of restore points in %s: %w", repository, err)
	}
	return out, nil
}

// WantedCheckpoints lists the attempts of a repository whose checkpoints tasks that are not over
// may go on from.
func WantedCheckpoints(ctx context.Context, q Queryer, repository string) ([]string, error) {
	rows, err := q.QueryContext(ctx, `
		SELECT attempts.id FROM `+openTasks+` AS tasks JOIN attempts ON tasks.id = attempts.task
			WHERE repository = ?1 AND checkpointed <> 0
		UNION SELECT checkpoint FROM `+openTasks+` AS tasks JOIN attempts ON tasks.id = attempts.task
			WHERE repository = ?1 AND checkpoint <> ''
		ORDER BY 1`, repository)
	out, err := collect(rows, err, scanText)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints in %s: %w", repository, err)
	}
	return out, nil
}

// Pair is a computer and the job that made points of it.
type Pair struct{ Computer, Job string }

// Unprotected lists the pairs that are known to have no protection any more, and since when.
func Unprotected(ctx context.Context, q Queryer) (map[Pair]time.Time, error) {
	type row struct {
		pair  Pair
		since int64
	}
	rows, err := q.QueryContext(ctx, `SELECT computer, job, since FROM unprotected`)
	list, err := collect(rows, err, func(r *sql.Rows) (v row, err error) {
		err = r.Scan(&v.pair.Computer, &v.pair.Job, &v.since)
		return v, err
	})
	if err != nil {
		return nil, fmt.Errorf("list unprotected computers: %w", err)
	}
	out := make(map[Pair]time.Time, len(list))
	for _, v := range list {
		out[v.pair] = timeOf(v.since)
	}
	return out, nil
}

// NoteUnprotected brings the list of unprotected pairs up to date: those that have points, and no
// job of that name that names the computer or, when that was looked at last, a group with it; the server's own points, and no such job at all. Those that are known keep their time.
func NoteUnprotected(ctx context.Context, tx *sql.Tx, now time.Time) error {
	for _, statement := range []string{
		`DELETE FROM unprotected WHERE EXISTS (SELECT 1 FROM job_computers c
			WHERE c.computer = unprotected.computer AND c.job = unprotected.job)
			OR EXISTS (SELECT 1 FROM job_members c WHERE c.computer = unprotected.computer AND c.job = unprotected.job)
			OR computer = ?2 AND EXISTS (SELECT 1 FROM jobs j WHERE j.name = unprotected.job)
			OR NOT EXISTS (SELECT 1 FROM points p WHERE p.computer = unprotected.computer AND p.job = unprotected.job)`,
		`INSERT INTO unprotected (computer, job, since) SELECT DISTINCT computer, job, ?1 FROM points
			WHERE NOT EXISTS (SELECT 1 FROM job_computers c WHERE c.computer = points.computer AND c.job = points.job)
			AND NOT EXISTS (SELECT 1 FROM job_members c WHERE c.computer = points.computer AND c.job = points.job)
			AND NOT (computer = ?2 AND EXISTS (SELECT 1 FROM jobs j WHERE j.name = points.job))
			ON CONFLICT DO NOTHING`,
	} {
		if _, err := tx.ExecContext(ctx, statement, nanos(now), job.ServerComputer); err != nil {
			return fmt.Errorf("note unprotected computers: %w", err)
		}
	}
	return nil
}
