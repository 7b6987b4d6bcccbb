package mariadb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"keepward/internal/app"
	"keepward/internal/errs"
)

const (
	pollEvery = 100 * time.Millisecond
	// recoveryUser is who applies logs and looks at tables. It is made for that, with a password of
	// its own, and removed before the server ends.
	recoveryUser = "keepward_recovery"
)

// stopWithin is how long a server that is told to end may take at least. Tests have less time.
var stopWithin = 2 * time.Minute

// server is one that runs on a data directory only for the time of a recovery. Nobody else can
// connect: its socket is in a directory of its own.
type server struct {
	r      *recovery
	dir    string
	secret app.Secret
	cmd    *exec.Cmd
	said   *tail
	over   chan struct{} // closed when it has ended
	err    error         // of its end
}

// prepare has mariadb-backup make a state of what it had copied.
func (r *recovery) prepare(ctx context.Context) error {
	path, err := program("mariadb-backup", r.about.Series, r.Settings["programs"])
	if err != nil {
		return err
	}
	cmd := exec.Command(path, "--no-defaults", "--prepare", "--target-dir="+r.data)
	cmd.Dir, cmd.Env = r.data, environment("/")
	cmd.SysProcAttr = r.as()
	if err := r.passable(); err != nil {
		return err
	}
	if err := run(ctx, cmd); err != nil {
		if context.Cause(ctx) != nil {
			return context.Cause(ctx)
		}
		return r.failed(err)
	}
	return nil
}

// as is the user that the files belong to.
func (r *recovery) as() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{}
	if os.Geteuid() != r.uid {
		a.Credential = &syscall.Credential{Uid: uint32(r.uid), Gid: uint32(r.gid)}
	}
	return a
}

