package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"keepward/internal/app"
	"keepward/internal/errs"
)

// Reaches tells whether the log that was laid down goes as far as the time that is wanted.
func (Kind) Reaches(_ context.Context, r *app.Recovery) (bool, error) {
	a, err := readAbout(r.Dir)
	if err != nil || r.ToTime.IsZero() {
		return err == nil, err
	}
	if r.ToTime.Before(a.Ended) {
		return false, errs.New(errs.Invalid, "application.too-early", "bring PostgreSQL back as of %s: the files of this point are of %s", stamp(r.ToTime), stamp(a.Ended)).
			WithHint("take a point that was made before that time")
	}
	if len(r.Later) == 0 {
		return false, nil
	}
	last, err := readAbout(r.Later[len(r.Later)-1])
	if err != nil {
		return false, err
	}
	if last.System != a.System {
		return false, errs.New(errs.Invalid, "application.log-gap", "the later point is of another server: system %s, not %s", last.System, a.System)
	}
	return last.Marked.After(r.ToTime), nil
}

func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05.000 -07:00") }

// recovery is one that goes on.
type recovery struct {
	*app.Recovery
	// root is Dir: what was laid down may have links that lead out of it.
	root  *os.Root
	about *about
	data  string // the data directory
	wal   string // the log, from which the server takes it
	uid   int
	gid   int
}

// dataDir is the data directory in that of a recovery.
var dataDir = filepath.Join("files", "data")

// Recover makes a data directory of what was laid down.
func (Kind) Recover(ctx context.Context, in *app.Recovery) error {
	a, err := readAbout(in.Dir)
	if err != nil {
		return err
	}
	r := &recovery{Recovery: in, about: a, data: filepath.Join(in.Dir, dataDir), wal: filepath.Join(in.Dir, walDir)}
	if r.root, err = os.OpenRoot(in.Dir); err != nil {
		return r.failed(err)
	}
	defer func() { _ = r.root.Close() }() // nothing is written by it
	if strings.ContainsAny(in.Dir, "'\"\\%\n$`") {
		return errs.New(errs.Invalid, "restore.to", "bring PostgreSQL back in %q: the server cannot be told of a directory with such characters", in.Dir)
	}
	if _, err = r.root.Stat(dataDir); err == nil { // it leads nowhere else
		r.uid, r.gid, err = ownerOf(r.data)
	}
	if err != nil {
		return errs.New(errs.KindOf(err), "application.incomplete", "look at the data directory that was laid down: %w", err)
	}
	r.Phase("recover")
	if err := r.prepare(); err != nil {
		return err
	}
	last, err := r.gather()
	if err != nil {
		return err
	}
	r.Event("info", "application.recover", fmt.Sprintf("PostgreSQL %s: the data directory is %s, the log goes from %s to %s", a.Version, r.data, a.file(a.Timeline, a.Start), last))
	if !in.Start && in.Into == "" {
		if err := r.leaveSettings(); err != nil {
			return err
		}
		r.Event("info", "application.recover", "the server recovers when it is started on "+r.data+"; its configuration was at "+strings.Join(a.Config[:min(1, len(a.Config))], "")+", a copy is in "+app.Config(in.Dir))
		return r.tidy()
	}
	if err := r.run(ctx); err != nil {
		return err
	}
	if err := r.root.RemoveAll(walDir); err != nil {
		return r.failed(err)
	}
	return r.tidy()
}

// prepare puts what the server needs into the data directory.
func (r *recovery) prepare() error {
	wal, places := filepath.Join(dataDir, "pg_wal"), filepath.Join(dataDir, "pg_tblspc")
	for _, dir := range []string{wal, filepath.Join(wal, "archive_status"), places} {
		if err := r.root.MkdirAll(dir, 0o700); err != nil {
			return r.failed(err)
		}
		if err := r.owned(dir); err != nil {
			return err
		}
	}
	for _, t := range r.about.Tablespaces {
		link, to := filepath.Join(places, t.OID), filepath.Join(r.Dir, "files", "tablespaces", t.OID)
		if err := r.root.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return r.failed(err)
		}
		if err := r.root.Symlink(to, link); err != nil {
			return r.failed(err)
		}
		r.Event("info", "application.tablespace", fmt.Sprintf("tablespace %s, which was at %s, is at %s", t.Name, t.Path, to))
	}
	text, err := r.root.ReadFile(filepath.Join("more", labelFile))
	if err != nil {
		return r.failed(err)
	}
	label, signal := filepath.Join(dataDir, labelFile), filepath.Join(dataDir, signalFile)
	for name, text := range map[string][]byte{label: text, signal: nil} {
		if err := r.root.WriteFile(name, text, 0o600); err != nil {
			return r.failed(err)
		}
	}
	return r.owned(label, signal)
}

