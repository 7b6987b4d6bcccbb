package mariadb

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"keepward/internal/errs"
)

// dropWithin is how long a database that is not whole may take to go: somebody may be in it.
const dropWithin = time.Minute

// load copies one database of the recovered server into one that runs. It is made there, so that
// nothing that is there can be damaged, and goes again if not all of it comes.
func (s *server) load(ctx context.Context) (err error) {
	r := s.r
	charset, collation, err := s.database(ctx)
	if err != nil {
		return err
	}
	as := cmp.Or(r.As, r.Database)
	tls := setting(r.Settings, "tls", "prefer")
	target, err := connect(ctx, r.Into, r.User, r.Secret, tls)
	if err != nil {
		return err
	}
	defer target.Close()
	at, err := address(r.Into)
	if err != nil {
		return err
	}
	var there int
	if err := target.QueryRowContext(ctx, `SELECT count(*) FROM information_schema.schemata WHERE schema_name = ?`, as).Scan(&there); err != nil {
		return asked("look for database "+as, err)
	}
	if there > 0 {
		return errs.New(errs.Exists, "application.database", "the server at %s has a database %s already", at, as).
			WithHint("load it under another name with --as NAME")
	}
	if _, err := target.ExecContext(ctx, "CREATE DATABASE "+identifier(as)+" CHARACTER SET "+charset+" COLLATE "+collation); err != nil {
		return asked("make database "+as, err)
	}
	if err = s.pour(ctx, at, as, tls); err == nil {
		r.Event("info", "application.loaded", fmt.Sprintf("MariaDB: database %s is in the server at %s, as %s", r.Database, at, as))
		return nil
	}
	free, done := context.WithTimeout(context.WithoutCancel(ctx), dropWithin)
	defer done()
	if _, dropErr := target.ExecContext(free, "DROP DATABASE "+identifier(as)); dropErr != nil {
		r.Event("warning", "application.left", fmt.Sprintf("MariaDB: database %s, which is not whole, could not be removed: %v", as, dropErr))
	}
	return err
}

// database looks for the one that is to be loaded.
func (s *server) database(ctx context.Context) (charset, collation string, err error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return "", "", err
	}
	defer conn.Close()
	rows, err := conn.QueryContext(ctx, `SELECT schema_name, default_character_set_name, default_collation_name FROM information_schema.schemata
		WHERE schema_name NOT IN ('information_schema', 'performance_schema', 'sys', 'mysql') ORDER BY 1`)
	if err != nil {
		return "", "", asked("list databases", err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var name, set, order string
		if err := rows.Scan(&name, &set, &order); err != nil {
			return "", "", asked("list databases", err)
		}
		if name == s.r.Database {
			charset, collation = set, order
		}
		list = append(list, name)
	}
	if err := rows.Err(); err != nil {
		return "", "", asked("list databases", err)
	}
	if charset == "" {
		return "", "", errs.New(errs.NotFound, "application.database", "there is no database %s in the point; there is %s", s.r.Database, strings.Join(list, ", "))
	}
	return charset, collation, nil
}

// pour runs a dump into a client of the target.
func (s *server) pour(ctx context.Context, at place, as, tls string) error {
	r := s.r
	from, err := options(place{socket: s.socket()}, recoveryUser, s.secret, "")
	if err != nil {
		return r.failed(err)
	}
	defer from.Close()
	to, err := options(at, r.User, r.Secret, tls)
	if err != nil {
		return r.failed(err)
	}
	defer to.Close()
	dump, err := s.client("mariadb-dump", from, optionsArgument, "--single-transaction", "--routines", "--events", "--triggers", "--hex-blob", "--max-allowed-packet=1G", "--", r.Database)
	if err != nil {
		return err
	}
	load, err := s.client("mariadb", to, optionsArgument, "--batch", "--binary-mode", "--max-allowed-packet=1G", "--database="+as)
	if err != nil {
		return err
	}
	if err := run(ctx, dump, load); err != nil {
		if context.Cause(ctx) != nil {
			return context.Cause(ctx)
		}
		return errs.New(errs.Unavailable, "application.recover", "MariaDB: load database %s: %w", r.Database, err)
	}
	return nil
}
