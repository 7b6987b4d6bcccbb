// Package mariadb backs MariaDB up and brings it back. The files of a server are read from a snapshot
// that is taken while BACKUP STAGE BLOCK_COMMIT holds it, or, where there is no snapshot, from a copy
// that its own mariadb-backup makes. The binary logs come along for the times between two backups.
//
// What is held belongs to the session, which the server itself ends when it hears nothing for seconds.
package mariadb

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"keepward/internal/app"
	"keepward/internal/errs"
)

// Kind is MariaDB.
type Kind struct{}

// oldest is the first version whose stages and whose files of the redo log are known here.
const (
	oldestMajor = 10
	oldestMinor = 6
)

// instance is a server during one try.
type instance struct {
	in   app.Instance
	stop context.CancelFunc
	over context.Context // done once it is closed

	// mu guards conn: Close waits until the call under way has seen that its time is over.
	mu   sync.Mutex
	conn *session
	held bool
	// filtered: it was told that the logs do not have all.
	filtered bool

	about about
	// logs is the directory of the binary logs, and base the beginning of their names; empty: there
	// are none.
	logs, base string
	plan       app.Plan
}

// Open connects to a server and finds out where its files are.
func (Kind) Open(ctx context.Context, in app.Instance) (app.Application, error) {
	conn, err := connect(ctx, in.Address, in.User, in.Secret, setting(in.Settings, "tls", "prefer"))
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
		return errs.New(errs.Unavailable, "application.closed", "ask MariaDB: the session has ended")
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	err := do(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// Close ends the session, and with it what it holds.
func (i *instance) Close() {
	i.stop()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.conn != nil {
		_ = i.conn.Close() // the server ends it then
		i.conn = nil
	}
}

func (i *instance) Plan() app.Plan { return i.plan }

func (i *instance) tell(level, code, format string, args ...any) {
	if i.in.Event != nil {
		i.in.Event(level, code, "MariaDB "+i.in.Name+": "+fmt.Sprintf(format, args...))
	}
}

func unfit(format string, args ...any) *errs.Error {
	return errs.New(errs.Invalid, "application.unfit", "MariaDB: "+format, args...)
}

// supported tells of a version whether it can be backed up.
func supported(version, comment string) (series string, err error) {
	series = seriesOf(version)
	if !strings.Contains(strings.ToLower(version), "mariadb") {
		return "", errs.New(errs.Invalid, "application.unfit", "the server is no MariaDB but %s %s, which cannot be backed up as one", comment, version).
			WithHint("MySQL has neither backup stages nor mariadb-backup: take its dump as a command of the job, see docs/user/mariadb.md")
	}
	major, minor, _ := strings.Cut(series, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	if errA != nil || errB != nil || a < oldestMajor || a == oldestMajor && b < oldestMinor {
		return "", unfit("version %s is older than what can be backed up, %d.%d", version, oldestMajor, oldestMinor)
	}
	return series, nil
}

// kept are the variables that a server must have to read the files of this one.
var kept = []string{"innodb_page_size", "innodb_data_file_path", "innodb_undo_tablespaces", "lower_case_table_names", "character_set_server", "collation_server"}

// places are the variables that may have files elsewhere than in the data directory.
var places = []string{"innodb_data_home_dir", "innodb_log_group_home_dir", "innodb_undo_directory", "aria_log_dir_path"}

// look finds out what the server is and where.
func (i *instance) look(ctx context.Context) error {
	a := &i.about
	a.Kind = "mariadb"
	v, err := i.variables(ctx)
	if err != nil {
		return err
	}
	if a.Series, err = supported(v["version"], v["version_comment"]); err != nil {
		return err
	}
	a.Version = v["version"]
	if a.Data, err = filepath.EvalSymlinks(v["datadir"]); err != nil {
		return errs.New(errs.KindOf(err), "application.unfit", "look at the data directory of MariaDB: %w", err).
			WithHint("the agent must run on the computer of the server, and may read its files")
	}
	a.Settings = map[string]string{}
	for _, name := range kept {
		if value, ok := v[name]; ok {
			a.Settings[name] = value
		}
	}
	for _, name := range places {
		dir := v[name]
		if dir == "" {
			continue
		}
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(a.Data, dir)
		}
		if real, err := filepath.EvalSymlinks(dir); err != nil || real != a.Data {
			return unfit("%s is %s, and not the data directory %s", name, v[name], a.Data)
		}
	}
	if strings.Contains(";"+v["innodb_data_file_path"], ";/") {
		return unfit("innodb_data_file_path has files outside of the data directory")
	}
	if err := i.sameServer(ctx); err != nil {
		return err
	}
	if err := together(a.Data); err != nil {
		return err
	}
	if err := i.findLogs(v); err != nil {
		return err
	}
	a.Config = configFiles()
	leave := []string{"/*.pid", "/ibtmp1", "#sql-temptable*", "/auto.cnf", "/tc.log"}
	if i.base != "" && i.logs == a.Data {
		leave = append(leave, "/"+i.base+".*")
	}
	i.plan = app.Plan{
		Text:  fmt.Sprintf("MariaDB %s, data directory %s", a.Version, a.Data),
		Trees: []app.Tree{{Name: "data", Path: a.Data, Leave: leave}},
		Holds: true, Snapshot: true,
	}
	return nil
}

func (i *instance) variables(ctx context.Context) (map[string]string, error) {
	names := append([]string{"version", "version_comment", "datadir", "log_bin", "log_bin_basename", "encrypt_binlog"}, slices.Concat(kept, places)...)
	rows, err := i.conn.QueryContext(ctx, "SHOW GLOBAL VARIABLES WHERE variable_name IN ('"+strings.Join(names, "','")+"')")
	if err != nil {
		return nil, asked("look at the server", err)
	}
	defer rows.Close()
	v := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, asked("look at the server", err)
		}
		v[name] = value
	}
	if err := rows.Err(); err != nil {
		return nil, asked("look at the server", err)
	}
	return v, nil
}

