// Package postgres backs PostgreSQL up and brings it back, by its low-level backup functions: the
// files are read while a session is in backup mode, and the log that makes a state of them comes
// along.
//
// The backup mode holds nobody up and ends with its session. Between two backups the server keeps the
// log by a replication slot of the job, if it bounds what slots may keep.
package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"keepward/internal/app"
	"keepward/internal/errs"
)

// Kind is PostgreSQL.
type Kind struct{}

// oldest is the first version whose functions are known here.
const oldest = 120000

// closeWithin is how long a session may take to end.
const closeWithin = 5 * time.Second

// instance is a server during one try.
type instance struct {
	in   app.Instance
	stop context.CancelFunc
	over context.Context // done once it is closed

	// mu guards conn: Close waits until the call under way has seen that its time is over.
	mu   sync.Mutex
	conn *pgx.Conn

	about about
	data  string
	plan  app.Plan
	// slot is what keeps the log from backup to backup; empty: that of this session alone does.
	slot    string
	stopped string // the position of the end, once there is one
}

// Open connects to a server and finds out where its files are.
func (Kind) Open(ctx context.Context, in app.Instance) (app.Application, error) {
	conn, err := connect(ctx, in.Address, in.User, in.Secret, setting(in.Settings, "database", "postgres"), setting(in.Settings, "tls", "prefer"))
	if err != nil {
		return nil, err
	}
	i := &instance{in: in, conn: conn}
	i.over, i.stop = context.WithCancel(context.Background())
	if err := i.call(ctx, i.look); err != nil {
		i.Close()
		return nil, err
	}
	return i, nil
}

func setting(of map[string]string, name, normal string) string {
	if v := of[name]; v != "" {
		return v
	}
	return normal
}

