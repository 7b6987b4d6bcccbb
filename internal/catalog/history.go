package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// This file forgets sessions that have been over for long. What others still ask about stays:
// the newest session of each job, type and repository, attempts whose end nobody knows yet, and
// the runs that a job counts to its next full one.

// oldSession is the condition on a session that may be forgotten: it ended before ?1. Of a job in
// ?2, a list as JSON, its newest session that read everything stays, and all that came after it.
const oldSession = `ended > 0 AND ended < ?1
	AND EXISTS (SELECT 1 FROM sessions newer WHERE newer.job = sessions.job AND newer.id > sessions.id AND newer.type = sessions.type AND newer.repository = sessions.repository)
	AND NOT EXISTS (SELECT 1 FROM tasks JOIN attempts ON attempts.task = tasks.id WHERE tasks.session = sessions.id AND attempts.settled = '')
	AND NOT (job IN (SELECT value FROM json_each(?2)) AND id >=
		(SELECT coalesce(max(CASE WHEN is_full THEN id END), min(id)) FROM sessions counted WHERE counted.job = sessions.job AND counted.type = sessions.type))`

// ForgetSessions deletes up to limit sessions that ended before a moment, the oldest first, with
// their tasks and logs, and answers how many. counted are the jobs, as a JSON list, that read
// everything again after so many runs.
func ForgetSessions(ctx context.Context, tx *sql.Tx, before time.Time, counted string, limit int) (int64, error) {
	res, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE `+oldSession+` ORDER BY ended LIMIT +?3)`,
		nanos(before), counted, limit)
	if err != nil {
		return 0, fmt.Errorf("forget old sessions: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("forget old sessions: %w", err)
	}
	return n, nil
}

// ForgetLogs deletes the logs of up to limit sessions that ended before a moment, and answers how
// many sessions lost theirs.
func ForgetLogs(ctx context.Context, tx *sql.Tx, before time.Time, limit int) (int, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id FROM sessions WHERE ended > 0 AND ended < ?
		AND EXISTS (SELECT 1 FROM events WHERE session = sessions.id) ORDER BY ended LIMIT +?`, nanos(before), limit)
	ids, err := collect(rows, err, func(r *sql.Rows) (id int64, err error) { return id, r.Scan(&id) })
	if err != nil {
		return 0, fmt.Errorf("find old logs: %w", err)
	}
	for _, id := range ids {
		if _, err := tx.ExecContext(ctx, `DELETE FROM events WHERE session = ?`, id); err != nil {
			return 0, fmt.Errorf("forget log of session %d: %w", id, err)
		}
	}
	return len(ids), nil
}
