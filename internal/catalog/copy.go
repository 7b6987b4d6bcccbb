package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"keepward/internal/errs"
)

// Copy writes the database at from, as of one moment, into a new file at to. Whoever has it open
// goes on reading and writing meanwhile: the copy is made over a connection of its own, which
// holds up nobody. What it makes is whole; there are no other files to it.
func Copy(ctx context.Context, from, to string) error {
	from, err := filepath.Abs(from)
	if err != nil {
		return fmt.Errorf("copy catalog: %w", err)
	}
	db, err := sql.Open("sqlite", dsn(from, readerCache, "_txlock", "deferred"))
	if err != nil {
		return fmt.Errorf("copy catalog %s: %w", from, err)
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, to)
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("copy catalog %s to %s: %w", from, to, err)
	}
	return nil
}

// Proven tells whether the file at path is a whole catalog that this program can open. It
// changes nothing.
func Proven(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("check catalog: %w", err)
	}
	// Not as it is opened for work: that would turn the file's journal over.
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: "mode=ro"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return fmt.Errorf("check catalog %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	var answer string
	err = db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&answer)
	if err = errors.Join(err, db.Close()); err != nil {
		return errs.New(errs.Corrupt, "catalog.unreadable", "check catalog %s: %w", path, err)
	}
	if answer != "ok" {
		return errs.New(errs.Corrupt, "catalog.unreadable", "check catalog %s: %s", path, answer)
	}
	return nil
}