// owned gives what was made in root to the owner of the data directory.
func (r *recovery) owned(names ...string) error {
	for _, name := range names {
		if err := r.root.Lchown(name, r.uid, r.gid); err != nil {
			return r.failed(err)
		}
	}
	return nil
}

func (r *recovery) failed(err error) error {
	return errs.New(errs.KindOf(err), "application.recover", "bring PostgreSQL back: %w", err)
}

// gather brings the log of all points together and makes sure that nothing of it is missing. It
// answers the name of its last segment.
func (r *recovery) gather() (string, error) {
	if err := r.root.MkdirAll(walDir, 0o700); err != nil {
		return "", r.failed(err)
	}
	if err := r.owned(walDir); err != nil {
		return "", err
	}
	stop, timeline := r.about.Stop, r.about.Timeline
	there := map[uint64]bool{}
	for _, dir := range append([]string{r.Dir}, r.Later...) {
		in, err := filepath.Rel(r.Dir, dir)
		if err != nil {
			return "", r.failed(err)
		}
		from := filepath.Join(in, "more", walDir)
		found, err := fs.ReadDir(r.root.FS(), filepath.ToSlash(from))
		if err != nil {
			return "", r.failed(err)
		}
		for _, f := range found {
			if err := r.root.Rename(filepath.Join(from, f.Name()), filepath.Join(walDir, f.Name())); err != nil {
				return "", r.failed(err)
			}
			if _, number, ok := r.about.segmentOf(f.Name()); ok {
				there[number] = true
			}
		}
		if dir != r.Dir {
			a, err := readAbout(dir)
			if err != nil {
				return "", err
			}
			stop, timeline = a.Stop, a.Timeline
		}
	}
	for n := r.about.Start; n <= stop; n++ {
		if !there[n] {
			return "", errs.New(errs.NotFound, "application.log-gap", "bring PostgreSQL back: segment %s of the log is in none of the points", r.about.file(timeline, n)).
				WithHint("a backup in between was deleted, or the server had dropped the log; see docs/user/postgresql.md")
		}
	}
	return r.about.file(timeline, stop), nil
}

// settings are those of the recovery itself. Those of an earlier one may still stand in the directory,
// where such a recovery or a person had left them: all that says where it ends is said anew.
func (r *recovery) settings() [][2]string {
	until := ""
	if !r.ToTime.IsZero() {
		until = r.ToTime.UTC().Format("2006-01-02 15:04:05.000000+00")
	}
	return [][2]string{
		{"restore_command", fmt.Sprintf(`cp "%s/%%f" "%%p"`, r.wal)},
		{"recovery_target_action", "promote"},
		{"recovery_target_timeline", "latest"},
		// A server takes one target, and that the last.
		{"recovery_target", ""},
		{"recovery_target_name", ""},
		{"recovery_target_xid", ""},
		{"recovery_target_lsn", ""},
		{"recovery_target_time", until},
	}
}

// leaveSettings has whoever starts the server next recover it.
func (r *recovery) leaveSettings() error {
	path := filepath.Join(dataDir, "postgresql.auto.conf")
	f, err := r.root.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return r.failed(err)
	}
	text := "# Keepward: recovery from a restore point; may go once the server has been started.\n"
	for _, s := range r.settings() {
		text += fmt.Sprintf("%s = '%s'\n", s[0], s[1])
	}
	_, err = f.WriteString("\n" + text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return r.failed(err)
	}
	return r.owned(path)
}

// tidy removes what nobody needs any more. The configuration stays, for people.
func (r *recovery) tidy() error {
	for _, name := range []string{walDir, labelFile, mapFile} {
		if err := r.root.RemoveAll(filepath.Join("more", name)); err != nil {
			return r.failed(err)
		}
	}
	return nil
}
