package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"keepward/internal/app"
	"keepward/internal/errs"
)

func ownerOf(path string) (uid, gid int, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return int(st.Uid), int(st.Gid), nil
}

const (
	pollEvery = 100 * time.Millisecond
	// logMost is how much of what a server says is kept.
	logMost = 16 << 10
)

// stopWithin is how long a server that is told to end may take at least. Tests have less time.
var stopWithin = time.Minute

// server is one that runs on a data directory only for the time of a recovery. Nobody else can
// connect: its socket is in a directory of its own.
type server struct {
	r        *recovery
	programs string
	dir      string
	cmd      *exec.Cmd
	said     *tail
	over     chan struct{} // closed when it has ended
	err      error         // of its end
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - logMost; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

// lines are those of them that say what is wrong, else the last.
func (t *tail) lines() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	bad := slices.DeleteFunc(slices.Clone(all), func(l string) bool { return !strings.Contains(l, "FATAL") && !strings.Contains(l, "PANIC") })
	if len(bad) == 0 {
		bad = all
	}
	return strings.Join(bad[max(0, len(bad)-3):], "; ")
}

// run starts a server, waits until it is recovered, looks at it, or loads a database of it, and ends
// it.
func (r *recovery) run(ctx context.Context) (err error) {
	limit, err := time.ParseDuration(setting(r.Settings, "timeout", "1h"))
	if err != nil {
		return errs.New(errs.Invalid, "application.setting", "the timeout %q is no time", r.Settings["timeout"])
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errs.New(errs.Unavailable, "application.recover", "the recovery took longer than %s", limit))
	defer cancel()
	s, err := r.start(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := s.end(ctx, err == nil); err == nil {
			err = stopErr
		}
	}()
	if err := s.recovered(ctx); err != nil {
		return err
	}
	if r.Into != "" {
		r.Phase("load")
		return s.load(ctx)
	}
	r.Phase("check")
	return s.check(ctx)
}

func (r *recovery) start(ctx context.Context) (*server, error) {
	if r.uid == 0 {
		return nil, errs.New(errs.Invalid, "application.recover", "start PostgreSQL on %s: its files belong to root, as whom it does not run", r.data).
			WithHint("is there a user of the name that they belonged to? Restore without --start otherwise")
	}
	s := &server{r: r, said: &tail{}, over: make(chan struct{})}
	var err error
	if s.programs, err = programs(r.Settings["programs"], r.about.VersionNumber/10000); err != nil {
		return nil, err
	}
	if err := r.passable(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "keepward-pg-"); err != nil {
		return nil, r.failed(err)
	}
	if err := s.files(); err != nil {
		_ = os.RemoveAll(s.dir)
		return nil, err
	}
	args := []string{
		"-D", r.data, "-c", "config_file=" + filepath.Join(s.dir, "postgresql.conf"), "-c", "hba_file=" + filepath.Join(s.dir, "pg_hba.conf"), "-c", "ident_file=" + filepath.Join(s.dir, "pg_ident.conf"),
		"-c", "data_directory=" + r.data, "-c", "listen_addresses=", "-c", "unix_socket_directories=" + s.dir, "-c", "unix_socket_permissions=0700", "-c", "port=" + strconv.Itoa(usualPort),
		"-c", "archive_mode=off", "-c", "hot_standby=off", "-c", "logging_collector=off", "-c", "log_destination=stderr", "-c", "external_pid_file=", "-c", "shared_preload_libraries=", "-c", "ssl=off",
		"-c", "archive_cleanup_command=", "-c", "recovery_end_command=", "-c", "synchronous_standby_names=", "-c", "primary_conninfo=", "-c", "cluster_name=keepward-recovery", "-c", "log_min_messages=log",
	}
	for _, name := range keptSettings { // and nothing else that the point may say
		if value, ok := r.about.Settings[name]; ok {
			args = append(args, "-c", name+"="+value)
		}
	}
	for _, set := range r.settings() {
		args = append(args, "-c", set[0]+"="+set[1])
	}
	s.cmd = s.command("postgres", args...)
	s.cmd.Stdout, s.cmd.Stderr = s.said, s.said
	begun := make(chan error, 1) // one answer
	go func() {
		// The server dies with the thread that started it: with this process, whatever it dies of.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := s.cmd.Start()
		begun <- err
		if err == nil {
			s.err = s.cmd.Wait()
			close(s.over)
		}
	}()
	if err := <-begun; err != nil {
		_ = os.RemoveAll(s.dir)
		return nil, r.failed(err)
	}
	return s, nil
}

