package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"keepward/internal/app"
	"keepward/internal/errs"
)

const (
	connectWithin = 10 * time.Second
	usualPort     = 3306
	usualSocket   = "/run/mysqld/mysqld.sock"
	socketName    = "mysqld.sock"
	usualUser     = "root"
)

// place is where a server listens: a socket, or a host and a port.
type place struct {
	socket string
	host   string
	port   uint16
}

func (p place) String() string {
	if p.socket != "" {
		return p.socket
	}
	return net.JoinHostPort(p.host, strconv.Itoa(int(p.port)))
}

// address reads where a server listens: a socket, its directory, a host, or a host with a port.
func address(text string) (place, error) {
	bad := errs.New(errs.Invalid, "application.address", "the address %q is no socket, and no HOST or HOST:PORT", text)
	switch {
	case text == "":
		return place{socket: usualSocket}, nil
	case strings.HasPrefix(text, "/"):
		if info, err := os.Stat(text); err == nil && info.IsDir() {
			text = filepath.Join(text, socketName)
		}
		return place{socket: text}, nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		if strings.Contains(text, ":") && net.ParseIP(text) == nil {
			return place{}, bad
		}
		return place{host: text, port: usualPort}, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" {
		return place{}, bad
	}
	return place{host: host, port: uint16(n)}, nil
}

// tlsOf is what the driver calls a mode of the setting tls.
var tlsOf = map[string]string{"disable": "false", "prefer": "preferred", "require": "skip-verify", "verify-full": "true"}

// session is one connection to a server: what is locked in it is gone with it.
type session struct {
	db *sql.DB
	*sql.Conn
}

// waitLong has a session of a backup that takes long not be ended for saying nothing.
const waitLong = "SET SESSION wait_timeout = 31536000"

// Close ends the connection.
func (s *session) Close() error { return errors.Join(s.Conn.Close(), s.db.Close()) }

// connect opens a session. Nothing of the environment and of the files of users goes into it.
func connect(ctx context.Context, where, user string, secret app.Secret, tls string) (*session, error) {
	at, err := address(where)
	if err != nil {
		return nil, err
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd = user, secret.Reveal()
	if user == "" {
		cfg.User = usualUser
	}
	cfg.Net, cfg.Addr = "tcp", at.String()
	cfg.TLSConfig = tlsOf[tls]
	if at.socket != "" {
		cfg.Net, cfg.TLSConfig = "unix", ""
	}
	cfg.Timeout = connectWithin
	cfg.ConnectionAttributes = "program_name:keepward"
	cfg.Logger = log.New(io.Discard, "", 0) // all that matters comes as an error
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, errs.New(errs.Invalid, "application.address", "connect to MariaDB at %s: the connection cannot be described", at)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	within, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	conn, err := db.Conn(within)
	if err == nil {
		s := &session{db, conn}
		if _, err = s.ExecContext(within, waitLong); err == nil {
			return s, nil
		}
		_ = s.Close() // what went wrong is known
	} else {
		_ = db.Close()
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	var my *mysql.MySQLError
	switch {
	case errors.As(err, &my) && denied(my):
		return nil, errs.New(errs.Denied, "application.denied", "connect to MariaDB at %s as %s: %s", at, cfg.User, my.Message).
			WithHint("check the user and the password: keepward credential create NAME --replace, and SHOW GRANTS in the server")
	case errors.As(err, &my):
		return nil, errs.New(errs.Unavailable, "application.unreachable", "connect to MariaDB at %s as %s: %s", at, cfg.User, my.Message)
	}
	return nil, errs.New(errs.Unavailable, "application.unreachable", "connect to MariaDB at %s: %w", at, err).
		WithHint("does it run, and does it listen there?")
}

// denied tells whether somebody was not let in, or may not do something: trying again does not help.
func denied(err *mysql.MySQLError) bool {
	switch err.Number {
	case 1044, 1045, 1130, 1142, 1227, 1370, 1410, 1419, 1524, 1698, 1820, 1862, 4151:
		return true
	}
	return false
}

// asked makes an error of what the server answers.
func asked(what string, err error) error {
	kind, code, hint := errs.Unavailable, "application.failed", ""
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		switch {
		case denied(my):
			kind, code, hint = errs.Denied, "application.denied", "the user needs: GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR ON *.*"
		case my.Number == 1205 || my.Number == 1907 || my.Number == 4146:
			code, hint = "application.busy", "a statement of somebody, such as ALTER TABLE or a long UPDATE of a table without transactions, has to end first"
		}
	}
	e := errs.New(kind, code, "MariaDB: %s: %w", what, err)
	if hint != "" {
		return e.WithHint("%s", hint)
	}
	return e
}
