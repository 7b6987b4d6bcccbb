package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"keepward/internal/errs"
)

// Passkey is a public key by which a user logs in, in a browser.
type Passkey struct {
	ID         string
	UserID     int64
	Credential []byte // the id that its maker gave it
	Name       string // what people call it
	Record     []byte // JSON: public key, counter, flags
	Created    time.Time
	Used       time.Time // zero: never
}

const passkeyColumns = `id, user_id, credential, name, record, created, used`

func scanPasskey(row interface{ Scan(...any) error }) (Passkey, error) {
	var p Passkey
	var record string
	var created, used int64
	err := row.Scan(&p.ID, &p.UserID, &p.Credential, &p.Name, &record, &created, &used)
	p.Record, p.Created, p.Used = []byte(record), timeOf(created), timeOf(used)
	return p, err
}

// AddPasskey keeps one. It is errs.Exists if its credential is known, whoever has it.
func AddPasskey(ctx context.Context, tx *sql.Tx, p Passkey) error {
	var id string
	err := tx.QueryRowContext(ctx, `INSERT INTO passkeys (id, user_id, credential, name, record, created) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id`,
		p.ID, p.UserID, p.Credential, p.Name, string(p.Record), nanos(p.Created)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return errs.New(errs.Exists, "passkey.exists", "add passkey %q: it is known already", p.Name)
	}
	if err != nil {
		return fmt.Errorf("add passkey of user %d: %w", p.UserID, err)
	}
	return nil
}

// Passkeys are those of a user, the oldest first.
func Passkeys(ctx context.Context, q Queryer, user int64) ([]Passkey, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+passkeyColumns+` FROM passkeys WHERE user_id = ? ORDER BY created, id`, user)
	out, err := collect(rows, err, func(r *sql.Rows) (Passkey, error) { return scanPasskey(r) })
	if err != nil {
		return nil, fmt.Errorf("list passkeys of user %d: %w", user, err)
	}
	return out, nil
}

// PasskeyOf finds the one with a credential, and whose it is; ok is false where there is none.
func PasskeyOf(ctx context.Context, q Queryer, credential []byte) (p Passkey, u User, ok bool, err error) {
	p, err = scanPasskey(q.QueryRowContext(ctx, `SELECT `+passkeyColumns+` FROM passkeys WHERE credential = ?`, credential))
	if p, ok, err = found(p, err, "read passkey"); err != nil || !ok {
		return p, u, false, err
	}
	u, err = UserByID(ctx, q, p.UserID)
	return p, u, err == nil, err
}

// UsePasskey keeps what a use changed.
func UsePasskey(ctx context.Context, tx *sql.Tx, p Passkey) error {
	if _, err := tx.ExecContext(ctx, `UPDATE passkeys SET record = ?, used = ? WHERE id = ?`, string(p.Record), nanos(p.Used), p.ID); err != nil {
		return fmt.Errorf("write the use of passkey %s: %w", p.ID, err)
	}
	return nil
}

// DeletePasskey removes one, and DeletePasskeys all of a user.
func DeletePasskey(ctx context.Context, tx *sql.Tx, id string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM passkeys WHERE id = ?`, id); err != nil {
		return fmt.Errorf("delete passkey %s: %w", id, err)
	}
	return nil
}

func DeletePasskeys(ctx context.Context, tx *sql.Tx, user int64) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM passkeys WHERE user_id = ?`, user); err != nil {
		return fmt.Errorf("delete the passkeys of user %d: %w", user, err)
	}
	return nil
}
