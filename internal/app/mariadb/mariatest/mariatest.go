//go:build linux

// Package mariatest starts MariaDB servers for tests, as the user that the package of the system has
// for them.
package mariatest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Password is that of root of a server.
const Password = "s3cret of the server"

// Server is a server that runs.
type Server struct {
	Dir, Data, Socket, Logs string

	settings []string
	uid, gid uint32
	cmd      *exec.Cmd
	over     chan struct{}
}

const (
	program = "/usr/sbin/mariadbd"
	within  = time.Minute
	tick    = 20 * time.Millisecond
)

// Here tells whether servers can be run here.
func Here() bool {
	_, err := os.Stat(program)
	return err == nil && os.Geteuid() == 0
}

// Start makes a server in a directory of its own and starts it. settings are arguments of it.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "mariatest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return StartIn(t, dir, filepath.Join(dir, "data"), settings...)
}

// StartIn makes a server of which the data directory is somewhere else, and starts it.
func StartIn(t testing.TB, dir, data string, settings ...string) *Server {
	t.Helper()
	u, err := user.Lookup("mysql")
	if !Here() || err != nil {
		t.Skip("MariaDB is not installed here, or this is not root")
	}
	s := &Server{Dir: dir, Data: data, Socket: filepath.Join(dir, "mysqld.sock"), Logs: filepath.Join(dir, "log")}
	s.uid, s.gid = number(t, u.Uid), number(t, u.Gid)
	s.own(t, dir)
	s.mkdir(t, s.Logs)
	s.mkdir(t, data)
	first := filepath.Join(dir, "first.sql")
	text := "SET PASSWORD FOR root@localhost = PASSWORD('" + Password + "');\n"
	if err := os.WriteFile(first, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s.Run(t, "/usr/bin/mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-log-bin", "--innodb-flush-method=fsync", "--innodb-log-file-size=8M", "--debug-no-sync")
	s.settings = append([]string{"--log-bin=" + filepath.Join(s.Logs, "bin"), "--server-id=1", "--innodb-log-file-size=8M", "--innodb-flush-method=fsync", "--innodb-buffer-pool-size=16M", "--debug-no-sync", "--innodb-flush-log-at-trx-commit=0"}, settings...)
	s.Up(t, "--init-file="+first)
	return s
}

func number(t testing.TB, text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

func (s *Server) own(t testing.TB, path string) {
	t.Helper()
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, int(s.uid), int(s.gid)); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) mkdir(t testing.TB, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	s.own(t, path)
}

// Run runs a program as the server's user to its end and answers what it printed.
func (s *Server) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = s.as()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (s *Server) as() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.uid, Gid: s.gid}}
}

// Up starts the server, and waits until it answers.
func (s *Server) Up(t testing.TB, settings ...string) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.Dir, "err"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	args := append([]string{"--no-defaults", "--datadir=" + s.Data, "--socket=" + s.Socket, "--skip-networking", "--pid-file=" + filepath.Join(s.Dir, "pid")}, s.settings...)
	s.cmd = exec.Command(program, append(args, settings...)...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr, s.cmd.SysProcAttr = "/", log, log, s.as()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	s.over = over
	cmd := s.cmd
	go func() { _ = cmd.Wait(); close(over) }()
	t.Cleanup(s.Down)
	for end := time.Now().Add(within); ; time.Sleep(tick) {
		err := s.Exec(context.Background(), "DO 0")
		if err == nil {
			return
		}
		select {
		case <-over:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("MariaDB ended: %s", text)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("MariaDB does not answer: %v", err)
		}
	}
}

// Down kills it.
func (s *Server) Down() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill() // it may have ended
		<-s.over
		s.cmd = nil
	}
}

// On starts a server on another data directory, with nothing but what a new one has.
func (s *Server) On(t testing.TB, data string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "mariatest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	o := &Server{Dir: dir, Data: data, Socket: filepath.Join(dir, "mysqld.sock"), uid: s.uid, gid: s.gid}
	s.own(t, dir)
	o.Up(t)
	return o
}

// Open answers a pool of sessions as root.
func (s *Server) Open() *sql.DB {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = "root", Password, "unix", s.Socket
	cfg.MultiStatements = true
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		panic(err) // it is made of constants
	}
	return sql.OpenDB(c)
}

// Query answers one value of a query.
func (s *Server) Query(t testing.TB, query string, args ...any) (text string) {
	t.Helper()
	db := s.Open()
	defer db.Close()
	if err := db.QueryRow(query, args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return text
}

// Exec runs statements.
func (s *Server) Exec(ctx context.Context, statement string) error {
	db := s.Open()
	defer db.Close()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
