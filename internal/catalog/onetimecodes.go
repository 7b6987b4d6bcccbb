package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// OneTimeCodes are by what a user logs in besides the password. The secret is sealed.
type OneTimeCodes struct {
	UserID    int64
	Secret    []byte
	Created   time.Time
	Confirmed time.Time // zero: not asked for yet
	Step      int64     // of the last code that was used
}

// OneTimeCodesOf finds those of a user, confirmed or not; ok is false where there are none.
func OneTimeCodesOf(ctx context.Context, q Queryer, user int64) (c OneTimeCodes, ok bool, err error) {
	var created, confirmed int64
	err = q.QueryRowContext(ctx, `SELECT user_id, secret, created, confirmed, step FROM one_time_codes WHERE user_id = ?`, user).
		Scan(&c.UserID, &c.Secret, &created, &confirmed, &c.Step)
	c.Created, c.Confirmed = timeOf(created), timeOf(confirmed)
	return found(c, err, "read one-time codes")
}

// PutOneTimeCodes keeps those of a user.
func PutOneTimeCodes(ctx context.Context, tx *sql.Tx, c OneTimeCodes) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO one_time_codes (user_id, secret, created, confirmed, step) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (user_id) DO UPDATE SET secret = excluded.secret, created = excluded.created, confirmed = excluded.confirmed, step = excluded.step`,
		c.UserID, c.Secret, nanos(c.Created), nanos(c.Confirmed), c.Step)
	if err != nil {
		return fmt.Errorf("write one-time codes of user %d: %w", c.UserID, err)
	}
	return nil
}

// DeleteOneTimeCodes removes those of a user, with the recovery codes.
func DeleteOneTimeCodes(ctx context.Context, tx *sql.Tx, user int64) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM one_time_codes WHERE user_id = ?`, user); err != nil {
		return fmt.Errorf("delete one-time codes of user %d: %w", user, err)
	}
	return nil
}

// PutRecoveryCodes replaces the recovery codes of a user.
func PutRecoveryCodes(ctx context.Context, tx *sql.Tx, user int64, codes []string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM recovery_codes WHERE user_id = ?`, user); err != nil {
		return fmt.Errorf("clear recovery codes of user %d: %w", user, err)
	}
	for _, c := range codes {
		if _, err := tx.ExecContext(ctx, `INSERT INTO recovery_codes (user_id, hash) VALUES (?, ?)`, user, tokenHash(c)); err != nil {
			return fmt.Errorf("write recovery codes of user %d: %w", user, err)
		}
	}
	return nil
}

// UseRecoveryCode tells whether a code is one of the user's, and uses it up.
func UseRecoveryCode(ctx context.Context, tx *sql.Tx, user int64, code string) (bool, error) {
	res, err := tx.ExecContext(ctx, `DELETE FROM recovery_codes WHERE user_id = ? AND hash = ?`, user, tokenHash(code))
	if err != nil {
		return false, fmt.Errorf("use a recovery code of user %d: %w", user, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// CountRecoveryCodes is how many a user has left.
func CountRecoveryCodes(ctx context.Context, q Queryer, user int64) (int, error) {
	var n int
	if err := q.QueryRowContext(ctx, `SELECT count(*) FROM recovery_codes WHERE user_id = ?`, user).Scan(&n); err != nil {
		return 0, fmt.Errorf("count recovery codes: %w", err)
	}
	return n, nil
}
