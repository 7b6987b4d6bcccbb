package postgres

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"keepward/internal/app"
	"keepward/internal/errs"
)

// Begin has the server keep the log, and the session enter the backup mode.
func (i *instance) Begin(ctx context.Context) error {
	return i.call(ctx, func(ctx context.Context) error {
		if err := i.keepLog(ctx); err != nil {
			return err
		}
		start := `SELECT pg_backup_start($1, true)::text, clock_timestamp()`
		if i.about.VersionNumber < 150000 {
			start = `SELECT pg_start_backup($1, true, false)::text, clock_timestamp()`
		}
		err := i.conn.QueryRow(ctx, start, "keepward "+i.in.Name).Scan(&i.about.StartLSN, &i.about.Started)
		if err != nil {
			return asked("begin the backup", err)
		}
		return nil
	})
}

// keepLog has the server keep the log from here on, or from the last backup on.
func (i *instance) keepLog(ctx context.Context) error {
	name := slotOf(i.in)
	slot, err := i.slotNow(ctx, name)
	if err != nil {
		return err
	}
	var most string
	if i.about.VersionNumber >= 130000 {
		if err := i.conn.QueryRow(ctx, `SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size'`).Scan(&most); err != nil {
			return asked("ask what slots may keep", err)
		}
	}
	wanted := setting(i.in.Settings, "log", "keep") == "keep"
	if wanted && (most == "" || most == "-1") {
		wanted = false
		i.tell("warning", "application.log-unbounded", "nothing is kept for points in time between two backups: the server does not bound what slots may keep, so an agent that stays away would fill its disk. "+
			"Set max_slot_wal_keep_size to what its disk can spare, for instance 20GB, or set log=none in the job")
	}
	if slot != nil && (!wanted || slot.lost) {
		if _, err := i.conn.Exec(ctx, `SELECT pg_drop_replication_slot($1)`, name); err != nil {
			return asked("drop slot "+name, err)
		}
		if wanted {
			i.gap()
		}
		slot = nil
	}
	switch {
	case wanted && slot != nil:
		i.slot = name
		return nil
	case wanted:
		if _, err := i.conn.Exec(ctx, `SELECT pg_create_physical_replication_slot($1, true, false)`, name); err != nil {
			return asked("make slot "+name, err)
		}
		i.slot = name
		i.tell("info", "application.log-begins", "the server keeps the log for the next backup from now on, by slot %s", name)
		return nil
	}
	// Of the session alone: it is gone when that is.
	if _, err := i.conn.Exec(ctx, `SELECT pg_create_physical_replication_slot($1, true, true)`, name+"_"+strconv.Itoa(int(i.conn.PgConn().PID()))); err != nil {
		return asked("make a slot for the time of the backup", err)
	}
	return nil
}

// gap tells that the server has not kept what it should have.
func (i *instance) gap() {
	i.tell("warning", "application.log-gap", "between the last backup and this one there is no point in time: the server has dropped the log that slot %s should have kept, since it was more than max_slot_wal_keep_size", slotOf(i.in))
}

// slotState is what there is of a slot.
type slotState struct {
	lost    bool
	restart string
}

func (i *instance) slotNow(ctx context.Context, name string) (*slotState, error) {
	status := `''`
	if i.about.VersionNumber >= 130000 {
		status = `coalesce(wal_status, '')`
	}
	var s slotState
	var is string
	err := i.conn.QueryRow(ctx, `SELECT coalesce(restart_lsn::text, ''), `+status+` FROM pg_replication_slots WHERE slot_name = $1`, name).Scan(&s.restart, &is)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, asked("look for slot "+name, err)
	}
	s.lost = s.restart == "" || is == "lost"
	return &s, nil
}

// End leaves the backup mode and names the log that makes a state of what was read.
func (i *instance) End(ctx context.Context, more string) (trees []app.Tree, err error) {
	err = i.call(ctx, func(ctx context.Context) error {
		trees, err = i.end(ctx, more)
		return err
	})
	return trees, err
}

