package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"time"

	"keepward/internal/storage/vfs"
)

// dustAge is how old a temporary file must be before nobody can still be writing it. A small
// object takes seconds; a week is more than a disk that hangs, or a computer that sleeps, takes
// in all likelihood. A writer that took longer cannot link its file, and says so.
const dustAge = 7 * 24 * time.Hour

// Dust implements Duster. Age is counted by the clock of the file system, against a file that was
// written just now, so that neither a server of files nor a computer with a wrong clock counts.
// Names carry no attempt, so nothing else tells whose a file was.
func (d *Dir) Dust(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n, err := d.dust()
	if err != nil {
		return n, d.fail("clean", tmpDir, err)
	}
	return n, nil
}

func (d *Dir) dust() (removed int, err error) {
	timed, ok := d.fs.(vfs.Timed)
	if !ok {
		return 0, nil
	}
	entries, err := d.fs.ReadDir(d.path(tmpDir))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return 0, nil
	}
	if err == nil {
		err = d.here()
	}
	if err != nil {
		return 0, err
	}
	now, err := d.now(timed)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if e.Dir {
			continue // not ours
		}
		name := d.path(tmpDir + "/" + e.Name)
		written, err := timed.Written(name)
		if err == nil && now.Sub(written) > dustAge {
			if err = d.fs.Remove(name); err == nil {
				removed++
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // its writer was quicker
			return removed, err
		}
	}
	return removed, nil
}

// now is the time by the file system's clock.
func (d *Dir) now(timed vfs.Timed) (time.Time, error) {
	name := d.path(tmpDir + "/" + rand.Text())
	f, err := d.fs.Create(name)
	if err != nil {
		return time.Time{}, err
	}
	defer d.fs.Remove(name) //nolint:errcheck // the next one removes it
	_, err = f.Write([]byte{0})
	if err == nil {
		err = f.Sync() // the server of the files sets the time, not we
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return time.Time{}, err
	}
	return timed.Written(name)
}
