package catalog

import (
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"keepward/internal/errs"
)

// blamed says of a write which disk was at fault: who reads only that a disk is full looks at the
// one of a repository first.
func blamed(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff { // the rest says where in SQLite
	case sqlite3.SQLITE_FULL:
		return errs.New(errs.NoSpace, "catalog.full", "write the server's catalog: %w", err).
			WithHint("make room on the disk of the server's data directory; what stands still goes on by itself")
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY:
		return errs.New(errs.Unavailable, "catalog.disk", "write the server's catalog: %w", err).
			WithHint("look at the disk of the server's data directory; what stands still goes on by itself")
	}
	return err
}
