package mariadb

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"keepward/internal/app"
	"keepward/internal/errs"
)

// second is the time whose state is wanted as binary logs know it.
func second(t time.Time) time.Time { return t.Truncate(time.Second) }

func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 -07:00") }

// Reaches tells whether the logs that were laid down go as far as the time that is wanted.
func (Kind) Reaches(_ context.Context, r *app.Recovery) (bool, error) {
	a, err := readAbout(r.Dir)
	if err != nil || r.ToTime.IsZero() {
		return err == nil, err
	}
	at := second(r.ToTime)
	switch {
	case at.Before(a.State):
		return false, errs.New(errs.Invalid, "application.too-early", "bring MariaDB back as of %s: the files of this point are of %s", stamp(at), stamp(a.State)).
			WithHint("take a point that was made before that time")
	case a.File == "":
		return false, errs.New(errs.NotFound, "application.log-gap", "bring MariaDB back as of %s: the point has no binary log", stamp(at)).
			WithHint("the server wrote none, or the job has log=none; take the state of a point")
	}
	last := a
	if n := len(r.Later); n > 0 {
		if last, err = readAbout(r.Later[n-1]); err != nil {
			return false, err
		}
	}
	return last.File != "" && last.Marked.After(at), nil
}

// recovery is one that goes on.
type recovery struct {
	*app.Recovery
	about *about
	data  string // the data directory
	uid   int
	gid   int
	// logs are what is played on top of the files; stop is the position in the last of them before
	// which it ends.
	logs []string
	stop uint64
}

// dataDir is the data directory in that of a recovery.
var dataDir = filepath.Join("files", "data")

// Recover makes a data directory of what was laid down.
func (Kind) Recover(ctx context.Context, in *app.Recovery) error {
	a, err := readAbout(in.Dir)
	if err != nil {
		return err
	}
	r := &recovery{Recovery: in, about: a, data: filepath.Join(in.Dir, dataDir), stop: nowhere}
	root, err := os.OpenRoot(in.Dir) // what was laid down may have links that lead out of it
	if err != nil {
		return r.failed(err)
	}
	defer func() { _ = root.Close() }() // nothing is written by it
	if _, err = root.Stat(dataDir); err == nil {
		r.uid, r.gid, err = ownerOf(r.data)
	}
	if err != nil {
		return errs.New(errs.KindOf(err), "application.incomplete", "look at the data directory that was laid down: %w", err)
	}
	r.Phase("recover")
	if err := r.gather(); err != nil {
		return err
	}
	if a.Copy {
		if err := r.prepare(ctx); err != nil {
			return err
		}
	}
	r.Event("info", "application.recover", fmt.Sprintf("MariaDB %s: the data directory is %s", a.Version, r.data))
	if in.Start || in.Into != "" || !in.ToTime.IsZero() {
		if err := r.run(ctx); err != nil {
			return err
		}
	} else {
		r.Event("info", "application.recover", "the server recovers when it is started on "+r.data+"; copies of its configuration are in "+app.Config(in.Dir))
	}
	if err := root.RemoveAll(filepath.Join("more", logDir)); err != nil {
		return r.failed(err)
	}
	return nil
}

func (r *recovery) failed(err error) error {
	return errs.New(errs.KindOf(err), "application.recover", "bring MariaDB back: %w", err)
}

// gather finds the binary logs from the state of the files to the time that is wanted, and makes sure
// that they follow each other.
func (r *recovery) gather() error {
	if r.ToTime.IsZero() {
		return nil
	}
	at := second(r.ToTime)
	if !at.Equal(r.ToTime) {
		r.Event("info", "application.second", "MariaDB: binary logs know whole seconds, so the state is that of "+stamp(at))
	}
	there := map[uint64]string{}
	for _, dir := range append([]string{r.Dir}, r.Later...) {
		a, err := readAbout(dir)
		if err != nil {
			return err
		}
		for _, name := range a.Logs {
			path := filepath.Join(dir, "more", logDir, filepath.Base(name))
			n, ok := logNumber(name)
			if !ok {
				continue
			}
			if before := there[n]; before != "" {
				same, err := sameLog(before, path)
				if err != nil {
					return r.failed(err)
				}
				if !same {
					return errs.New(errs.Invalid, "application.log-gap", "bring MariaDB back: the binary log %s of a later point is another one: the server had begun anew, or is another one", name)
				}
				continue
			}
			there[n] = path
		}
	}
	first, _ := logNumber(r.about.File)
	from, last := r.about.Position, first
	for n := range there {
		last = max(last, n)
	}
	for n := first; n <= last; n++ {
		path := there[n]
		if path == "" {
			return errs.New(errs.NotFound, "application.log-gap", "bring MariaDB back: the binary log number %d is in none of the points", n).
				WithHint("the server removes logs by binlog_expire_logs_seconds; see docs/user/mariadb.md")
		}
		stop, err := cut(path, from, at)
		if err != nil {
			return err
		}
		if stop != nowhere {
			// A log of which nothing is wanted is left out: what comes last must have an end.
			if stop > from && stop > uint64(len(logMagic)) {
				r.logs, r.stop = append(r.logs, path), stop
			}
			return nil
		}
		r.logs, from = append(r.logs, path), 0
	}
	return nil
}

// headLength is how much of two logs is compared: the event at the beginning of each says when it was
// made by which version.
const headLength = 256

// sameLog tells whether two files of a name are copies of one log.
func sameLog(a, b string) (bool, error) {
	var heads [2][]byte
	var sizes [2]int64
	for i, path := range []string{a, b} {
		f, err := os.Open(path)
		if err != nil {
			return false, err
		}
		info, err := f.Stat()
		if err == nil {
			sizes[i] = info.Size()
			heads[i], err = io.ReadAll(io.LimitReader(f, headLength))
		}
		_ = f.Close() // only read
		if err != nil {
			return false, err
		}
	}
	return sizes[0] == sizes[1] && bytes.Equal(heads[0], heads[1]), nil
}
