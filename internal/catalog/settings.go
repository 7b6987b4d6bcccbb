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

// SettingsUnder are the values whose keys begin with prefix, by the rest of the key.
func SettingsUnder(ctx context.Context, q Queryer, prefix string) (map[string][]byte, error) {
	type row struct {
		key   string
		value []byte
	}
	rows, err := q.QueryContext(ctx, `SELECT key, value FROM settings WHERE substr(key, 1, ?) = ?`, len(prefix), prefix)
	list, err := collect(rows, err, func(r *sql.Rows) (row, error) {
		var one row
		err := r.Scan(&one.key, &one.value)
		return one, err
	})
	if err != nil {
		return nil, fmt.Errorf("read settings %s…: %w", prefix, err)
	}
	out := make(map[string][]byte, len(list))
	for _, one := range list {
		out[one.key[len(prefix):]] = one.value
	}
	return out, nil
}

// DeleteSetting forgets the value kept under key.
func DeleteSetting(ctx context.Context, tx *sql.Tx, key string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM settings WHERE key = ?`, key); err != nil {
		return fmt.Errorf("delete setting %s: %w", key, err)
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

// Term is the highest term that was begun; 0: none.
func Term(ctx context.Context, q Queryer) (uint64, error) {
	var term int64
	if err := q.QueryRowContext(ctx, `SELECT coalesce(max(term), 0) FROM terms`).Scan(&term); err != nil {
		return 0, fmt.Errorf("read term: %w", err)
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
