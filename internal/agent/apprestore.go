package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/app"
	"keepward/internal/durable"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/restore"
)

// appMark is the file of a directory that an application is restored into: the task that does it.
// What an attempt before has left there is removed; anything else is not.
const appMark = ".keepward-restore"

// laterDir is where what is needed of later points is laid down.
const laterDir = ".later"

// appRestore is the restore of an application.
type appRestore struct {
	a       *agent
	attempt string
	task    string
	order   *keepwardv1.ApplicationRestoreOrder
	opts    restore.Options
	phase   func(string)
}

// do lays the folder of an application down and brings it back to life.
func (r *appRestore) do(ctx context.Context) error {
	row := r.order.GetRestore()
	kind := appKinds[row.GetKind()]
	if kind == nil {
		return errs.New(errs.Invalid, "application.kind", "restore %s: this agent knows no such application", row.GetKind())
	}
	if err := r.clear(); err != nil {
		return err
	}
	folder := "/" + job.ApplicationFolder + "/" + row.GetKind() + "/" + row.GetName()
	if err := r.lay(ctx, r.opts.Point, folder, r.opts.To, r.opts.Counters, r.opts.Event); err != nil {
		return err
	}
	in := &app.Recovery{
		Dir: r.opts.To, Start: row.GetStart(), Into: row.GetInto(), User: r.order.GetUser(), Secret: app.NewSecret(r.order.GetSecret()),
		Database: row.GetDatabase(), As: row.GetAs(), Settings: row.GetSettings(), Phase: r.phase,
		Event: func(level, code, text string) {
			if level == "warning" {
				r.opts.Counters.Warnings.Add(1)
			}
			r.a.event(r.attempt, level, code, text, nil)
		},
	}
	if row.GetToTime() != nil {
		in.ToTime = row.GetToTime().AsTime()
	}
	if err := r.later(ctx, kind, in, folder); err != nil {
		return err
	}
	if err := kind.Recover(ctx, in); err != nil {
		return err
	}
	return r.done()
}

// later lays down what is needed of later points, as many as it takes.
func (r *appRestore) later(ctx context.Context, kind app.Kind, in *app.Recovery, folder string) error {
	left := r.order.GetLater()
	for {
		enough, err := kind.Reaches(ctx, in)
		if err != nil || enough {
			return err
		}
		if len(left) == 0 {
			return errs.New(errs.NotFound, "application.log-short", "restore %s: no later point of the job goes as far as that time", r.order.GetRestore().GetKind()+" "+r.order.GetRestore().GetName()).
				WithHint("run the job once more, and restore then")
		}
		dir := filepath.Join(r.opts.To, laterDir, fmt.Sprintf("%04d", len(in.Later)))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return errs.New(errs.KindOf(err), "application.stage", "make room for the log of a later point: %w", err)
		}
		err = r.lay(ctx, left[0], folder+"/"+moreDir, filepath.Join(dir, moreDir), &restore.Counters{}, func(e restore.Event) {
			if e.Code != "restore.path-missing" {
				r.opts.Event(e)
			}
		})
		switch {
		case errs.CodeOf(err) == "restore.path-missing":
			r.a.event(r.attempt, "info", "application.skipped", "point "+left[0]+" was made without the application", nil)
		case err != nil:
			return err
		default:
			in.Later = append(in.Later, dir)
		}
		left = left[1:]
	}
}

// lay restores a folder of a point. Of an application all has to come.
func (r *appRestore) lay(ctx context.Context, point, folder, to string, count *restore.Counters, event func(restore.Event)) error {
	o := r.opts
	o.Point, o.Paths, o.To, o.Strip, o.Overwrite = point, [][]byte{[]byte(folder)}, to, true, restore.Always
	o.Counters, o.Event = count, event
	if _, err := restore.Run(ctx, o); err != nil {
		return err
	}
	if n := count.Errors.Load(); n > 0 {
		return errs.New(errs.Unavailable, "application.incomplete", "restore %s: %d files of it could not be restored", folder, n).WithHint("the session's log names them")
	}
	return nil
}

// clear makes the directory, or empties it if an attempt before of this task had begun there.
func (r *appRestore) clear() error {
	dir := r.opts.To
	bad := func(err error) error {
		return errs.New(errs.KindOf(err), "application.directory", "make the directory %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return bad(err)
	}
	found, err := os.ReadDir(dir)
	if err != nil {
		return bad(err)
	}
	// A mark that was being written is nobody else's.
	if slices.ContainsFunc(found, func(e os.DirEntry) bool { return !strings.HasPrefix(e.Name(), "."+appMark+".") }) {
		if mark, err := os.ReadFile(filepath.Join(dir, appMark)); err != nil || string(mark) != r.task {
			return errs.New(errs.Exists, "application.not-empty", "restore an application to %s: it is not empty", dir).WithHint("name a new directory")
		}
	}
	for _, f := range found {
		if f.Name() == appMark {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, f.Name())); err != nil {
			return bad(err)
		}
	}
	if err := durable.WriteFile(filepath.Join(dir, appMark), []byte(r.task), 0o600); err != nil {
		return bad(err)
	}
	return nil
}

// done takes away what is not the application's.
func (r *appRestore) done() error {
	err := errors.Join(os.RemoveAll(filepath.Join(r.opts.To, laterDir)), os.Remove(filepath.Join(r.opts.To, appMark)))
	if err != nil {
		return errs.New(errs.KindOf(err), "application.directory", "tidy up in %s: %w", r.opts.To, err)
	}
	return nil
}