const (
	// sameTries and sameEvery are how often and how soon a checkpoint that has moved is looked at again.
	sameTries = 20
	sameEvery = 50 * time.Millisecond
)

// sameServer makes sure that the data directory is that of the server that was asked: a server may be
// reached that runs elsewhere, with the same paths. What the server says of its last checkpoint must
// be in the header of the redo log.
func (i *instance) sameServer(ctx context.Context) error {
	var said uint64
	var found []uint64
	for range sameTries {
		var name string
		if err := i.conn.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Innodb_lsn_last_checkpoint'").Scan(&name, &said); err != nil {
			return asked("ask for the last checkpoint", err)
		}
		var err error
		if found, err = checkpoints(filepath.Join(i.about.Data, "ib_logfile0")); err != nil {
			return errs.New(errs.KindOf(err), "application.unfit", "look at the data directory of MariaDB: %w", err).
				WithHint("the agent must run on the computer of the server, and may read its files")
		}
		if slices.Contains(found, said) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(sameEvery): // it was between two
		}
	}
	return unfit("the data directory %s is that of another server: its last checkpoint is %d, not %d", i.about.Data, slices.Max(found), said).
		WithHint("the address leads to a server of another computer; the agent must run where the server does")
}

// together makes sure that all of a data directory is in it, and on one file system: snapshots of
// several are of several moments.
func together(data string) error {
	dev, err := deviceOf(data)
	if err != nil {
		return unfit("look at the data directory: %w", err)
	}
	return filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(data, path) // it lies in it
		deep := strings.Count(rel, string(filepath.Separator))
		switch {
		case err != nil:
			return nil // a table that has just gone
		case d.Type()&fs.ModeSymlink != 0:
			return unfit("%s is a symbolic link: all of a server must lie in its data directory", path)
		case strings.HasSuffix(path, ".isl"):
			return unfit("the table of %s lies elsewhere (DATA DIRECTORY): all of a server must lie in its data directory", path)
		case !d.IsDir():
			return nil
		case deep > 0:
			return fs.SkipDir
		}
		if at, err := deviceOf(path); err == nil && at != dev {
			return unfit("%s is on another file system than the data directory", path)
		}
		return nil
	})
}

// findLogs finds the binary logs.
func (i *instance) findLogs(v map[string]string) error {
	wanted := setting(i.in.Settings, "log", "keep") == "keep"
	switch {
	case !wanted:
		return nil
	case v["log_bin"] != "ON" || v["log_bin_basename"] == "":
		i.tell("warning", "application.log-none", "there will be no points in time between two backups: the server writes no binary log. Set log_bin in its configuration, or log=none in the job")
		return nil
	case v["encrypt_binlog"] == "ON":
		i.tell("warning", "application.log-none", "there will be no points in time between two backups: the server encrypts its binary logs, which cannot be read. Set log=none in the job, if that is meant")
		return nil
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(v["log_bin_basename"]))
	if err != nil {
		return errs.New(errs.KindOf(err), "application.unfit", "look at the binary logs of MariaDB: %w", err)
	}
	i.logs, i.base = dir, filepath.Base(v["log_bin_basename"])
	return nil
}

// configFiles are the files of the configuration, where packages have them.
func configFiles() []string {
	found := map[string]bool{}
	for _, root := range []string{"/etc/mysql", "/etc/my.cnf.d", "/etc/my.cnf"} {
		// A directory that is not there has nothing.
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".cnf") {
				if real, err := filepath.EvalSymlinks(path); err == nil {
					if info, err := os.Stat(real); err == nil && info.Mode().IsRegular() {
						found[real] = true
					}
				}
			}
			return nil
		})
	}
	return slices.Sorted(maps.Keys(found))
}
