// Package catalog is the configuration database and the catalog: what the server must
// remember, in one SQLite file. It holds no decisions and no file lists.
//
// Statements are functions over a Queryer (the readers, or a transaction) or a *sql.Tx
// (anything that writes), so that a caller composes several into one transaction.
// A DB is safe for concurrent use: readers see the last commit, writers have their turns one after
// the other and share the commit (group.go).
package catalog

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"

	"keepward/internal/errs"
)

//go:embed migrations/*.sql
var migrations embed.FS

// readers bounds the reading connections. A reader is busy for a few milliseconds.
const readers = 8

// The caches of a connection in KiB, as far as they are used. A reader's is empty again after each
// commit. The writer's has room for the upper levels of all trees and for what was changed last; most
// commits look through all of it, and what a hundred thousand sessions change is not in it anyway.
const (
	readerCache = 2 << 10
	writerCache = 16 << 10
)

// busyTimeout is how long a connection waits for a lock of another process, such as a
// copying tool: ours never lock each other out, for there is one writer.
const busyTimeout = 10 * time.Second

// DB is an open database.
type DB struct {
	read   *sql.DB
	write  *sql.DB
	copies *sql.DB
	group  *group
	copier *copier
}

// Queryer is what a reading statement runs on: DB.Read() or a transaction.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Open opens the database at path, makes it where there is none (mode 0600), and brings its
// schema up to date.
func Open(ctx context.Context, path string) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", path, err)
	}
	db, err := connect(path)
	if err != nil {
		return nil, err
	}
	if err := db.migrate(ctx, path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func connect(path string) (*DB, error) {
	write := sql.OpenDB(connector{dsn: dsn(path, writerCache, "_txlock", "immediate"), through: true})
	write.SetMaxOpenConns(1) // SQLite has one writer; a queue here beats its busy handler
	read := sql.OpenDB(connector{dsn: dsn(path, readerCache, "_pragma", "query_only(1)")})
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	copies := sql.OpenDB(connector{dsn: dsn(path, readerCache, "_txlock", "deferred")})
	copies.SetMaxOpenConns(1)
	g := newGroup(write)
	return &DB{read: read, write: write, copies: copies, group: g, copier: newCopier(copies, g)}, nil
}

func dsn(path string, cache int, key, value string) string {
	q := url.Values{key: {value}}
	for _, p := range []string{
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"journal_mode(WAL)",
		"synchronous(FULL)", // a commit that was acknowledged survives a power loss
		"foreign_keys(1)",
		fmt.Sprintf("cache_size(-%d)", cache), // negative: in KiB
		fmt.Sprintf("wal_autocheckpoint(%d)", logMost),
	} {
		q.Add("_pragma", p)
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: q.Encode()}).String()
}

func (db *DB) migrate(ctx context.Context, path string) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db.write, files)
	if err != nil {
		return fmt.Errorf("open catalog %s: %w", path, err)
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return errs.New(errs.Corrupt, "catalog.unreadable", "open catalog %s: %w", path, err)
	}
	sources := p.ListSources()
	if newest := sources[len(sources)-1].Version; have > newest {
		return errs.New(errs.Invalid, "catalog.newer", "open catalog %s: its schema is version %d, this program knows %d", path, have, newest).
			WithHint("start the version of keepward that wrote it, or a newer one")
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate catalog %s: %w", path, err)
	}
	return nil
}

// Close closes all connections; a transaction in work is rolled back.
func (db *DB) Close() error {
	db.copier.close()
	return errors.Join(db.copies.Close(), db.read.Close(), db.write.Close())
}

// Read is for statements that only read. Each sees the last commit at its start.
func (db *DB) Read() Queryer { return db.read }

// Write runs fn in one transaction: committed and durable when Write returns nil, undone
// when fn answers an error or panics. fn must use only tx, and must not call Write. Calls made at
// once may share a commit; fn sees what those before it have done. In rare cases, when a later one
// of them had all of it undone, fn is called again: what it leaves outside of tx must not add up.
func (db *DB) Write(ctx context.Context, fn func(tx *sql.Tx) error) error {
	return blamed(db.group.write(ctx, fn))
}

// nanos is how times are kept; the zero time is 0.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func timeOf(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// collect reads all rows through scan.
func collect[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