func (i *instance) end(ctx context.Context, more string) ([]app.Tree, error) {
	a := &i.about
	a.First = 0
	// A transaction with nothing in it: its commit says in the log what time it is, so that a
	// recovery to any time before knows that it has come far enough.
	if err := i.conn.QueryRow(ctx, `SELECT clock_timestamp() FROM txid_current()`).Scan(&a.Marked); err != nil {
		return nil, asked("mark the end", err)
	}
	stop := `SELECT lsn::text, labelfile, coalesce(spcmapfile, ''), clock_timestamp() FROM pg_backup_stop(false)`
	if a.VersionNumber < 150000 {
		stop = `SELECT lsn::text, labelfile, coalesce(spcmapfile, ''), clock_timestamp() FROM pg_stop_backup(false, false)`
	}
	var label, places string
	if err := i.conn.QueryRow(ctx, stop).Scan(&a.StopLSN, &label, &places, &a.Ended); err != nil {
		return nil, asked("end the backup", err)
	}
	i.stopped = a.StopLSN
	wal, err := i.log(ctx, label)
	if err != nil {
		return nil, err
	}
	for name, text := range map[string]string{labelFile: label, mapFile: places} {
		if err := os.WriteFile(filepath.Join(more, name), []byte(text), 0o600); err != nil {
			return nil, errs.New(errs.KindOf(err), "application.failed", "keep %s: %w", name, err)
		}
	}
	err = app.CopyConfig(more, slices.Compact(slices.Sorted(slices.Values(a.Config))), func(path string, err error) {
		i.tell("warning", "application.config", "the configuration file %s is not kept: %v", path, err)
	})
	if err != nil {
		return nil, err
	}
	if err := app.WriteAbout(more, a); err != nil {
		return nil, err
	}
	return []app.Tree{wal}, nil
}

var startLine = regexp.MustCompile(`(?m)^START TIMELINE: (\d+)$`)

// log is the part of the log that goes into the point: from where the last backup ended, or from where
// this one began, to its end.
func (i *instance) log(ctx context.Context, label string) (app.Tree, error) {
	a := &i.about
	m := startLine.FindStringSubmatch(label)
	if m == nil {
		return app.Tree{}, errs.New(errs.Corrupt, "application.failed", "PostgreSQL: the label of the backup names no timeline: %q", label)
	}
	n, err := strconv.ParseUint(m[1], 10, 32)
	if err == nil {
		a.Timeline = uint32(n)
		a.Start, err = a.segment(a.StartLSN, false)
	}
	if err == nil {
		a.Stop, err = a.segment(a.StopLSN, true)
	}
	a.First = a.Start
	if err == nil && i.slot != "" {
		var s *slotState
		switch s, err = i.slotNow(ctx, i.slot); {
		case err != nil:
		case s == nil || s.lost:
			// The checkpoint with which the backup began may have cost it.
			i.gap()
			i.slot = ""
		default:
			a.First, err = a.segment(s.restart, false)
			a.First = min(a.First, a.Start)
		}
	}
	if err != nil {
		return app.Tree{}, err
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(i.data, "pg_wal"))
	if err != nil {
		return app.Tree{}, errs.New(errs.KindOf(err), "application.failed", "look for the log: %w", err)
	}
	found, err := os.ReadDir(dir)
	if err != nil {
		return app.Tree{}, errs.New(errs.KindOf(err), "application.failed", "look for the log: %w", err)
	}
	tree := app.Tree{Name: walDir, Path: dir}
	there := map[uint64]bool{}
	for _, f := range found {
		timeline, number, ok := a.segmentOf(f.Name())
		switch {
		case strings.HasSuffix(f.Name(), ".history"):
		case ok && number >= a.First && number <= a.Stop && timeline <= a.Timeline:
			if timeline == a.Timeline {
				there[number] = true
			}
		default:
			continue
		}
		tree.Only = append(tree.Only, f.Name())
	}
	for n := a.Start; n <= a.Stop; n++ {
		if !there[n] {
			return app.Tree{}, errs.New(errs.NotFound, "application.log-gap", "PostgreSQL: segment %s of the log, which the backup needs, is gone", a.file(a.Timeline, n)).
				WithHint("the server has removed it; see max_slot_wal_keep_size")
		}
	}
	slices.Sort(tree.Only)
	return tree, nil
}

// Committed lets go of the log that is in the point.
func (i *instance) Committed(ctx context.Context) error {
	if i.slot == "" || i.stopped == "" {
		return nil
	}
	return i.call(ctx, func(ctx context.Context) error {
		if _, err := i.conn.Exec(ctx, `SELECT pg_replication_slot_advance($1, $2::text::pg_lsn)`, i.slot, i.stopped); err != nil {
			return asked("advance slot "+i.slot, err)
		}
		return nil
	})
}
