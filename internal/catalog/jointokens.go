package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"keepward/internal/errs"
)

// JoinToken lets one node join, once, in one role under one name; or, with a group, any number of new
// computers, which become members of it.
type JoinToken struct {
	ID      string
	Role    string
	Name    string // empty with a group
	Group   string
	Uses    int64 // by computers, with a group
	Created time.Time
	Expires time.Time
	Used    time.Time
	Revoked bool
}

const joinTokenColumns = `id, role, name, created, expires, used, revoked, grp, uses`

func scanJoinToken(row interface{ Scan(...any) error }) (JoinToken, error) {
	var t JoinToken
	var created, expires, used int64
	err := row.Scan(&t.ID, &t.Role, &t.Name, &created, &expires, &used, &t.Revoked, &t.Group, &t.Uses)
	t.Created, t.Expires, t.Used = timeOf(created), timeOf(expires), timeOf(used)
	return t, err
}

// AddJoinToken keeps a token under the hash of its secret.
func AddJoinToken(ctx context.Context, tx *sql.Tx, secret string, t JoinToken) error {
	_, err := tx.ExecContext(ctx,
		`INSERT INTO join_tokens (id, hash, role, name, created, expires, grp) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		t.ID, tokenHash(secret), t.Role, t.Name, nanos(t.Created), nanos(t.Expires), t.Group)
	if err != nil {
		return fmt.Errorf("add join token for %s %s: %w", t.Role, t.Name, err)
	}
	return nil
}

// JoinTokens lists all tokens, the newest first.
func JoinTokens(ctx context.Context, q Queryer) ([]JoinToken, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+joinTokenColumns+` FROM join_tokens ORDER BY created DESC, id`)
	out, err := collect(rows, err, func(r *sql.Rows) (JoinToken, error) { return scanJoinToken(r) })
	if err != nil {
		return nil, fmt.Errorf("list join tokens: %w", err)
	}
	return out, nil
}

// UseJoinToken spends the token with this secret for role and name, or says why it may not be. It
// answers the group of a token that has one: whether such a token lets in under the name is for the
// caller to see.
func UseJoinToken(ctx context.Context, tx *sql.Tx, secret, role, name string, now time.Time) (group string, err error) {
	t, err := scanJoinToken(tx.QueryRowContext(ctx, `SELECT `+joinTokenColumns+` FROM join_tokens WHERE hash = ?`, tokenHash(secret)))
	t, ok, err := found(t, err, "read join token")
	if err != nil {
		return "", err
	}
	deny := func(format string, args ...any) (string, error) {
		return "", errs.New(errs.Denied, "join.refused", "join %s %q: "+format, append([]any{role, name}, args...)...).
			WithHint("make a new token: keepward token create --role %s --name %s", role, name)
	}
	switch {
	case !ok:
		return deny("the token is not known here")
	case t.Revoked:
		return deny("the token was revoked")
	case !t.Used.IsZero() && t.Group == "":
		return deny("the token was used already, on %s", t.Used.Format(time.RFC3339))
	case !now.Before(t.Expires):
		return deny("the token expired on %s", t.Expires.Format(time.RFC3339))
	case t.Group != "" && t.Role != role:
		return deny("the token is for computers of group %s", t.Group)
	case t.Group == "" && (t.Role != role || t.Name != name):
		return deny("the token is for %s %q", t.Role, t.Name)
	}
	if _, err := tx.ExecContext(ctx, `UPDATE join_tokens SET used = ?, uses = uses + 1 WHERE id = ?`, nanos(now), t.ID); err != nil {
		return "", fmt.Errorf("spend join token %s: %w", t.ID, err)
	}
	return t.Group, nil
}

// RevokeJoinToken makes a token worthless. Who joined with it stays.
func RevokeJoinToken(ctx context.Context, tx *sql.Tx, id string) error {
	res, err := tx.ExecContext(ctx, `UPDATE join_tokens SET revoked = 1 WHERE id = ?`, id)
	if err != nil {
		return fmt.Errorf("revoke join token %s: %w", id, err)
	}
	return mustChange(res, func() error {
		return errs.New(errs.NotFound, "join-token.unknown", "revoke join token: there is none with id %q", id).
			WithHint("keepward token list shows the ids")
	})
}

// mustChange answers missing() where a statement changed no row.
func mustChange(res sql.Result, missing func() error) error {
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		return missing()
	}
	return nil
}

// RevokeJoinTokensOf makes all unused tokens for role and name worthless.
func RevokeJoinTokensOf(ctx context.Context, tx *sql.Tx, role, name string) error {
	_, err := tx.ExecContext(ctx, `UPDATE join_tokens SET revoked = 1 WHERE role = ? AND name = ? AND used = 0`, role, name)
	if err != nil {
		return fmt.Errorf("revoke join tokens of %s %s: %w", role, name, err)
	}
	return nil
}
