package catalog

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
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
	Codes    bool     // a login needs a one-time code
	Groups   []string // to whose computers the role is limited; none: it holds for the whole site
}

// AddUser adds a user and answers its number.
func AddUser(ctx context.Context, tx *sql.Tx, u User) (int64, error) {
	var id int64
	err := tx.QueryRowContext(ctx,
		`INSERT INTO users (name, role, password, created, limited_to) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (name) DO NOTHING RETURNING id`,
		u.Name, u.Role, u.Password, nanos(u.Created), lines(u.Groups)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, errs.New(errs.Exists, "user.exists", "add user %q: there is one already", u.Name)
	}
	if err != nil {
		return 0, fmt.Errorf("add user %q: %w", u.Name, err)
	}
	return id, nil
}

const userColumns = `users.id, users.name, users.role, users.password, users.created,
	EXISTS (SELECT 1 FROM one_time_codes WHERE one_time_codes.user_id = users.id AND one_time_codes.confirmed <> 0), users.limited_to`

func scanUser(row interface{ Scan(...any) error }) (User, error) {
	var u User
	var created int64
	var limited string
	err := row.Scan(&u.ID, &u.Name, &u.Role, &u.Password, &created, &u.Codes, &limited)
	u.Created, u.Groups = timeOf(created), ofLines(limited)
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

// ListUsers lists all by name.
func ListUsers(ctx context.Context, q Queryer) ([]User, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+userColumns+` FROM users ORDER BY name`)
	out, err := collect(rows, err, func(r *sql.Rows) (User, error) { return scanUser(r) })
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return out, nil
}

// GetUser finds one, or answers errs.NotFound with the nearest names.
func GetUser(ctx context.Context, q Queryer, name string) (User, error) {
	u, err := scanUser(q.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE name = ?`, name))
	return orNearest(ctx, q, u, err, "user", "users", name)
}

// lines keeps names in one column; a name has no line in it.
func lines(names []string) string { return strings.Join(names, "\n") }

func ofLines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

// CountUsers is how many users have a role for the whole site.
func CountUsers(ctx context.Context, q Queryer, role string) (int, error) {
	var n int
	if err := q.QueryRowContext(ctx, `SELECT count(*) FROM users WHERE role = ? AND limited_to = ''`, role).Scan(&n); err != nil {
		return 0, fmt.Errorf("count users: %w", err)
	}
	return n, nil
}

// PutUser keeps role, limits and password of a user.
func PutUser(ctx context.Context, tx *sql.Tx, u User) error {
	if _, err := tx.ExecContext(ctx, `UPDATE users SET role = ?, password = ?, limited_to = ? WHERE id = ?`, u.Role, u.Password, lines(u.Groups), u.ID); err != nil {
		return fmt.Errorf("write user %q: %w", u.Name, err)
	}
	return nil
}

// DeleteUser removes a user with all tokens.
func DeleteUser(ctx context.Context, tx *sql.Tx, id int64) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM users WHERE id = ?`, id); err != nil {
		return fmt.Errorf("delete user %d: %w", id, err)
	}
	return nil
}

// What a token was made for.
const (
	TokenLogin = "login"
	TokenAPI   = "token"
	TokenFile  = "file" // the client file of the server's data directory
)

// APIToken lets whoever shows it act as its user. Only its hash is kept.
type APIToken struct {
	ID      string // made of the hash
	UserID  int64
	User    string
	Kind    string // empty: TokenLogin
	Label   string // what people call it
	Role    string // what it is for at most; empty: all that its user may
	Address string // where it was made
	Created time.Time
	Expires time.Time // zero: never
	Used    time.Time // the last time, to the hour
	Groups  []string  // as those of a User; what both allow counts
	// Confirmed is when the user has shown the password last, or another proof of a login.
	Confirmed time.Time
}

// AddAPIToken keeps a token of a user and clears away expired ones.
func AddAPIToken(ctx context.Context, tx *sql.Tx, token string, t APIToken) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM api_tokens WHERE expires <> 0 AND expires <= ?`, nanos(t.Created)); err != nil {
		return fmt.Errorf("clear expired tokens: %w", err)
	}
	if t.Kind == "" {
		t.Kind = TokenLogin
	}
	_, err := tx.ExecContext(ctx,
		`INSERT INTO api_tokens (hash, user_id, label, created, expires, role, kind, address, limited_to, confirmed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tokenHash(token), t.UserID, t.Label, nanos(t.Created), nanos(t.Expires), t.Role, t.Kind, t.Address, lines(t.Groups), nanos(t.Confirmed))
	if err != nil {
		return fmt.Errorf("add token of user %d: %w", t.UserID, err)
	}
	return nil
}

// tokenID is what of a hash names a token: too little to look for the token by, and enough to tell
// it from others.
const tokenID = `lower(hex(substr(api_tokens.hash, 1, 6)))`

// TokenID is the ID of a token.
func TokenID(token string) string { return hex.EncodeToString(tokenHash(token)[:6]) }