// passable makes sure that the user of the server comes to the data directory.
func (r *recovery) passable() error {
	for dir := r.data; ; dir = filepath.Dir(dir) {
		st, err := statOf(dir)
		if err != nil {
			return r.failed(err)
		}
		ok := st.Mode&0o001 != 0
		switch {
		case int(st.Uid) == r.uid:
			ok = st.Mode&0o100 != 0
		case int(st.Gid) == r.gid:
			ok = st.Mode&0o010 != 0
		}
		if !ok && r.uid != 0 {
			return errs.New(errs.Denied, "application.recover", "start MariaDB on %s: its user, number %d, may not enter %s", r.data, r.uid, dir).
				WithHint("restore to a directory that it may enter")
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// run starts a server, plays the logs into it, looks at it, or loads a database of it, and ends it.
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
	if err := s.up(ctx); err != nil {
		return err
	}
	if len(r.logs) > 0 {
		if err := s.play(ctx); err != nil {
			return err
		}
	}
	text := "it is recovered"
	if !r.ToTime.IsZero() {
		text += ", and has the state of " + stamp(second(r.ToTime))
	}
	r.Event("info", "application.recovered", "MariaDB: "+text)
	if r.Into != "" {
		r.Phase("load")
		err = s.load(ctx)
	} else {
		r.Phase("check")
		err = s.check(ctx)
	}
	return errors.Join(err, s.forget(ctx))
}

func (r *recovery) start(ctx context.Context) (*server, error) {
	if r.uid == 0 {
		return nil, errs.New(errs.Invalid, "application.recover", "start MariaDB on %s: its files belong to root, as whom it does not run", r.data).
			WithHint("is there a user of the name that they belonged to? Restore without --start otherwise")
	}
	path, err := program("mariadbd", r.about.Series, r.Settings["programs"])
	if err != nil {
		return nil, err
	}
	if err := r.passable(); err != nil {
		return nil, err
	}
	s := &server{r: r, said: &tail{}, over: make(chan struct{}), secret: app.NewSecret(rand.Text() + "aA1!")}
	if s.dir, err = os.MkdirTemp("", "keepward-my-"); err != nil {
		return nil, r.failed(err)
	}
	first := filepath.Join(s.dir, "first.sql")
	err = os.WriteFile(first, []byte(fmt.Sprintf("CREATE OR REPLACE USER %s@localhost IDENTIFIED BY '%s';\nGRANT ALL ON *.* TO %s@localhost WITH GRANT OPTION;\n", recoveryUser, s.secret.Reveal(), recoveryUser)), 0o600)
	if err = errors.Join(err, os.Lchown(first, r.uid, r.gid), os.Lchown(s.dir, r.uid, r.gid)); err != nil {
		_ = os.RemoveAll(s.dir)
		return nil, r.failed(err)
	}
	args := []string{
		"--no-defaults", "--datadir=" + r.data, "--socket=" + s.socket(), "--pid-file=" + filepath.Join(s.dir, "pid"), "--tmpdir=" + s.dir, "--init-file=" + first,
		"--skip-networking", "--skip-log-bin", "--skip-slave-start", "--event-scheduler=OFF", "--skip-ssl", "--max-allowed-packet=1G", "--secure-file-priv=" + s.dir,
		"--innodb-buffer-pool-load-at-startup=OFF", "--innodb-buffer-pool-dump-at-shutdown=OFF", "--loose-wsrep-on=OFF", "--log-warnings=1", "--general-log=OFF", "--slow-query-log=OFF",
	}
	for _, name := range kept { // and nothing else that the point may say
		if value, ok := r.about.Settings[name]; ok {
			args = append(args, "--"+strings.ReplaceAll(name, "_", "-")+"="+value)
		}
	}
	s.cmd = exec.Command(path, args...)
	s.cmd.Dir, s.cmd.Env = s.dir, environment(s.dir)
	s.cmd.Stdout, s.cmd.Stderr = s.said, s.said
	s.cmd.SysProcAttr = r.as()
	s.cmd.SysProcAttr.Pdeathsig, s.cmd.SysProcAttr.Setpgid = syscall.SIGKILL, true
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

func (s *server) socket() string { return filepath.Join(s.dir, "s") }

func (s *server) connect(ctx context.Context) (*session, error) {
	return connect(ctx, s.socket(), recoveryUser, s.secret, "disable")
}

// up waits until the server has recovered and answers.
func (s *server) up(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if _, err := os.Stat(s.socket()); err == nil {
			if conn, err := s.connect(ctx); err == nil {
				return conn.Close()
			}
		}
		select {
		case <-s.over:
			return errs.New(errs.Unavailable, "application.recover", "MariaDB ended while it recovered: %s", s.said.lines())
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// client is a program that connects to a server. It is the client's only extra file that has the
// password.
func (s *server) client(name string, secret *os.File, args ...string) (*exec.Cmd, error) {
	path, err := program(name, "", s.r.Settings["programs"])
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = s.dir, environment(s.dir)
	if secret != nil {
		cmd.ExtraFiles = []*os.File{secret}
	}
	return cmd, nil
}

// play has the server do what the logs say was done behind the state of the files.
func (s *server) play(ctx context.Context) error {
	r := s.r
	args := []string{"--no-defaults", "--start-position=" + strconv.FormatUint(r.about.Position, 10)}
	if r.stop != nowhere {
		args = append(args, "--stop-position="+strconv.FormatUint(r.stop, 10))
	}
	read, err := s.client("mariadb-binlog", nil, append(args, r.logs...)...)
	if err != nil {
		return err
	}
	secret, err := options(place{socket: s.socket()}, recoveryUser, s.secret, "")
	if err != nil {
		return r.failed(err)
	}
	defer secret.Close()
	play, err := s.client("mariadb", secret, optionsArgument, "--batch", "--binary-mode", "--max-allowed-packet=1G")
	if err != nil {
		return err
	}
	if err := run(ctx, read, play); err != nil {
		if context.Cause(ctx) != nil {
			return context.Cause(ctx)
		}
		return errs.New(errs.Corrupt, "application.recover", "MariaDB: play the binary logs: %w", err)
	}
	r.Event("info", "application.played", fmt.Sprintf("MariaDB: %d binary logs were played, from %s position %d on", len(r.logs), r.about.File, r.about.Position))
	return nil
}

// check has the server look at all tables.
func (s *server) check(ctx context.Context) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	rows, err := conn.QueryContext(ctx, `SELECT table_schema, table_name FROM information_schema.tables
		WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('information_schema', 'performance_schema', 'sys') ORDER BY 1, 2`)
	if err != nil {
		return asked("list tables", err)
	}
	var tables [][2]string
	for rows.Next() {
		var t [2]string
		if err := rows.Scan(&t[0], &t[1]); err != nil {
			_ = rows.Close()
			return asked("list tables", err)
		}
		tables = append(tables, t)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return asked("list tables", err)
	}
	begun := time.Now()
	unchecked := 0
	for _, t := range tables {
		looked, err := checkTable(ctx, conn, t[0], t[1])
		if err != nil {
			return err
		}
		if !looked {
			unchecked++
		}
	}
	text := fmt.Sprintf("MariaDB: CHECK TABLE found all of %d tables sound, in %s", len(tables)-unchecked, time.Since(begun).Round(time.Millisecond))
	if unchecked > 0 {
		text += fmt.Sprintf("; %d cannot be checked", unchecked)
	}
	s.r.Event("info", "application.sound", text)
	return nil
}

// checkTable has the server look at one table. looked: its engine can do that.
func checkTable(ctx context.Context, conn *session, schema, name string) (looked bool, err error) {
	table := identifier(schema) + "." + identifier(name)
	rows, err := conn.QueryContext(ctx, "CHECK TABLE "+table)
	if err != nil {
		return false, asked("check table "+table, err)
	}
	defer rows.Close()
	var bad []string
	for rows.Next() {
		var of, op, kind, text string
		if err := rows.Scan(&of, &op, &kind, &text); err != nil {
			return false, asked("check table "+table, err)
		}
		switch {
		case kind == "status" && (text == "OK" || text == "Table is already up to date"):
			looked = true
		case kind == "note":
		case kind == "warning" && !strings.Contains(strings.ToLower(text), "corrupt"):
		default:
			bad = append(bad, text)
		}
	}
	if err := rows.Err(); err != nil {
		return false, asked("check table "+table, err)
	}
	if len(bad) > 0 {
		return false, errs.New(errs.Corrupt, "application.unsound", "MariaDB: table %s is not sound: %s", table, strings.Join(slices.Compact(bad), "; "))
	}
	return looked, nil
}

func identifier(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// forget removes the user of the recovery.
func (s *server) forget(ctx context.Context) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "DROP USER "+recoveryUser+"@localhost"); err != nil {
		return asked("remove the user of the recovery", err)
	}
	return nil
}

// end shuts the server down in order, if what it has done is of use: to write that out takes as long as
// it takes, within the time of the recovery. It has to be gone in any case.
func (s *server) end(ctx context.Context, wanted bool) error {
	defer func() { _ = os.RemoveAll(s.dir) }()
	if wanted {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		timer := time.NewTimer(stopWithin)
		defer timer.Stop()
		select {
		case <-s.over:
			return s.ended()
		case <-timer.C:
		}
		select {
		case <-s.over:
			return s.ended()
		case <-ctx.Done():
		}
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.over
	if !wanted {
		return nil
	}
	return errs.New(errs.Unavailable, "application.recover", "MariaDB did not end in time")
}

// ended is why it did not end in order; nil: it did.
func (s *server) ended() error {
	var exit *exec.ExitError
	if errors.As(s.err, &exit) {
		return errs.New(errs.Unavailable, "application.recover", "MariaDB did not end in order: %w: %s", s.err, s.said.lines())
	}
	return nil
}
