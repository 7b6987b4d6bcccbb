package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// KeyedCall is a call that was made with an idempotency key.
type KeyedCall struct {
	UserID int64
	Key    string
	Call   string
	Digest []byte
	State  string
	Answer []byte
	Begun  time.Time
}

// States of a KeyedCall.
const (
	KeyedRunning = "running"
	KeyedDone    = "done"
	KeyedTold    = "told" // done, and its answer is not kept
)

// KeyedCallOf finds what a user did with a key since some time; ok is false where that is nothing.
func KeyedCallOf(ctx context.Context, q Queryer, user int64, key string, since time.Time) (c KeyedCall, ok bool, err error) {
	var begun int64
	err = q.QueryRowContext(ctx, `SELECT user_id, key, call, digest, state, answer, begun FROM idempotency_keys WHERE user_id = ? AND key = ? AND begun > ?`, user, key, nanos(since)).
		Scan(&c.UserID, &c.Key, &c.Call, &c.Digest, &c.State, &c.Answer, &begun)
	c.Begun = timeOf(begun)
	return found(c, err, "read idempotency key")
}

// PutKeyedCall keeps a call, in the place of what was done with its key before.
func PutKeyedCall(ctx context.Context, tx *sql.Tx, c KeyedCall) error {
	_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO idempotency_keys (user_id, key, call, digest, state, answer, begun) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		c.UserID, c.Key, c.Call, c.Digest, c.State, c.Answer, nanos(c.Begun))
	if err != nil {
		return fmt.Errorf("write idempotency key of user %d: %w", c.UserID, err)
	}
	return nil
}

// EndKeyedCall keeps how a call ended; its row may be gone with its user, which is no error.
func EndKeyedCall(ctx context.Context, tx *sql.Tx, c KeyedCall) error {
	if _, err := tx.ExecContext(ctx, `UPDATE idempotency_keys SET state = ?, answer = ? WHERE user_id = ? AND key = ?`, c.State, c.Answer, c.UserID, c.Key); err != nil {
		return fmt.Errorf("write idempotency key of user %d: %w", c.UserID, err)
	}
	return nil
}

// ForgetKeyedCall lets a key be used as if it never was.
func ForgetKeyedCall(ctx context.Context, tx *sql.Tx, user int64, key string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM idempotency_keys WHERE user_id = ? AND key = ?`, user, key); err != nil {
		return fmt.Errorf("delete idempotency key of user %d: %w", user, err)
	}
	return nil
}

// SweepKeyedCalls forgets calls that were begun before a time, and of each user all but the newest most.
func SweepKeyedCalls(ctx context.Context, tx *sql.Tx, before time.Time, most int) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM idempotency_keys WHERE begun <= ?`, nanos(before))
	if err == nil {
		_, err = tx.ExecContext(ctx, `DELETE FROM idempotency_keys WHERE (user_id, key) IN (
			SELECT user_id, key FROM (SELECT user_id, key, row_number() OVER (PARTITION BY user_id ORDER BY begun DESC) AS n FROM idempotency_keys) WHERE n > ?)`, most)
	}
	if err != nil {
		return fmt.Errorf("forget idempotency keys: %w", err)
	}
	return nil
}
