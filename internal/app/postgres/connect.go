package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"keepward/internal/app"
	"keepward/internal/errs"
)

type pgError = pgconn.PgError

// native is the order of bytes of this machine.
var native = binary.NativeEndian

const (
	connectWithin = 10 * time.Second
	usualPort     = 5432
	usualSockets  = "/var/run/postgresql"
	socketFile    = ".s.PGSQL."
)

// address is where a server listens: a directory of sockets, a socket, a host, or a host with a port.
func address(text string) (host string, port uint16, err error) {
	bad := func() error {
		return errs.New(errs.Invalid, "application.address", "the address %q is no directory of a socket, and no HOST or HOST:PORT", text)
	}
	switch {
	case text == "":
		return usualSockets, usualPort, nil
	case strings.HasPrefix(text, "/"):
		if rest, ok := strings.CutPrefix(filepath.Base(text), socketFile); ok {
			n, err := strconv.ParseUint(rest, 10, 16)
			if err != nil {
				return "", 0, bad()
			}
			return filepath.Dir(text), uint16(n), nil
		}
		return text, usualPort, nil
	}
	host, p, err := net.SplitHostPort(text)
	if err != nil {
		if strings.Contains(text, ":") && net.ParseIP(text) == nil {
			return "", 0, bad()
		}
		return text, usualPort, nil
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || host == "" {
		return "", 0, bad()
	}
	return host, uint16(n), nil
}

// connect opens a session. Nothing of the environment goes into it.
func connect(ctx context.Context, where, user string, secret app.Secret, database, tls string) (*pgx.Conn, error) {
	host, port, err := address(where)
	if err != nil {
		return nil, err
	}
	if user == "" {
		user = "postgres"
	}
	// A file of passwords, a service, or a certificate of the user that the agent runs as are none
	// of the job's business.
	cfg, err := pgx.ParseConfig("passfile=/dev/null servicefile=/dev/null sslcert='' sslkey='' sslmode=" + tls + " host=" + quoted(host) + " port=" + strconv.Itoa(int(port)) + " user=" + quoted(user) + " dbname=" + quoted(database))
	if err != nil {
		return nil, errs.New(errs.Invalid, "application.address", "connect to PostgreSQL at %s: the connection cannot be described", where)
	}
	cfg.Password = secret.Reveal()
	cfg.ConnectTimeout = connectWithin
	cfg.RuntimeParams = map[string]string{
		"application_name": "keepward", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0", "lock_timeout": "0",
		"client_encoding": "UTF8", "datestyle": "ISO",
	}
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err == nil {
		// Of servers that have it: a session that waits for long is not ended for that.
		_, _ = conn.Exec(ctx, `SELECT set_config('idle_session_timeout', '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'`)
		return conn, nil
	}
	if context.Cause(ctx) != nil && ctx.Err() == context.Canceled {
		return nil, context.Cause(ctx)
	}
	var pg *pgError
	switch {
	case errors.As(err, &pg) && strings.HasPrefix(pg.Code, "28"):
		return nil, errs.New(errs.Denied, "application.denied", "connect to PostgreSQL at %s as %s: %s", net.JoinHostPort(host, strconv.Itoa(int(port))), user, pg.Message).
			WithHint("check the user and the password: keepward credential create NAME --replace, and pg_hba.conf of the server")
	case errors.As(err, &pg):
		return nil, errs.New(errs.Unavailable, "application.unreachable", "connect to PostgreSQL at %s as %s: %s", net.JoinHostPort(host, strconv.Itoa(int(port))), user, pg.Message)
	}
	return nil, errs.New(errs.Unavailable, "application.unreachable", "connect to PostgreSQL at %s: %w", net.JoinHostPort(host, strconv.Itoa(int(port))), plain(err)).
		WithHint("does it run, and does it listen there?")
}

// plain is the last of an error's causes: those above it say again what was tried, with all of the
// configuration.
func plain(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			if many, ok := err.(interface{ Unwrap() []error }); ok && len(many.Unwrap()) > 0 {
				next = many.Unwrap()[0]
			} else {
				return err
			}
		}
		err = next
	}
}

// quoted is a value in a connection string.
func quoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
