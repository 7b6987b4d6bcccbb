//go:build linux

// Package pgtest starts PostgreSQL servers for tests, as the user that the package of the system has
// for them.
package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Password is that of the role postgres of a server.
const Password = "s3cret of the server"

// Server is a server that runs.
type Server struct {
	Dir, Data, Sockets string
	bin                string
	uid, gid           uint32
}

// Programs is where the server's programs are; empty: there are none that can be run here.
func Programs() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 || os.Geteuid() != 0 {
		return ""
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1])
}

// Start makes a server in a directory of its own and starts it. settings are lines of its
// configuration.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := &Server{bin: Programs()}
	u, err := user.Lookup("postgres")
	if s.bin == "" || err != nil {
		t.Skip("PostgreSQL is not installed here, or this is not root")
	}
	s.uid, s.gid = number(t, u.Uid), number(t, u.Gid)
	if s.Dir, err = os.MkdirTemp("", "pgtest-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(s.Dir) })
	s.Data, s.Sockets = filepath.Join(s.Dir, "data"), filepath.Join(s.Dir, "s")
	s.own(t, s.Dir, 0o755)
	s.Mkdir(t, s.Sockets)
	password := filepath.Join(s.Dir, "password")
	if err := os.WriteFile(password, []byte(Password), 0o644); err != nil {
		t.Fatal(err)
	}
	s.Run(t, "initdb", "-D", s.Data, "-A", "scram-sha-256", "--pwfile", password, "--no-sync", "-E", "UTF8", "--locale", "C")
	lines := append([]string{"listen_addresses = ''", "unix_socket_directories = '" + s.Sockets + "'", "fsync = off", "max_slot_wal_keep_size = 1GB", "shared_buffers = 32MB"}, settings...)
	s.Configure(t, lines...)
	s.Up(t)
	t.Cleanup(s.Down)
	return s
}

func number(t testing.TB, text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

func (s *Server) own(t testing.TB, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, int(s.uid), int(s.gid)); err != nil {
		t.Fatal(err)
	}
}

// Mkdir makes a directory that is the server's.
func (s *Server) Mkdir(t testing.TB, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	s.own(t, path, 0o700)
}

// Configure adds lines to the configuration.
func (s *Server) Configure(t testing.TB, lines ...string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(s.Data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Command is a program of the server's, as its user.
func (s *Server) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + s.bin + ":/usr/bin:/bin", "LC_ALL=C", "PGPASSWORD=" + Password, "PGHOST=" + s.Sockets, "PGUSER=postgres", "HOME=/"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.uid, Gid: s.gid}}
	return cmd
}

// Run runs a program of the server's to its end and answers what it printed.
func (s *Server) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := s.Command(context.Background(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Up starts the server.
func (s *Server) Up(t testing.TB) {
	t.Helper()
	s.Run(t, "pg_ctl", "-D", s.Data, "-l", filepath.Join(s.Sockets, "log"), "-w", "start")
}

// Down stops it.
func (s *Server) Down() {
	_ = s.Command(context.Background(), "pg_ctl", "-D", s.Data, "-m", "immediate", "-w", "stop").Run()
}

// On answers a server like this one on another data directory, which is not started.
func (s *Server) On(t testing.TB, data string) *Server {
	t.Helper()
	o := *s
	o.Data = data
	o.Sockets = filepath.Join(s.Dir, fmt.Sprintf("s%d", len(data))+filepath.Base(filepath.Dir(data)))
	o.Mkdir(t, o.Sockets)
	t.Cleanup(o.Down)
	return &o
}

// Connect opens a session as the role postgres.
func (s *Server) Connect(ctx context.Context, database string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig("sslmode=disable user=postgres host=" + s.Sockets + " dbname=" + database)
	if err != nil {
		return nil, err
	}
	cfg.Password = Password
	return pgx.ConnectConfig(ctx, cfg)
}

// Query answers one value of a query.
func (s *Server) Query(t testing.TB, database, query string, args ...any) (text string) {
	t.Helper()
	conn, err := s.Connect(context.Background(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var v any
	if err := conn.QueryRow(context.Background(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return fmt.Sprint(v)
}

// Exec runs statements.
func (s *Server) Exec(ctx context.Context, database, statement string) error {
	conn, err := s.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, statement)
	return err
}
