package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"keepward/internal/errs"
)

// SignOn is somebody at a provider of single sign-on who logs in as a user.
type SignOn struct {
	ID              string
	Issuer, Subject string
	UserID          int64
	Label           string // what people call that person there
	Created         time.Time
	Used            time.Time // zero: never
}

const signOnColumns = `id, issuer, subject, user_id, label, created, used`

func scanSignOn(row interface{ Scan(...any) error }) (SignOn, error) {
	var s SignOn
	var created, used int64
	err := row.Scan(&s.ID, &s.Issuer, &s.Subject, &s.UserID, &s.Label, &created, &used)
	s.Created, s.Used = timeOf(created), timeOf(used)
	return s, err
}

// AddSignOn keeps one. It is errs.Exists if that person is connected already, with whomever.
func AddSignOn(ctx context.Context, tx *sql.Tx, s SignOn) error {
	var id string
	err := tx.QueryRowContext(ctx, `INSERT INTO sign_ons (id, issuer, subject, user_id, label, created) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id`,
		s.ID, s.Issuer, s.Subject, s.UserID, s.Label, nanos(s.Created)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return errs.New(errs.Exists, "sign-on.exists", "connect %q at %s: that person is connected already", s.Label, s.Issuer).
			WithHint("with this account or another one: an administrator sees it by keepward sign-on list USER, and disconnects it")
	}
	if err != nil {
		return fmt.Errorf("connect user %d: %w", s.UserID, err)
	}
	return nil
}

// SignOns are those of a user, the oldest first.
func SignOns(ctx context.Context, q Queryer, user int64) ([]SignOn, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+signOnColumns+` FROM sign_ons WHERE user_id = ? ORDER BY created, id`, user)
	out, err := collect(rows, err, func(r *sql.Rows) (SignOn, error) { return scanSignOn(r) })
	if err != nil {
		return nil, fmt.Errorf("list what user %d is connected with: %w", user, err)
	}
	return out, nil
}

// SignOnOf finds somebody at a provider, and as whom that person logs in; ok is false where there is nobody.
func SignOnOf(ctx context.Context, q Queryer, issuer, subject string) (s SignOn, u User, ok bool, err error) {
	s, err = scanSignOn(q.QueryRowContext(ctx, `SELECT `+signOnColumns+` FROM sign_ons WHERE issuer = ? AND subject = ?`, issuer, subject))
	if s, ok, err = found(s, err, "read who is connected"); err != nil || !ok {
		return s, u, false, err
	}
	u, err = UserByID(ctx, q, s.UserID)
	return s, u, err == nil, err
}

// UserByID finds a user by number.
func UserByID(ctx context.Context, q Queryer, id int64) (User, error) {
	u, err := scanUser(q.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE id = ?`, id))
	u, ok, err := found(u, err, "read user")
	if err == nil && !ok {
		err = errs.New(errs.NotFound, "user.not-found", "there is no user %d any more", id)
	}
	return u, err
}

// UseSignOn keeps when one was used.
func UseSignOn(ctx context.Context, tx *sql.Tx, s SignOn) error {
	if _, err := tx.ExecContext(ctx, `UPDATE sign_ons SET used = ? WHERE id = ?`, nanos(s.Used), s.ID); err != nil {
		return fmt.Errorf("write the use of what user %d is connected with: %w", s.UserID, err)
	}
	return nil
}

// DeleteSignOn removes one, and DeleteSignOns all of a user.
func DeleteSignOn(ctx context.Context, tx *sql.Tx, id string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM sign_ons WHERE id = ?`, id); err != nil {
		return fmt.Errorf("disconnect %s: %w", id, err)
	}
	return nil
}

func DeleteSignOns(ctx context.Context, tx *sql.Tx, user int64) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM sign_ons WHERE user_id = ?`, user); err != nil {
		return fmt.Errorf("disconnect user %d: %w", user, err)
	}
	return nil
}
