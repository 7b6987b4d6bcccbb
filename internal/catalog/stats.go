package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
)

// LastReport is what the newest task of a type came to in a repository, and when; nil: none
// has told.
func LastReport(ctx context.Context, q Queryer, repository, typ string) (*keepwardv1.TaskReport, time.Time, error) {
	rows, err := q.QueryContext(ctx, `SELECT tasks.report_json, tasks.ended FROM tasks JOIN sessions ON sessions.id = tasks.session
		WHERE tasks.repository = ? AND sessions.type = ? AND tasks.report_json <> '' AND tasks.ended > 0 ORDER BY tasks.ended DESC LIMIT 1`, repository, typ)
	type row struct {
		report string
		ended  int64
	}
	list, err := collect(rows, err, func(r *sql.Rows) (out row, err error) { return out, r.Scan(&out.report, &out.ended) })
	if err != nil || len(list) == 0 {
		if err != nil {
			err = fmt.Errorf("read the last report on repository %s: %w", repository, err)
		}
		return nil, time.Time{}, err
	}
	report, err := fromJSON(list[0].report, &keepwardv1.TaskReport{})
	return report, timeOf(list[0].ended), err
}
