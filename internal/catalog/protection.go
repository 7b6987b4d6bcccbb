package catalog

import (
	"context"
	"database/sql"
	"fmt"
)

// Protection is what the backups of a computer came to on a day. The numbers are kept: the higher one is
// the better one, and wins.
type Protection int

const (
	// ProtectionNone: no backup of the day is over, or none was made.
	ProtectionNone Protection = iota
	// ProtectionFailed: none left a restore point.
	ProtectionFailed
	ProtectionPartial // some of it is not in the restore point
	ProtectionWarning
	ProtectionSuccess
)

// ProtectionKept is for how many days it is kept.
const ProtectionKept = 400

// ProtectionFilter says which computers and days a list is about.
type ProtectionFilter struct {
	First, Last int64 // days since 1970 UTC
	// Through is the last day that can be a hole: one that is not over yet may still have its backup.
	Through int64
	// Only lets these computers pass; nil: all.
	Only          []string
	Limit, Offset int
}

// ProtectionRow is a computer with how it stands.
type ProtectionRow struct {
	Computer string
	Hole     int64        // days without a restore point up to Through
	Failed   int64        // days of the range
	Days     []Protection // of the range, the oldest first
}

// Protections is a page of a list, the worst computers first.
type Protections struct {
	Rows []ProtectionRow
	// Found is how many computers the filter lets pass, Holes how many of them have one.
	Found, Holes int64
}

// protectionRanks has two looks at an index for each computer, and one at what failed: it is fast where
// there are many computers and days, for most days did not fail. The last good day may lie before the
// range. Who never had one is without since it joined.
const protectionRanks = `SELECT name, hole, failed, count(*) OVER (), sum(hole > 0) OVER () FROM (
	SELECT name, max(0, ?1 - coalesce(
		(SELECT day FROM protection_days WHERE computer = name AND day <= ?4 AND result > 1 ORDER BY day DESC LIMIT 1),
		max(joined / 86400000000000 - 1, ?1 - ?5))) AS hole, coalesce(bad.days, 0) AS failed
	FROM computers LEFT JOIN (SELECT computer, count(*) AS days FROM protection_days INDEXED BY protection_days_failed
		WHERE result = 1 AND day BETWEEN ?3 AND ?4 GROUP BY computer) AS bad ON bad.computer = name
	WHERE ?2 = '' OR name IN (SELECT value FROM json_each(?2)))
	ORDER BY hole DESC, failed DESC, name LIMIT ?6 OFFSET ?7`

// ListProtection answers a page of the computers that there are: those first whose hole up to now is the
// longest, then those with the most failed days, then by name.
func ListProtection(ctx context.Context, q Queryer, f ProtectionFilter) (out Protections, err error) {
	only := ""
	if f.Only != nil {
		only = textsOf(f.Only)
	}
	ranks := func(limit, offset int) ([]ProtectionRow, error) {
		rows, err := q.QueryContext(ctx, protectionRanks, f.Through, only, f.First, f.Last, ProtectionKept, limit, offset)
		return collect(rows, err, func(r *sql.Rows) (one ProtectionRow, err error) {
			return one, r.Scan(&one.Computer, &one.Hole, &one.Failed, &out.Found, &out.Holes)
		})
	}
	if out.Rows, err = ranks(f.Limit, f.Offset); err == nil && len(out.Rows) == 0 && f.Offset > 0 {
		_, err = ranks(1, 0) // behind the end there are counts still
	}
	if err != nil {
		return out, fmt.Errorf("list how computers are protected: %w", err)
	}
	at := make(map[string]int, len(out.Rows))
	var names []string
	for i, row := range out.Rows {
		at[row.Computer], names = i, append(names, row.Computer)
		out.Rows[i].Days = make([]Protection, f.Last-f.First+1)
	}
	type day struct {
		computer string
		day      int64
		result   Protection
	}
	rows, err := q.QueryContext(ctx, `SELECT computer, day, result FROM protection_days
		WHERE computer IN (SELECT value FROM json_each(?)) AND day BETWEEN ? AND ?`, textsOf(names), f.First, f.Last)
	days, err := collect(rows, err, func(r *sql.Rows) (d day, err error) { return d, r.Scan(&d.computer, &d.day, &d.result) })
	if err != nil {
		return out, fmt.Errorf("list how computers were protected: %w", err)
	}
	for _, d := range days {
		out.Rows[at[d.computer]].Days[d.day-f.First] = d.result
	}
	return out, nil
}

// ProtectedBefore lists the computers that have days older than one.
func ProtectedBefore(ctx context.Context, q Queryer, day int64) ([]string, error) {
	rows, err := q.QueryContext(ctx, `SELECT DISTINCT computer FROM protection_days WHERE day < ? ORDER BY computer`, day)
	out, err := collect(rows, err, scanText)
	if err != nil {
		return nil, fmt.Errorf("list old days of computers: %w", err)
	}
	return out, nil
}

// ForgetProtection deletes the days of computers that are older than one, and says how many.
func ForgetProtection(ctx context.Context, tx *sql.Tx, computers []string, day int64) (int64, error) {
	res, err := tx.ExecContext(ctx, `DELETE FROM protection_days WHERE computer IN (SELECT value FROM json_each(?)) AND day < ?`, textsOf(computers), day)
	if err != nil {
		return 0, fmt.Errorf("forget old days of computers: %w", err)
	}
	return res.RowsAffected()
}
