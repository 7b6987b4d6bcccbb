package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"keepward/internal/job"
)

// LastSweeps are the newest sweeps of a repository that are over, the newest first.
func LastSweeps(ctx context.Context, q Queryer, repository string, limit int) ([]Session, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+sessionColumns+` FROM sessions
		WHERE repository = ? AND type = ? AND ended != 0 ORDER BY id DESC LIMIT +?`, repository, job.Sweep, limit)
	out, err := collect(rows, err, func(r *sql.Rows) (Session, error) { return scanSession(r) })
	if err != nil {
		return nil, fmt.Errorf("list sweeps of repository %s: %w", repository, err)
	}
	return out, nil
}

// lastEnds is how many sessions may have begun after the one that ended last.
const lastEnds = 100

// Rest is what has been going on in a repository.
type Rest struct {
	Active map[job.Type]int64 // a session of each type that is not over
	Ended  time.Time          // of the last session that is
	Stored int64              // the newest backup that made a restore point; 0: none
}

// RestOf tells what has been going on in a repository.
func RestOf(ctx context.Context, q Queryer, repository string) (Rest, error) {
	r := Rest{Active: map[job.Type]int64{}}
	var ended int64
	err := q.QueryRowContext(ctx, `SELECT
		(SELECT coalesce(max(ended), 0) FROM (SELECT ended FROM sessions WHERE repository = ?1 ORDER BY id DESC LIMIT +?2)),
		coalesce((SELECT id FROM sessions WHERE repository = ?1 AND type = ?3 AND status IN (?4, ?5, ?6) ORDER BY id DESC LIMIT 1), 0)`,
		repository, lastEnds, job.Backup, job.Completed, job.CompletedWithWarnings, job.CompletedWithErrors).Scan(&ended, &r.Stored)
	r.Ended = timeOf(ended)
	if err != nil {
		return r, fmt.Errorf("read sessions of repository %s: %w", repository, err)
	}
	type row struct {
		typ job.Type
		id  int64
	}
	rows, err := q.QueryContext(ctx, `SELECT type, id FROM sessions WHERE repository = ? AND ended = 0`, repository)
	list, err := collect(rows, err, func(r *sql.Rows) (out row, err error) { return out, r.Scan(&out.typ, &out.id) })
	if err != nil {
		return r, fmt.Errorf("list sessions of repository %s: %w", repository, err)
	}
	for _, s := range list {
		r.Active[s.typ] = s.id
	}
	return r, nil
}
