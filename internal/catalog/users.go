package catalog

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"keepward/internal/errs"
)

// User may ask the API for what its role allows.
type User struct {
	ID       int64
	Name     string
	Role     string
	Password string // hash, as HashPassword makes it
	Created  time.Time
}

// AddUser adds a user and answers its number.
func AddUser(ctx context.Context, tx *sql.Tx, u User) (int64, error) {
	var id int64
	err := tx.QueryRowContext(ctx,
		`INSERT INTO users (name, role, password, created) VALUES (?, ?, ?, ?)
		ON CONFLICT (name) DO NOTHING RETURNING id`,
		u.Name, u.Role, u.Password, nanos(u.Created)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, errs.New(errs.Exists, "user.exists", "add user %q: there is one already", u.Name)
	}
	if err != nil {
		return 0, fmt.Errorf("add user %q: %w", u.Name, err)
	}
	return id, nil
}

const userColumns = `users.id, users.name, users.role, users.password, users.created`

func scanUser(row *sql.Row) (User, error) {
	var u User
	var created int64
	err := row.Scan(&u.ID, &u.Name, &u.Role, &u.Password, &created)
	u.Created = timeOf(created)
	return u, err
}

// UserByName finds a user; ok is false where there is none.
func UserByName(ctx context.Context, q Queryer, name string) (u User, ok bool, err error) {
	u, err = scanUser(q.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE name = ?`, name))
	return found(u, err, "read user")
}

// HasUsers tells whether there is any user.
func HasUsers(ctx context.Context, q Queryer) (bool, error) {
	var has bool
	if err := q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM users)`).Scan(&has); err != nil {
		return false, fmt.Errorf("count users: %w", err)
	}
	return has, nil
}

// APIToken lets whoever shows it act as its user. Only its hash is kept.
type APIToken struct {
	UserID  int64
	Label   string // what it was made for
	Created time.Time
	Expires time.Time // zero: never
}

// AddAPIToken keeps a token of a user and clears away expired ones.
func AddAPIToken(ctx context.Context, tx *sql.Tx, token string, t APIToken) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM api_tokens WHERE expires <> 0 AND expires <= ?`, nanos(t.Created)); err != nil {
		return fmt.Errorf("clear expired tokens: %w", err)
	}
	_, err := tx.ExecContext(ctx,
		`INSERT INTO api_tokens (hash, user_id, label, created, expires) VALUES (?, ?, ?, ?, ?)`,
		tokenHash(token), t.UserID, t.Label, nanos(t.Created), nanos(t.Expires))
	if err != nil {
		return fmt.Errorf("add token of user %d: %w", t.UserID, err)
	}
	return nil
}

// UserOfToken finds the user of a token that has not expired; ok is false where there is none.
func UserOfToken(ctx context.Context, q Queryer, token string, now time.Time) (u User, ok bool, err error) {
	u, err = scanUser(q.QueryRowContext(ctx, `SELECT `+userColumns+` FROM api_tokens
		JOIN users ON users.id = api_tokens.user_id
		WHERE api_tokens.hash = ? AND (api_tokens.expires = 0 OR api_tokens.expires > ?)`,
		tokenHash(token), nanos(now)))
	return found(u, err, "read token")
}

// tokenHash needs no salt and no stretching: tokens are random and long.
func tokenHash(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

// found turns "no rows" into ok = false.
func found[T any](v T, err error, doing string) (T, bool, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return v, false, nil
	}
	if err != nil {
		return v, false, fmt.Errorf("%s: %w", doing, err)
	}
	return v, true, nil
}