// call does something with the session. It ends with ctx, and when the instance is closed.
func (i *instance) call(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(i.over, cancel)()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.conn == nil || i.over.Err() != nil {
		return errs.New(errs.Unavailable, "application.closed", "ask PostgreSQL: the session has ended")
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return do(ctx)
}

// Close ends the session, and with it what it holds.
func (i *instance) Close() {
	i.stop()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	_ = i.conn.Close(ctx) // the server ends it then
	i.conn = nil
}

func (i *instance) Plan() app.Plan { return i.plan }

// Hold and Release have nothing to do: the log makes a state of files that change.
func (i *instance) Hold(context.Context) error    { return nil }
func (i *instance) Release(context.Context) error { return nil }

func (i *instance) tell(level, code, format string, args ...any) {
	if i.in.Event != nil {
		i.in.Event(level, code, "PostgreSQL "+i.in.Name+": "+fmt.Sprintf(format, args...))
	}
}

// look finds out what the server is and where.
func (i *instance) look(ctx context.Context) error {
	a := &i.about
	a.Kind = "postgresql"
	var recovering bool
	err := i.conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version'), pg_is_in_recovery(),
		pg_size_bytes(current_setting('wal_segment_size')), (SELECT system_identifier::text FROM pg_control_system()),
		(SELECT rolname FROM pg_roles WHERE oid = 10)`).Scan(&a.VersionNumber, &a.Version, &recovering, &a.SegmentSize, &a.System, &a.Superuser)
	if err != nil {
		return asked("look at the server", err)
	}
	switch {
	case a.VersionNumber < oldest:
		return errs.New(errs.Invalid, "application.unfit", "PostgreSQL %s is older than what can be backed up, %d", a.Version, oldest/10000)
	case recovering:
		return errs.New(errs.Invalid, "application.unfit", "the server is a standby, which is not backed up").WithHint("back up its primary, or the files of the standby while it is down")
	}
	var names [4]string
	err = i.conn.QueryRow(ctx, `SELECT current_setting('data_directory'), current_setting('config_file'), current_setting('hba_file'), current_setting('ident_file')`).
		Scan(&names[0], &names[1], &names[2], &names[3])
	if err != nil {
		return asked("ask where the files are", err)
	}
	if i.data, err = filepath.EvalSymlinks(names[0]); err != nil {
		return errs.New(errs.KindOf(err), "application.unfit", "look at the data directory: %w", err).
			WithHint("the agent must run on the computer of the server, and may read its files")
	}
	if err := sameSystem(i.data, a.System); err != nil {
		return err
	}
	a.Config = names[1:]
	if err := i.settings(ctx); err != nil {
		return err
	}
	return i.trees(ctx)
}

// sameSystem makes sure that a data directory is that of the server that was asked: a server may be
// reached that runs elsewhere, with the same paths.
func sameSystem(data, system string) error {
	got, err := systemOf(data)
	if err == nil && got != system {
		err = errs.New(errs.Invalid, "application.unfit", "the data directory %s is that of another server: system %s, not %s", data, got, system).
			WithHint("the address leads to a server of another computer; the agent must run where the server does")
	}
	return err
}

// systemOf reads the number of the system that a data directory is of: the first thing in its control
// file, in the order of the machine, which is that of ours.
func systemOf(data string) (string, error) {
	b, err := os.ReadFile(filepath.Join(data, "global", "pg_control"))
	if err != nil {
		return "", errs.New(errs.KindOf(err), "application.unfit", "look at the data directory: %w", err).
			WithHint("the agent must run on the computer of the server, and may read its files")
	}
	if len(b) < 8 {
		return "", errs.New(errs.Corrupt, "application.unfit", "look at the data directory: its control file has %d bytes", len(b))
	}
	return fmt.Sprint(native.Uint64(b)), nil
}

// keptSettings are what a server must have at least as much of as the one whose log it reads.
var keptSettings = []string{"max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction"}

// settings keeps what a server must have to recover this one, and where its configuration is.
func (i *instance) settings(ctx context.Context) error {
	rows, err := i.conn.Query(ctx, `SELECT name, setting FROM pg_settings WHERE name = ANY($1)`, keptSettings)
	if err != nil {
		return asked("ask for settings", err)
	}
	i.about.Settings = map[string]string{}
	var name, value string
	if _, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error { i.about.Settings[name] = value; return nil }); err != nil {
		return asked("ask for settings", err)
	}
	rows, err = i.conn.Query(ctx, `SELECT DISTINCT sourcefile FROM pg_settings WHERE sourcefile IS NOT NULL ORDER BY 1`)
	if err != nil {
		return asked("ask for configuration files", err)
	}
	more, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return asked("ask for configuration files", err)
	}
	i.about.Config = append(i.about.Config, more...)
	return nil
}

// leave is what is no part of a backup: what each start of a server makes anew, what is another
// server's or another backup's, and the log, which comes apart.
var leave = []string{
	"/postmaster.pid", "/postmaster.opts", "/backup_label", "/backup_label.old", "/tablespace_map", "/tablespace_map.old",
	"/backup_manifest", "/recovery.signal", "/standby.signal", "/current_logfiles",
	"/pg_wal", "/pg_tblspc/*", "/pg_replslot/*", "/pg_dynshmem/*", "/pg_notify/*", "/pg_serial/*", "/pg_snapshots/*", "/pg_stat_tmp/*", "/pg_subtrans/*",
	"pgsql_tmp*", "pg_internal.init*",
}

// trees makes the plan.
func (i *instance) trees(ctx context.Context) error {
	i.plan = app.Plan{
		Text:  fmt.Sprintf("PostgreSQL %s, system %s, data directory %s", i.about.Version, i.about.System, i.data),
		Trees: []app.Tree{{Name: "data", Path: i.data, Leave: leave}},
	}
	rows, err := i.conn.Query(ctx, `SELECT oid::text, spcname, pg_tablespace_location(oid) FROM pg_tablespace WHERE pg_tablespace_location(oid) <> '' ORDER BY oid`)
	if err != nil {
		return asked("ask for tablespaces", err)
	}
	i.about.Tablespaces, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (t tablespace, err error) {
		return t, r.Scan(&t.OID, &t.Name, &t.Path)
	})
	if err != nil {
		return asked("ask for tablespaces", err)
	}
	kept := i.about.Tablespaces[:0]
	for _, t := range i.about.Tablespaces {
		if !filepath.IsAbs(t.Path) {
			continue // it lies in the data directory, as a part of it
		}
		real, err := filepath.EvalSymlinks(t.Path)
		if err != nil {
			return errs.New(errs.KindOf(err), "application.unfit", "look at tablespace %s: %w", t.Name, err)
		}
		if strings.HasPrefix(real+"/", i.data+"/") {
			return errs.New(errs.Invalid, "application.unfit", "tablespace %s lies within the data directory, at %s", t.Name, real)
		}
		i.plan.Trees = append(i.plan.Trees, app.Tree{Name: "tablespaces/" + t.OID, Path: real, Leave: []string{"pgsql_tmp*"}})
		kept = append(kept, t)
	}
	i.about.Tablespaces = kept
	return nil
}

// slotOf names what keeps the log for a job.
func slotOf(in app.Instance) string {
	h := sha256.Sum256([]byte(in.Job + "\x00" + in.Name))
	return "keepward_" + hex.EncodeToString(h[:8])
}

// asked makes an error of what the server answers.
func asked(what string, err error) error {
	kind, code, hint := errs.Unavailable, "application.failed", ""
	var pg *pgError
	if errors.As(err, &pg) {
		switch {
		case pg.Code == "42501":
			kind, code, hint = errs.Denied, "application.denied", "the role needs: REPLICATION, membership in pg_monitor, and EXECUTE on pg_backup_start and pg_backup_stop"
		case strings.HasPrefix(pg.Code, "28"):
			kind, code = errs.Denied, "application.denied"
		case strings.HasPrefix(pg.Code, "55"), strings.HasPrefix(pg.Code, "53"):
			kind, code = errs.Unavailable, "application.unfit"
		}
	}
	e := errs.New(kind, code, "PostgreSQL: %s: %w", what, err)
	if hint != "" {
		return e.WithHint("%s", hint)
	}
	return e
}
