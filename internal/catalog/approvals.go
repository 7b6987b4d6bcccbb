package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"keepward/internal/errs"
)

// Approval is a call that a second administrator must approve.
type Approval struct {
	ID     int64
	UserID int64 // who asked; may be gone
	User   string
	// UserSince is when that user was made: numbers and names are given again.
	UserSince time.Time
	Call      string // procedure
	What      string // what it does, in words
	Digest    []byte // of the call and its message
	Message   []byte // sealed; empty: who asked makes the call again, or it is decided
	Again     bool
	Asked     time.Time
	// Expires is up to when it may be decided on or, granted, made.
	Expires   time.Time
	State     string
	DecidedBy string
	Decided   time.Time
	Note      string
	Error     string
}

// States of an Approval. One that nobody decided on in time stays ApprovalWaiting.
const (
	ApprovalWaiting   = "waiting"
	ApprovalGranted   = "granted"
	ApprovalDone      = "done"
	ApprovalFailed    = "failed"
	ApprovalRefused   = "refused"
	ApprovalWithdrawn = "withdrawn"
)

// Open tells whether it can be decided on or, granted, made.
func (a Approval) Open(now time.Time) bool {
	return (a.State == ApprovalWaiting || a.State == ApprovalGranted) && now.Before(a.Expires)
}

const approvalColumns = `id, user_id, user, user_since, call, what, digest, message, again, asked, expires, state, decided_by, decided, note, error`

func scanApproval(row interface{ Scan(...any) error }) (a Approval, err error) {
	var since, asked, expires, decided int64
	err = row.Scan(&a.ID, &a.UserID, &a.User, &since, &a.Call, &a.What, &a.Digest, &a.Message, &a.Again, &asked, &expires, &a.State, &a.DecidedBy, &decided, &a.Note, &a.Error)
	a.UserSince, a.Asked, a.Expires, a.Decided = timeOf(since), timeOf(asked), timeOf(expires), timeOf(decided)
	return a, err
}

func approvalsBy(ctx context.Context, q Queryer, query string, args ...any) ([]Approval, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+approvalColumns+` FROM approvals `+query, args...)
	out, err := collect(rows, err, func(r *sql.Rows) (Approval, error) { return scanApproval(r) })
	if err != nil {
		return nil, fmt.Errorf("list approvals: %w", err)
	}
	return out, nil
}

// Approvals lists the newest most, the newest first.
func Approvals(ctx context.Context, q Queryer, most int) ([]Approval, error) {
	return approvalsBy(ctx, q, `ORDER BY id DESC LIMIT ?`, most)
}

// OpenApprovals are those that can be decided on or, granted, made, the newest first.
func OpenApprovals(ctx context.Context, q Queryer, now time.Time) ([]Approval, error) {
	return approvalsBy(ctx, q, `WHERE state IN (?, ?) AND expires > ? ORDER BY id DESC`, ApprovalWaiting, ApprovalGranted, nanos(now))
}

// blob is bytes for a column that must have some, if none.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// GetApproval finds one, or answers errs.NotFound.
func GetApproval(ctx context.Context, q Queryer, id int64) (Approval, error) {
	a, err := scanApproval(q.QueryRowContext(ctx, `SELECT `+approvalColumns+` FROM approvals WHERE id = ?`, id))
	a, ok, err := found(a, err, "read approval")
	if err == nil && !ok {
		err = errs.New(errs.NotFound, "approval.unknown", "there is no approval %d", id).WithHint("see what was asked for: keepward approval list")
	}
	return a, err
}

// AddApproval adds one, and answers its number.
func AddApproval(ctx context.Context, tx *sql.Tx, a Approval) (id int64, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO approvals (user_id, user, user_since, call, what, digest, message, again, asked, expires, state, decided_by, decided, note, error)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', 0, '', '') RETURNING id`,
		a.UserID, a.User, nanos(a.UserSince), a.Call, a.What, a.Digest, blob(a.Message), a.Again, nanos(a.Asked), nanos(a.Expires), ApprovalWaiting).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("write approval: %w", err)
	}
	return id, nil
}

// MoveApproval keeps state, decision, message and end of one, if it still is in the state from. ok is
// false where it is not: somebody else was faster.
func MoveApproval(ctx context.Context, tx *sql.Tx, a Approval, from string) (ok bool, err error) {
	res, err := tx.ExecContext(ctx, `UPDATE approvals SET state = ?, message = ?, expires = ?, decided_by = ?, decided = ?, note = ?, error = ? WHERE id = ? AND state = ?`,
		a.State, blob(a.Message), nanos(a.Expires), a.DecidedBy, nanos(a.Decided), a.Note, a.Error, a.ID, from)
	if err != nil {
		return false, fmt.Errorf("write approval %d: %w", a.ID, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// SweepApprovals forgets the messages of what nobody decided on in time, and what was asked for before a time.
func SweepApprovals(ctx context.Context, tx *sql.Tx, now, before time.Time) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM approvals WHERE asked < ? AND expires < ?`, nanos(before), nanos(now))
	if err == nil {
		_, err = tx.ExecContext(ctx, `UPDATE approvals SET message = x'' WHERE state = ? AND expires < ? AND message <> x''`, ApprovalWaiting, nanos(now))
	}
	if err != nil {
		return fmt.Errorf("forget old approvals: %w", err)
	}
	return nil
}

// BrokenApprovals fails those that were being made when the server ended, and answers how many.
func BrokenApprovals(ctx context.Context, tx *sql.Tx, why string) (int64, error) {
	res, err := tx.ExecContext(ctx, `UPDATE approvals SET state = ?, error = ?, message = x'' WHERE state = ? AND NOT again`, ApprovalFailed, why, ApprovalGranted)
	if err != nil {
		return 0, fmt.Errorf("end approvals that were being made: %w", err)
	}
	return res.RowsAffected()
}