const tokenColumns = tokenID + `, api_tokens.user_id, users.name, api_tokens.kind, api_tokens.label, api_tokens.role, api_tokens.address,
	api_tokens.created, api_tokens.expires, api_tokens.used, api_tokens.limited_to, api_tokens.confirmed`

func scanToken(r interface{ Scan(...any) error }, more ...any) (APIToken, error) {
	var t APIToken
	var created, expires, used, confirmed int64
	var limited string
	err := r.Scan(append([]any{&t.ID, &t.UserID, &t.User, &t.Kind, &t.Label, &t.Role, &t.Address, &created, &expires, &used, &limited, &confirmed}, more...)...)
	t.Groups = ofLines(limited)
	t.Created, t.Expires, t.Used, t.Confirmed = timeOf(created), timeOf(expires), timeOf(used), timeOf(confirmed)
	return t, err
}

// CallerOf finds a token that has not expired, and its user; ok is false where there is none.
func CallerOf(ctx context.Context, q Queryer, token string, now time.Time) (u User, t APIToken, ok bool, err error) {
	var created int64
	var limited string
	row := q.QueryRowContext(ctx, `SELECT `+tokenColumns+`, `+userColumns+` FROM api_tokens
		JOIN users ON users.id = api_tokens.user_id
		WHERE api_tokens.hash = ? AND (api_tokens.expires = 0 OR api_tokens.expires > ?)`, tokenHash(token), nanos(now))
	t, err = scanToken(row, &u.ID, &u.Name, &u.Role, &u.Password, &created, &u.Codes, &limited)
	u.Created, u.Groups = timeOf(created), ofLines(limited)
	t, ok, err = found(t, err, "read token")
	return u, t, ok, err
}

// UserOfToken finds the user of a token that has not expired; ok is false where there is none.
func UserOfToken(ctx context.Context, q Queryer, token string, now time.Time) (u User, ok bool, err error) {
	u, _, ok, err = CallerOf(ctx, q, token, now)
	return u, ok, err
}

// APITokens lists the tokens that have not expired, by user and age; an empty name: of all users.
func APITokens(ctx context.Context, q Queryer, user string, now time.Time) ([]APIToken, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+tokenColumns+` FROM api_tokens JOIN users ON users.id = api_tokens.user_id
		WHERE (?1 = '' OR users.name = ?1) AND (api_tokens.expires = 0 OR api_tokens.expires > ?2)
		ORDER BY users.name, api_tokens.created, api_tokens.hash`, user, nanos(now))
	out, err := collect(rows, err, func(r *sql.Rows) (APIToken, error) { return scanToken(r) })
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return out, nil
}

// UseToken notes when a token was used.
func UseToken(ctx context.Context, tx *sql.Tx, token string, now time.Time) error {
	if _, err := tx.ExecContext(ctx, `UPDATE api_tokens SET used = ? WHERE hash = ?`, nanos(now), tokenHash(token)); err != nil {
		return fmt.Errorf("write the last use of a token: %w", err)
	}
	return nil
}

// ConfirmToken notes when the user of a token has shown the password last.
func ConfirmToken(ctx context.Context, tx *sql.Tx, id string, now time.Time) error {
	if _, err := tx.ExecContext(ctx, `UPDATE api_tokens SET confirmed = ? WHERE `+tokenID+` = ?`, nanos(now), id); err != nil {
		return fmt.Errorf("confirm token %s: %w", id, err)
	}
	return nil
}

// DeleteAPIToken ends a token.
func DeleteAPIToken(ctx context.Context, tx *sql.Tx, id string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM api_tokens WHERE `+tokenID+` = ?`, id); err != nil {
		return fmt.Errorf("end token %s: %w", id, err)
	}
	return nil
}

// EndLogins ends the logins of a user but for one token, and says how many they were.
func EndLogins(ctx context.Context, tx *sql.Tx, user int64, but string) (int, error) {
	res, err := tx.ExecContext(ctx, `DELETE FROM api_tokens WHERE user_id = ? AND kind = ? AND `+tokenID+` <> ?`, user, TokenLogin, but)
	if err != nil {
		return 0, fmt.Errorf("end the logins of user %d: %w", user, err)
	}
	n, err := res.RowsAffected()
	return int(n), err
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

// LimitedTo names the users who are limited to a group, by themselves or by a token.
func LimitedTo(ctx context.Context, q Queryer, group string) ([]string, error) {
	rows, err := q.QueryContext(ctx, `SELECT DISTINCT users.name FROM users LEFT JOIN api_tokens ON api_tokens.user_id = users.id
		WHERE instr(char(10) || users.limited_to || char(10), char(10) || ?1 || char(10)) OR instr(char(10) || api_tokens.limited_to || char(10), char(10) || ?1 || char(10))
		ORDER BY users.name`, group)
	out, err := collect(rows, err, func(r *sql.Rows) (name string, err error) {
		err = r.Scan(&name)
		return name, err
	})
	if err != nil {
		return nil, fmt.Errorf("find who is limited to group %q: %w", group, err)
	}
	return out, nil
}