// passable makes sure that the user of the server comes to the data directory.
func (r *recovery) passable() error {
	for dir := r.data; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return r.failed(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		ok := info.Mode().Perm()&0o001 != 0
		switch {
		case int(st.Uid) == r.uid:
			ok = info.Mode().Perm()&0o100 != 0
		case int(st.Gid) == r.gid:
			ok = info.Mode().Perm()&0o010 != 0
		}
		if !ok {
			return errs.New(errs.Denied, "application.recover", "start PostgreSQL on %s: its user, number %d, may not enter %s", r.data, r.uid, dir).
				WithHint("restore to a directory that it may enter, or without --start")
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// files are the configuration of the server, and of nothing else.
func (s *server) files() error {
	for name, text := range map[string]string{"postgresql.conf": "", "pg_ident.conf": "", "pg_hba.conf": "local all all trust\n"} {
		path := filepath.Join(s.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return s.r.failed(err)
		}
		if err := os.Lchown(path, s.r.uid, s.r.gid); err != nil {
			return s.r.failed(err)
		}
	}
	if err := os.Lchown(s.dir, s.r.uid, s.r.gid); err != nil {
		return s.r.failed(err)
	}
	return nil
}

// command is a program of the server's, as its user.
func (s *server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.programs, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + s.programs + ":/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "HOME=" + s.dir, "PGCONNECT_TIMEOUT=10"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT, Setpgid: true}
	if os.Geteuid() != s.r.uid {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(s.r.uid), Gid: uint32(s.r.gid)}
	}
	return cmd
}

// recovered waits until the server is.
func (s *server) recovered(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var recovering bool
		conn, err := s.connect(ctx, "postgres")
		if err == nil {
			var last *time.Time
			err = conn.QueryRow(ctx, `SELECT pg_is_in_recovery(), pg_last_xact_replay_timestamp()`).Scan(&recovering, &last)
			_ = conn.Close(ctx)
			if err == nil && !recovering {
				text := "it is recovered"
				if last != nil {
					text += "; its last transaction is of " + stamp(*last)
				}
				s.r.Event("info", "application.recovered", "PostgreSQL: "+text)
				return nil
			}
		}
		select {
		case <-s.over:
			return errs.New(errs.Unavailable, "application.recover", "PostgreSQL ended while it recovered: %s", s.said.lines())
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func (s *server) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	return connect(ctx, s.dir, s.r.about.Superuser, app.Secret{}, database, "disable")
}

// databases are those of the server that can be connected to.
func (s *server) databases(ctx context.Context) ([]string, error) {
	conn, err := s.connect(ctx, "postgres")
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1`)
	if err != nil {
		return nil, asked("list databases", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// check reads all rows of all databases.
func (s *server) check(ctx context.Context) error {
	list, err := s.databases(ctx)
	if err != nil {
		return err
	}
	for _, db := range list {
		begun := time.Now()
		cmd := s.command("pg_dump", "-h", s.dir, "-p", strconv.Itoa(usualPort), "-U", s.r.about.Superuser, "--no-password", "-f", "/dev/null", "--dbname", "dbname="+quoted(db))
		if err := s.do(ctx, cmd); err != nil {
			return errs.New(errs.Corrupt, "application.unsound", "PostgreSQL: not all of database %s can be read: %w", db, err)
		}
		s.r.Event("info", "application.sound", fmt.Sprintf("PostgreSQL: all rows of database %s were read, in %s", db, time.Since(begun).Round(time.Millisecond)))
	}
	return nil
}

// do runs a program to its end, which comes with ctx at the latest.
func (s *server) do(ctx context.Context, cmd *exec.Cmd) error {
	said := &tail{}
	cmd.Stderr = said
	runtime.LockOSThread() // it dies with this thread
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer stop()
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w: %s", err, said.lines())
	}
	return nil
}

// end shuts the server down in order; it has to be gone in any case. What it has done is of use if
// wanted, and to write it out takes as long as it takes, within the time of the recovery.
func (s *server) end(ctx context.Context, wanted bool) error {
	defer func() { _ = os.RemoveAll(s.dir) }()
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	timer := time.NewTimer(stopWithin)
	defer timer.Stop()
	select {
	case <-s.over:
		return s.ended()
	case <-timer.C:
	}
	if wanted {
		select {
		case <-s.over:
			return s.ended()
		case <-ctx.Done():
		}
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGQUIT)
	<-s.over
	return errs.New(errs.Unavailable, "application.recover", "PostgreSQL did not end in time")
}

// ended is why it did not end in order; nil: it did.
func (s *server) ended() error {
	var exit *exec.ExitError
	if errors.As(s.err, &exit) {
		return errs.New(errs.Unavailable, "application.recover", "PostgreSQL did not end in order: %w: %s", s.err, s.said.lines())
	}
	return nil
}

// programs finds the programs of a version.
func programs(chosen string, version int) (string, error) {
	v := strconv.Itoa(version)
	list := []string{"/usr/lib/postgresql/" + v + "/bin", "/usr/pgsql-" + v + "/bin", "/usr/local/pgsql/bin", "/usr/local/bin", "/usr/bin"}
	if chosen != "" {
		list = []string{chosen}
	}
	for _, dir := range list {
		out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
		if err == nil && bytes.Contains(append(bytes.TrimSpace(out), '.'), []byte(") "+v+".")) {
			return dir, nil
		}
	}
	return "", errs.New(errs.NotFound, "application.programs", "there is no PostgreSQL %s on this computer: looked in %s", v, strings.Join(list, ", ")).
		WithHint("install that version, or name the directory of its programs with --set programs=DIR; or restore without --start")
}
