package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
)

// Report is who gets a report, and up to when reports were sent.
type Report struct {
	*keepwardv1.Report
	Sent time.Time // or when it was saved last
}

func scanReport(row interface{ Scan(...any) error }) (r Report, err error) {
	var text string
	var sent int64
	if err := row.Scan(&text, &sent); err != nil {
		return r, err
	}
	r.Sent = timeOf(sent)
	r.Report, err = fromJSON(text, &keepwardv1.Report{})
	return r, err
}

// Reports lists all by name.
func Reports(ctx context.Context, q Queryer) ([]Report, error) {
	rows, err := q.QueryContext(ctx, `SELECT definition, sent FROM reports ORDER BY name`)
	out, err := collect(rows, err, func(r *sql.Rows) (Report, error) { return scanReport(r) })
	if err != nil {
		return nil, fmt.Errorf("list reports: %w", err)
	}
	return out, nil
}

// GetReport finds one, or answers errs.NotFound with the nearest names.
func GetReport(ctx context.Context, q Queryer, name string) (Report, error) {
	r, err := scanReport(q.QueryRowContext(ctx, `SELECT definition, sent FROM reports WHERE name = ?`, name))
	return orNearest(ctx, q, r, err, "report", "reports", name)
}

// PutReport adds one, or replaces the one of the same name.
func PutReport(ctx context.Context, tx *sql.Tx, r Report) error {
	text, err := toJSON(r.Report)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO reports (name, definition, sent) VALUES (?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, sent = excluded.sent`, r.GetName(), text, nanos(r.Sent))
	if err != nil {
		return fmt.Errorf("write report %s: %w", r.GetName(), err)
	}
	return nil
}

// NoteReportSent notes up to when reports were sent. It answers false where the report is gone, or was
// saved or sent since it was read.
func NoteReportSent(ctx context.Context, tx *sql.Tx, r Report, now time.Time) (bool, error) {
	res, err := tx.ExecContext(ctx, `UPDATE reports SET sent = ? WHERE name = ? AND sent = ?`, nanos(now), r.GetName(), nanos(r.Sent))
	if err != nil {
		return false, fmt.Errorf("note that report %s was sent: %w", r.GetName(), err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// DeleteReport forgets one.
func DeleteReport(ctx context.Context, tx *sql.Tx, name string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM reports WHERE name = ?`, name); err != nil {
		return fmt.Errorf("delete report %s: %w", name, err)
	}
	return nil
}
