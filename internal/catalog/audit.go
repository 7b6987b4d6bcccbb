package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"keepward/internal/audit"
	"keepward/internal/errs"
)

const auditColumns = `number, time, kind, ends, user, token, role, address, call, named, outcome, times, previous, hash`

func scanAudit(row interface{ Scan(...any) error }) (r audit.Row, err error) {
	var number, ends, times int64 // signed: a row that was altered has to be read too
	var user, named, previous, hash []byte
	err = row.Scan(&number, &r.Time, &r.Kind, &ends, &user, &r.Token, &r.Role, &r.Address, &r.Call, &named, &r.Outcome, &times, &previous, &hash)
	if err != nil {
		return r, err
	}
	r.Number, r.Ends, r.Times, r.User = uint64(number), uint64(ends), uint64(times), string(user)
	if r.Named, err = audit.DecodeNamed(named); err != nil {
		// Who checks the chain has to see the row: its hash tells that it was altered.
		r.Named, err = []audit.Named{{Field: "damaged", Value: string(named)}}, nil
	}
	copy(r.Previous[:], previous) // of another length it is another hash
	copy(r.Hash[:], hash)
	return r, nil
}

// AuditHead is the last row of the audit log.
func AuditHead(ctx context.Context, q Queryer) (audit.Head, error) {
	var number uint64
	var hash []byte
	err := q.QueryRowContext(ctx, `SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1`).Scan(&number, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return audit.Head{}, nil
	}
	if err != nil {
		return audit.Head{}, fmt.Errorf("read the end of the audit log: %w", err)
	}
	head := audit.Head{Number: number}
	copy(head.Hash[:], hash)
	return head, nil
}

// AppendAudit adds a row behind all others, which gives it its number and its hashes.
func AppendAudit(ctx context.Context, tx *sql.Tx, r audit.Row) (audit.Row, error) {
	head, err := AuditHead(ctx, tx)
	if err != nil {
		return r, err
	}
	r.Number, r.Previous = head.Number+1, head.Hash
	r.Hash = r.Sum()
	_, err = tx.ExecContext(ctx, `INSERT INTO audit (`+auditColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.Number, r.Time, r.Kind, r.Ends, []byte(r.User), r.Token, r.Role, r.Address, r.Call, audit.EncodeNamed(r.Named), r.Outcome, r.Times, r.Previous[:], r.Hash[:])
	if err != nil {
		return r, fmt.Errorf("add row %d to the audit log: %w", r.Number, err)
	}
	return r, nil
}

// AuditRows are rows as they were written, in their order, from behind a number on.
func AuditRows(ctx context.Context, q Queryer, after uint64, limit int) ([]audit.Row, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+auditColumns+` FROM audit WHERE number > ? ORDER BY number LIMIT ?`, after, limit)
	out, err := collect(rows, err, func(r *sql.Rows) (audit.Row, error) { return scanAudit(r) })
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return out, nil
}

// AuditFilter chooses calls; what is empty chooses all.
type AuditFilter struct {
	User         string
	Call         string // part of it, in any case
	Since, Until time.Time
	Before       uint64 // only rows of a lower number: the next page
	Limit        int
}

// AuditedCall is a call with what became of it, in one.
type AuditedCall struct {
	audit.Row
	Ended time.Time // zero: it goes on, or the server died before its end
	// What its answer named, such as the session that it started.
	Answered []audit.Named
}

// AuditedCalls are calls, the newest first.
func AuditedCalls(ctx context.Context, q Queryer, f AuditFilter) ([]AuditedCall, error) {
	where, args := []string{"kind <> ?"}, []any{audit.KindEnd}
	add := func(condition string, arg any) { where, args = append(where, condition), append(args, arg) }
	if f.User != "" {
		add("user = ?", []byte(f.User))
	}
	if f.Call != "" {
		add("instr(lower(call), lower(?)) > 0", f.Call)
	}
	if !f.Since.IsZero() {
		add("time >= ?", nanos(f.Since))
	}
	if !f.Until.IsZero() {
		add("time < ?", nanos(f.Until))
	}
	if f.Before > 0 {
		add("number < ?", f.Before)
	}
	rows, err := q.QueryContext(ctx, `SELECT `+auditColumns+` FROM audit WHERE `+strings.Join(where, " AND ")+` ORDER BY number DESC LIMIT ?`, append(args, f.Limit)...)
	list, err := collect(rows, err, func(r *sql.Rows) (audit.Row, error) { return scanAudit(r) })
	if err != nil {
		return nil, fmt.Errorf("list the audit log: %w", err)
	}
	out := make([]AuditedCall, len(list))
	for i, r := range list {
		out[i] = AuditedCall{Row: r, Ended: timeOf(r.Time)}
		if r.Kind != audit.KindBegin {
			continue
		}
		end, err := scanAudit(q.QueryRowContext(ctx, `SELECT `+auditColumns+` FROM audit WHERE ends = ? AND ends <> 0`, r.Number))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			out[i].Ended = time.Time{}
		case err != nil:
			return nil, fmt.Errorf("read the end of row %d: %w", r.Number, err)
		default:
			out[i].Ended, out[i].Outcome, out[i].Answered = timeOf(end.Time), end.Outcome, end.Named
		}
	}
	return out, nil
}

// errAudit is the error of a call that is not answered because it cannot be written down.
func errAudit(call string, err error) error {
	return errs.New(errs.KindOf(err), "audit.not-written", "call %s: it is not done, since it cannot be written to the audit log: %w", call, err).
		WithHint("make room on the disk of the server's data directory; what runs already goes on")
}

// Audit writes a row by itself, in a transaction of its own.
func (db *DB) Audit(ctx context.Context, r audit.Row) (audit.Row, error) {
	var written audit.Row
	err := db.Write(ctx, func(tx *sql.Tx) (err error) {
		written, err = AppendAudit(ctx, tx, r)
		return err
	})
	if err != nil && ctx.Err() == nil {
		err = errAudit(r.Call, err)
	}
	return written, err
}

// AuditWith writes a row in the transaction of the change that it tells of.
func AuditWith(ctx context.Context, tx *sql.Tx, r audit.Row) error {
	if _, err := AppendAudit(ctx, tx, r); err != nil {
		return errAudit(r.Call, err)
	}
	return nil
}
