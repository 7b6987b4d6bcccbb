package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Credential is a user and a secret of an application. The secret is sealed.
type Credential struct {
	Name, User, Description string
	Secret                  []byte
	Created, Changed        time.Time
}

const credentialColumns = `name, user, description, secret, created, changed`

func scanCredential(row interface{ Scan(...any) error }) (c Credential, err error) {
	var created, changed int64
	err = row.Scan(&c.Name, &c.User, &c.Description, &c.Secret, &created, &changed)
	c.Created, c.Changed = timeOf(created), timeOf(changed)
	return c, err
}

// Credentials lists all by name.
func Credentials(ctx context.Context, q Queryer) ([]Credential, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+credentialColumns+` FROM credentials ORDER BY name`)
	out, err := collect(rows, err, func(r *sql.Rows) (Credential, error) { return scanCredential(r) })
	if err != nil {
		return nil, fmt.Errorf("list credentials: %w", err)
	}
	return out, nil
}

// GetCredential finds one, or answers errs.NotFound with the nearest names.
func GetCredential(ctx context.Context, q Queryer, name string) (Credential, error) {
	c, err := scanCredential(q.QueryRowContext(ctx, `SELECT `+credentialColumns+` FROM credentials WHERE name = ?`, name))
	return orNearest(ctx, q, c, err, "credential", "credentials", name)
}

// PutCredential adds one, or replaces the one of the same name.
func PutCredential(ctx context.Context, tx *sql.Tx, c Credential, now time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO credentials (`+credentialColumns+`) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET user = excluded.user, description = excluded.description, secret = excluded.secret, changed = excluded.changed`,
		c.Name, c.User, c.Description, c.Secret, nanos(now), nanos(now))
	if err != nil {
		return fmt.Errorf("write credential %s: %w", c.Name, err)
	}
	return nil
}

// DeleteCredential forgets one.
func DeleteCredential(ctx context.Context, tx *sql.Tx, name string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM credentials WHERE name = ?`, name); err != nil {
		return fmt.Errorf("delete credential %s: %w", name, err)
	}
	return nil
}

// CredentialNames lists the names of all.
func CredentialNames(ctx context.Context, q Queryer) ([]string, error) {
	return names(ctx, q, "credentials")
}
