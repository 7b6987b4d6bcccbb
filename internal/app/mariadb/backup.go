package mariadb

import (
	"context"
	"fmt"
	"slices"
	"time"

	"keepward/internal/app"
	"keepward/internal/errs"
)

// stageWait is how long a stage waits for statements of others, in seconds, while later ones wait for it.
const stageWait = 3

// holdIdle is after how long the server ends the session of a client that says nothing, from the first
// stage that holds somebody to the end: less than app.HoldMost, since it counts whole seconds. Tests
// have less time.
var holdIdle = app.HoldMost - time.Second

// do runs statements.
func (i *instance) do(ctx context.Context, what string, statements ...string) error {
	for _, s := range statements {
		if _, err := i.conn.ExecContext(ctx, s); err != nil {
			return asked(what, err)
		}
	}
	return nil
}

// Begin has the server write what it has in memory of tables without transactions, so that Hold has
// little to write. It keeps nobody from working.
func (i *instance) Begin(ctx context.Context) error {
	return i.call(ctx, func(ctx context.Context) error {
		err := i.do(ctx, "begin the backup", "SET SESSION lock_wait_timeout = 60", "BACKUP STAGE START", "BACKUP STAGE FLUSH")
		if err != nil {
			i.conn.letGo(ctx)
			return err
		}
		return i.do(ctx, "begin the backup", "BACKUP STAGE END")
	})
}

// letGo ends what a session may hold, and has it wait for the next try.
func (s *session) letGo(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stageWait*time.Second)
	defer cancel()
	_, _ = s.ExecContext(ctx, "BACKUP STAGE END") // nothing is held where it fails, or the session is gone
	_, _ = s.ExecContext(ctx, waitLong)
}

// Hold has all commits wait, so that the files and the binary log say the same. The server itself ends
// the session when it says nothing for the time that is left.
func (i *instance) Hold(ctx context.Context) error {
	return i.call(ctx, func(ctx context.Context) (err error) {
		i.held = true
		defer func() {
			if err != nil {
				i.held = false
				i.conn.letGo(ctx)
			}
		}()
		err = i.do(ctx, "hold the server", fmt.Sprintf("SET SESSION lock_wait_timeout = %d, wait_timeout = %d", stageWait, stageWait), "BACKUP STAGE START", "BACKUP STAGE FLUSH")
		if err != nil {
			return err
		}
		begun := time.Now()
		// What is committed has to be in the files: the log of InnoDB may be written later.
		err = i.do(ctx, "hold the server", "BACKUP STAGE BLOCK_DDL", "BACKUP STAGE BLOCK_COMMIT", "FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS")
		if err != nil {
			return err
		}
		if i.about.State, err = i.now(ctx); err != nil {
			return err
		}
		if i.base != "" {
			if i.about.File, i.about.Position, err = i.position(ctx); err != nil {
				return err
			}
		}
		left := int((holdIdle - time.Since(begun)) / time.Second)
		if left < 1 {
			return errs.New(errs.Unavailable, "application.busy", "MariaDB: hold the server: it took %s until everybody stood still", time.Since(begun).Round(time.Millisecond))
		}
		return i.do(ctx, "hold the server", fmt.Sprintf("SET SESSION wait_timeout = %d", left))
	})
}

// Release lets commits go on.
func (i *instance) Release(ctx context.Context) error {
	return i.call(ctx, func(ctx context.Context) error {
		if !i.held {
			return nil
		}
		i.held = false
		return i.do(ctx, "let the server go on, which may have done so by itself", "BACKUP STAGE END", waitLong)
	})
}

// now is the time by the server's clock.
func (i *instance) now(ctx context.Context) (time.Time, error) {
	var text string
	if err := i.conn.QueryRowContext(ctx, "SELECT UTC_TIMESTAMP(6)").Scan(&text); err != nil {
		return time.Time{}, asked("ask for the time", err)
	}
	t, err := time.Parse("2006-01-02 15:04:05.000000", text)
	if err != nil {
		return t, errs.New(errs.Corrupt, "application.failed", "MariaDB: the server's time is %q", text)
	}
	return t, nil
}

// position is where the binary log ends.
func (i *instance) position(ctx context.Context) (file string, at uint64, err error) {
	var do, ignore string
	if err = i.conn.QueryRowContext(ctx, "SHOW MASTER STATUS").Scan(&file, &at, &do, &ignore); err != nil {
		return "", 0, asked("ask where the binary log ends", err)
	}
	if (do != "" || ignore != "") && !i.filtered {
		i.filtered = true
		i.tell("warning", "application.log-filtered", "changes of some databases are not in the binary log (binlog_do_db, binlog_ignore_db), nor in points in time between two backups")
	}
	return file, at, nil
}

// End names the binary logs that belong to the point.
func (i *instance) End(ctx context.Context, more string) (trees []app.Tree, err error) {
	err = i.call(ctx, func(ctx context.Context) error {
		a := &i.about
		if i.base != "" {
			if trees, err = i.closedLogs(ctx); err != nil {
				return err
			}
			a.Logs = trees[0].Only
		}
		err = app.CopyConfig(more, a.Config, func(path string, err error) {
			i.tell("warning", "application.config", "the configuration file %s is not kept: %v", path, err)
		})
		if err != nil {
			return err
		}
		return app.WriteAbout(more, a)
	})
	return trees, err
}

// closedLogs closes the binary log, so that all until now is in files that do not change any more.
func (i *instance) closedLogs(ctx context.Context) ([]app.Tree, error) {
	a := &i.about
	var err error
	if a.Marked, err = i.now(ctx); err != nil {
		return nil, err
	}
	if err := i.do(ctx, "close the binary log", "FLUSH BINARY LOGS"); err != nil {
		return nil, err
	}
	open, _, err := i.position(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := i.conn.QueryContext(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return nil, asked("list the binary logs", err)
	}
	defer rows.Close()
	tree := app.Tree{Name: logDir, Path: i.logs}
	for rows.Next() {
		var name string
		var size uint64
		if err := rows.Scan(&name, &size); err != nil {
			return nil, asked("list the binary logs", err)
		}
		if name == open {
			break
		}
		tree.Only = append(tree.Only, name)
	}
	if err := rows.Err(); err != nil {
		return nil, asked("list the binary logs", err)
	}
	if !slices.Contains(tree.Only, a.File) {
		return nil, errs.New(errs.NotFound, "application.log-gap", "MariaDB: the binary log %s, in which this backup lies, is gone", a.File).
			WithHint("the server has removed it; see binlog_expire_logs_seconds")
	}
	return []app.Tree{tree}, nil
}

// Committed has nothing to do: how long binary logs stay is the server's own matter.
func (i *instance) Committed(context.Context) error { return nil }
