package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Setting is the value kept under key, or nil.
func Setting(ctx context.Context, q Queryer, key string) ([]byte, error) {
	var v []byte
	err := q.QueryRowContext(ctx, `SELECT value FROM settings WHERE key = ?`, key).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read setting %s: %w", key, err)
	}
	return v, nil
}

// SetSetting keeps value under key.
func SetSetting(ctx context.Context, tx *sql.Tx, key string, value []byte) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO settings (key, value) VALUES (?, ?)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value)
	if err != nil {
		return fmt.Errorf("write setting %s: %w", key, err)
	}
	return nil
}

// NextTerm begins the next term. Every start of a server has one of its own, higher than
// all before it.
func NextTerm(ctx context.Context, tx *sql.Tx, started time.Time, version string) (uint64, error) {
	var term int64
	err := tx.QueryRowContext(ctx, `INSERT INTO terms (started, version) VALUES (?, ?) RETURNING term`,
		nanos(started), version).Scan(&term)
	if err != nil {
		return 0, fmt.Errorf("begin term: %w", err)
	}
	return uint64(term), nil
}

// RaiseTerm makes term the current one; it must be higher than all before.
func RaiseTerm(ctx context.Context, tx *sql.Tx, term uint64, now time.Time, version string) error {
	if _, err := tx.ExecContext(ctx, `INSERT INTO terms (term, started, version) VALUES (?, ?, ?)`, int64(term), nanos(now), version); err != nil {
		return fmt.Errorf("raise term to %d: %w", term, err)
	}
	return nil
}
