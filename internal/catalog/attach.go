package catalog

import (
	"context"
	"database/sql"
	"fmt"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// RestorePoint adds a point as its repository tells of it, markers included, unless there is a
// row of it: what the server saw itself is more than what a repository keeps. It answers
// whether it was added.
func RestorePoint(ctx context.Context, tx *sql.Tx, p *keepwardv1.Point) (added bool, err error) {
	var deleted int64
	if p.Deleted != nil {
		deleted = nanos(p.Deleted.AsTime())
	}
	var j jsonOf
	counters, files := j.of(p.Counters), j.of(p.Files)
	if j.err != nil {
		return false, j.err
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO points (`+pointColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO NOTHING`,
		p.Id, p.Computer, p.Job, p.Session, p.Repository, nanos(p.Time.AsTime()), p.Parent, p.Full, p.Partial, p.Completeness, counters, files,
		deleted, p.DeletedBecause, p.Held, p.HoldReason)
	if err != nil {
		return false, fmt.Errorf("add restore point %s: %w", p.Id, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// SkipSessions makes the numbers of sessions go on above last: points of a former server name
// its sessions, and a number must not come to mean two.
func SkipSessions(ctx context.Context, tx *sql.Tx, last int64) error {
	res, err := tx.ExecContext(ctx, `UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'sessions'`, last)
	if err != nil {
		return fmt.Errorf("skip session numbers: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO sqlite_sequence (name, seq) VALUES ('sessions', ?)`, last); err != nil {
		return fmt.Errorf("skip session numbers: %w", err)
	}
	return nil
}

// ForgetRepository removes a repository and what is known of its points. A repository with
// sessions that have not ended must not be forgotten: see ActiveSessions.
func ForgetRepository(ctx context.Context, tx *sql.Tx, name string) error {
	for _, statement := range []string{`DELETE FROM points WHERE repository = ?`, `DELETE FROM repositories WHERE name = ?`} {
		if _, err := tx.ExecContext(ctx, statement, name); err != nil {
			return fmt.Errorf("forget repository %s: %w", name, err)
		}
	}
	return nil
}

// ActiveSessions are the numbers of sessions of a repository that have not ended, but for those
// that only look into it: they end by themselves, and leave nothing there.
func ActiveSessions(ctx context.Context, q Queryer, repository string) ([]int64, error) {
	rows, err := q.QueryContext(ctx, `SELECT id FROM sessions WHERE ended = 0 AND repository = ? AND type <> ? ORDER BY id`, repository, job.IndexRestore)
	out, err := collect(rows, err, func(r *sql.Rows) (id int64, err error) { return id, r.Scan(&id) })
	if err != nil {
		return nil, fmt.Errorf("list active sessions of repository %s: %w", repository, err)
	}
	return out, nil
}
