package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"keepward/internal/errs"
)

// dropWithin is how long a database that is not whole may take to go: somebody may be in it.
const dropWithin = time.Minute

// load copies one database of the recovered server into one that runs. It is made there, so that
// nothing that is there can be damaged, and goes again if not all of it comes.
func (s *server) load(ctx context.Context) (err error) {
	r := s.r
	list, err := s.databases(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(list, r.Database) {
		return errs.New(errs.NotFound, "application.database", "there is no database %s in the point; there is %s", r.Database, strings.Join(list, ", "))
	}
	as := cmp.Or(r.As, r.Database)
	target, err := connect(ctx, r.Into, r.User, r.Secret, setting(r.Settings, "database", "postgres"), setting(r.Settings, "tls", "prefer"))
	if err != nil {
		return err
	}
	defer target.Close(context.WithoutCancel(ctx))
	if err := s.make(ctx, target, as); err != nil {
		return err
	}
	if err = s.copy(ctx, as); err == nil {
		r.Event("info", "application.loaded", fmt.Sprintf("PostgreSQL: database %s is in the server at %s, as %s", r.Database, cmp.Or(r.Into, usualSockets), as))
		return nil
	}
	free, done := context.WithTimeout(context.WithoutCancel(ctx), dropWithin)
	defer done()
	if _, dropErr := target.Exec(free, "DROP DATABASE "+pgx.Identifier{as}.Sanitize()); dropErr != nil {
		r.Event("warning", "application.left", fmt.Sprintf("PostgreSQL: database %s, which is not whole, could not be removed: %v", as, dropErr))
	}
	return err
}

// make makes an empty database like the one that is loaded.
func (s *server) make(ctx context.Context, target *pgx.Conn, as string) error {
	source, err := s.connect(ctx, "postgres")
	if err != nil {
		return err
	}
	defer source.Close(context.WithoutCancel(ctx))
	var encoding, collate, ctype string
	err = source.QueryRow(ctx, `SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname = $1`, s.r.Database).Scan(&encoding, &collate, &ctype)
	if err != nil {
		return asked("look at database "+s.r.Database, err)
	}
	var there bool
	if err := target.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, as).Scan(&there); err != nil {
		return asked("look for database "+as, err)
	}
	if there {
		return errs.New(errs.Exists, "application.database", "the server at %s has a database %s already", cmp.Or(s.r.Into, usualSockets), as).
			WithHint("load it under another name with --as NAME, and rename it there")
	}
	literal := func(v string) string { return "'" + strings.ReplaceAll(v, "'", "''") + "'" }
	_, err = target.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{as}.Sanitize()+" TEMPLATE template0 ENCODING "+literal(encoding)+" LC_COLLATE "+literal(collate)+" LC_CTYPE "+literal(ctype))
	if err != nil {
		return asked("make database "+as, err)
	}
	return nil
}

// passwordFile is a file with a password that is in no directory: it is gone with those who have it
// open. Only the user of the server may read it.
func (r *recovery) passwordFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("password", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "password")
	escaped := strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(r.Secret.Reveal())
	_, err = f.WriteString("*:*:*:*:" + escaped + "\n")
	if err = errors.Join(err, f.Chmod(0o600), f.Chown(r.uid, r.gid)); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// copy runs a dump into a load.
func (s *server) copy(ctx context.Context, as string) error {
	r := s.r
	host, port, err := address(r.Into)
	if err != nil {
		return err
	}
	password, err := r.passwordFile()
	if err != nil {
		return r.failed(err)
	}
	defer password.Close()
	dump := s.command("pg_dump", "-h", s.dir, "-p", strconv.Itoa(usualPort), "-U", r.about.Superuser, "--no-password", "-Fc", "-Z0", "--dbname", "dbname="+quoted(r.Database))
	load := s.command("pg_restore", "--no-password", "--exit-on-error", "--single-transaction",
		"--dbname", "host="+quoted(host)+" port="+strconv.Itoa(int(port))+" user="+quoted(cmp.Or(r.User, "postgres"))+" dbname="+quoted(as)+" sslmode="+setting(r.Settings, "tls", "prefer"))
	load.Env, load.ExtraFiles = append(load.Env, "PGPASSFILE=/proc/self/fd/3"), []*os.File{password} // the first of those
	from, to, err := os.Pipe()
	if err != nil {
		return r.failed(err)
	}
	dump.Stdout, load.Stdin = to, from
	said := [2]*tail{{}, {}}
	runtime.LockOSThread() // they die with this thread
	defer runtime.UnlockOSThread()
	var begun []*exec.Cmd
	var failed error
	for i, cmd := range []*exec.Cmd{dump, load} {
		cmd.Stderr = said[i]
		if err := cmd.Start(); err != nil {
			failed = err
			break
		}
		begun = append(begun, cmd)
	}
	_, _ = from.Close(), to.Close() // they are the programs'
	kill := func() {
		for _, cmd := range begun {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	}
	if failed != nil {
		kill()
	}
	stop := context.AfterFunc(ctx, kill)
	defer stop()
	for i := len(begun) - 1; i >= 0; i-- { // a load that fails is why the dump does
		if err := begun[i].Wait(); err != nil && failed == nil {
			failed = fmt.Errorf("%w: %s", err, said[i].lines())
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if failed != nil {
		return errs.New(errs.Unavailable, "application.recover", "PostgreSQL: load database %s: %w", r.Database, failed)
	}
	return nil
}
