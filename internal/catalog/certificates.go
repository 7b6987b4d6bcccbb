package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Certificate is one that the server's authority gave out.
type Certificate struct {
	Serial  string // decimal
	Role    string
	Name    string
	DER     []byte
	Issued  time.Time
	Expires time.Time
	Revoked time.Time
	Reason  string
}

// AddCertificate records a certificate; it lets its holder in from then on.
func AddCertificate(ctx context.Context, tx *sql.Tx, c Certificate) error {
	_, err := tx.ExecContext(ctx,
		`INSERT INTO certificates (serial, role, name, der, issued, expires) VALUES (?, ?, ?, ?, ?, ?)`,
		c.Serial, c.Role, c.Name, c.DER, nanos(c.Issued), nanos(c.Expires))
	if err != nil {
		return fmt.Errorf("record certificate of %s %s: %w", c.Role, c.Name, err)
	}
	return nil
}

// CertificateBySerial finds a certificate; ok is false where the authority knows none.
func CertificateBySerial(ctx context.Context, q Queryer, serial string) (c Certificate, ok bool, err error) {
	var issued, expires, revoked int64
	err = q.QueryRowContext(ctx,
		`SELECT serial, role, name, der, issued, expires, revoked, reason FROM certificates WHERE serial = ?`, serial).
		Scan(&c.Serial, &c.Role, &c.Name, &c.DER, &issued, &expires, &revoked, &c.Reason)
	c.Issued, c.Expires, c.Revoked = timeOf(issued), timeOf(expires), timeOf(revoked)
	return found(c, err, "read certificate")
}

// RevokeCertificates shuts out every certificate of role and name that still lets in, and
// answers how many those were.
func RevokeCertificates(ctx context.Context, tx *sql.Tx, role, name, reason string, now time.Time) (int64, error) {
	res, err := tx.ExecContext(ctx,
		`UPDATE certificates SET revoked = ?, reason = ? WHERE role = ? AND name = ? AND revoked = 0`,
		nanos(now), reason, role, name)
	if err != nil {
		return 0, fmt.Errorf("revoke certificates of %s %s: %w", role, name, err)
	}
	return res.RowsAffected()
}

// CertificatesOf are all certificates that were given to role and name, the newest first.
func CertificatesOf(ctx context.Context, q Queryer, role, name string) ([]Certificate, error) {
	rows, err := q.QueryContext(ctx, `SELECT serial, der, issued, expires, revoked, reason FROM certificates WHERE role = ? AND name = ? ORDER BY issued DESC, serial`, role, name)
	out, err := collect(rows, err, func(r *sql.Rows) (Certificate, error) {
		c := Certificate{Role: role, Name: name}
		var issued, expires, revoked int64
		err := r.Scan(&c.Serial, &c.DER, &issued, &expires, &revoked, &c.Reason)
		c.Issued, c.Expires, c.Revoked = timeOf(issued), timeOf(expires), timeOf(revoked)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("list certificates of %s %s: %w", role, name, err)
	}
	return out, nil
}

// Trusted are the names of the nodes of a role with a certificate that lets in.
func Trusted(ctx context.Context, q Queryer, role string, now time.Time) (map[string]bool, error) {
	rows, err := q.QueryContext(ctx, `SELECT DISTINCT name FROM certificates WHERE role = ? AND revoked = 0 AND expires > ?`, role, nanos(now))
	list, err := collect(rows, err, func(r *sql.Rows) (n string, err error) { return n, r.Scan(&n) })
	if err != nil {
		return nil, fmt.Errorf("list certificates of %ss: %w", role, err)
	}
	out := make(map[string]bool, len(list))
	for _, n := range list {
		out[n] = true
	}
	return out, nil
}
