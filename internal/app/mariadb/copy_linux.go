package mariadb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/app"
	"keepward/internal/errs"
)

// Copy has mariadb-backup copy the server into dir, where there is no snapshot of its files.
func (i *instance) Copy(ctx context.Context, dir string) (trees []app.Tree, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(i.over, func() {
		cancel(errs.New(errs.Unavailable, "application.closed", "copy MariaDB: the session has ended"))
	})()
	if set := i.in.Settings["scratch"]; set != "" {
		if dir, err = i.scratch(set); err != nil {
			return nil, err
		}
	}
	if err := i.room(dir); err != nil {
		return nil, err
	}
	path, err := program("mariadb-backup", i.about.Series, i.in.Settings["programs"])
	if err != nil {
		return nil, err
	}
	at, err := address(i.in.Address)
	if err != nil {
		return nil, err
	}
	secret, err := options(at, i.in.User, i.in.Secret, setting(i.in.Settings, "tls", "prefer"))
	if err != nil {
		return nil, i.failed(err)
	}
	defer secret.Close()
	begun := time.Now()
	w := &watch{end: cancel}
	defer w.stop()
	cmd := exec.Command(path, optionsArgument, "--backup", "--target-dir="+dir)
	cmd.Dir, cmd.Env, cmd.ExtraFiles = dir, environment("/"), []*os.File{secret}
	cmd.Stderr = &tail{line: w.line}
	if err := run(ctx, cmd); err != nil {
		if context.Cause(ctx) != nil {
			return nil, context.Cause(ctx)
		}
		return nil, i.failed(err)
	}
	i.about.Copy = true
	if i.base != "" { // else the point has no logs that would go on from there
		if i.about.File, i.about.Position, err = copyPosition(dir); err != nil {
			return nil, err
		}
	}
	if err := i.give(dir); err != nil {
		return nil, i.failed(err)
	}
	err = i.call(ctx, func(ctx context.Context) error {
		i.about.State, err = i.now(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	i.tell("info", "application.copied", "there is no snapshot of its files, so mariadb-backup has copied them, in %s; changes were held for %s", time.Since(begun).Round(time.Millisecond), w.held.Round(time.Millisecond))
	return []app.Tree{{Name: "data", Path: dir}}, nil
}

func (i *instance) failed(err error) error {
	return errs.New(errs.KindOf(err), "application.failed", "MariaDB: copy the server: %w", err)
}

// scratch makes a directory of this try's own in one that somebody named. What was left by a process
// that was killed is removed: that of the same server in the same job, since others may be at it.
func (i *instance) scratch(in string) (string, error) {
	real, err := filepath.EvalSymlinks(in)
	if err != nil || !filepath.IsAbs(real) {
		return "", errs.New(errs.Invalid, "application.setting", "MariaDB: the directory %s of the setting scratch: %w", in, err)
	}
	of := sha256.Sum256([]byte(i.in.Job + "\x00" + i.in.Name))
	begin := ".keepward-mariadb-" + hex.EncodeToString(of[:8]) + "-"
	left, err := os.ReadDir(real)
	if err != nil {
		return "", i.failed(err)
	}
	for _, e := range left {
		if strings.HasPrefix(e.Name(), begin) {
			if err := os.RemoveAll(filepath.Join(real, e.Name())); err != nil {
				return "", i.failed(err)
			}
		}
	}
	dir, err := os.MkdirTemp(real, begin)
	if err != nil {
		return "", i.failed(err)
	}
	context.AfterFunc(i.over, func() { _ = os.RemoveAll(dir) }) // else the next one does
	return dir, nil
}

// room makes sure that a copy fits.
func (i *instance) room(dir string) error {
	var need uint64
	_ = filepath.WalkDir(i.about.Data, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !(i.logs == i.about.Data && strings.HasPrefix(d.Name(), i.base+".")) {
			if st, err := statOf(path); err == nil { // a file that has just gone needs none
				need += uint64(st.Blocks) * 512
			}
		}
		return nil
	})
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return i.failed(err)
	}
	if free := s.Bavail * uint64(s.Bsize); free < need {
		return errs.New(errs.NoSpace, "application.no-room", "MariaDB: copy the server to %s: there are %d MB free, it has %d MB", dir, free>>20, need>>20).
			WithHint("there is no snapshot of its files; name a directory with room by the setting scratch, or move the data directory to a file system with snapshots")
	}
	return nil
}

// copyPosition is where the binary log stood when a copy was made.
func copyPosition(dir string) (string, uint64, error) {
	for _, name := range []string{"mariadb_backup_binlog_info", "xtrabackup_binlog_info"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		f := strings.Split(strings.TrimSpace(string(b)), "\t")
		if len(f) < 2 {
			break
		}
		at, err := strconv.ParseUint(f[1], 10, 64)
		if err != nil {
			break
		}
		return f[0], at, nil
	}
	return "", 0, nil
}

// give has a copy belong to whom the files of the server do.
func (i *instance) give(dir string) error {
	uid, gid, err := ownerOf(i.about.Data)
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}

// watch ends a copy that holds changes for too long: those of tables without transactions from
// BLOCK_DDL on, and commits from BLOCK_COMMIT on.
type watch struct {
	mu    sync.Mutex
	end   context.CancelCauseFunc
	since time.Time
	timer *time.Timer
	held  time.Duration
	// stages: it tells of each stage.
	stages bool
}

// line reads what mariadb-backup says of its locks.
func (w *watch) line(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case strings.Contains(text, "Starting BACKUP STAGE START"):
		w.stages = true // InnoDB is copied in it, and nobody waits for that
	case strings.Contains(text, "Started BACKUP STAGE BLOCK_DDL"), strings.Contains(text, "Starting BACKUP STAGE BLOCK_COMMIT"),
		!w.stages && strings.Contains(text, "Acquiring BACKUP LOCKS"): // of versions that have one lock for all
		if w.timer == nil {
			w.since = time.Now()
			w.timer = time.AfterFunc(app.HoldMost, func() {
				w.end(errs.New(errs.Unavailable, "application.busy", "MariaDB: copy the server: mariadb-backup held it for more than %s, and was ended", app.HoldMost).
					WithHint("tables without transactions (Aria, MyISAM) are too large for it, or a statement did not end: have the data directory on a file system with snapshots"))
			})
		}
	case strings.Contains(text, "BACKUP STAGE END"), strings.Contains(text, "All tables unlocked"):
		w.free()
	}
}

func (w *watch) free() {
	if w.timer != nil && w.timer.Stop() {
		w.held += time.Since(w.since)
	}
	w.timer = nil
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free()
}
