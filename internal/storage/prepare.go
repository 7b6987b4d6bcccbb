package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"path/filepath"

	"keepward/internal/errs"
)

// Prepare implements Preparer.
func (d *Dir) Prepare(ctx context.Context, marker string, dry bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	there, err := d.existing()
	if err != nil {
		return err
	}
	if err := d.notNested(there, marker); err != nil {
		return err
	}
	if there == d.root {
		if err := d.here(); err != nil { // what is prepared is what is used
			return d.fail("look at", ".", err)
		}
		if err := d.empty(); err != nil {
			return err
		}
	}
	if err := d.probe(there); err != nil {
		return err
	}
	if dry || there == d.root {
		return nil
	}
	return d.makeRoot(there)
}

// existing is the nearest folder at or above the root that exists.
func (d *Dir) existing() (string, error) {
	for p := d.root; ; p = filepath.Dir(p) {
		e, err := d.fs.Stat(p)
		switch {
		case err == nil && !e.Dir:
			return "", errs.New(errs.Invalid, "repository.path", "use %s: %s is not a directory", d.root, p)
		case err == nil:
			return p, nil
		case !errors.Is(err, fs.ErrNotExist) || p == filepath.Dir(p):
			return "", d.fail("look at", p, err)
		}
	}
}

func (d *Dir) notNested(from, marker string) error {
	for p := from; ; p = filepath.Dir(p) {
		if _, err := d.fs.Stat(filepath.Join(p, marker)); err == nil {
			if p == d.root {
				return errs.New(errs.Exists, "repository.exists", "use %s: there is a repository already", d.root)
			}
			return errs.New(errs.Exists, "repository.nested", "use %s: it lies within the repository at %s", d.root, p).
				WithHint("choose a directory outside of %s", p)
		}
		if p == filepath.Dir(p) {
			return nil
		}
	}
}

func (d *Dir) empty() error {
	entries, err := d.fs.ReadDir(d.root)
	if err != nil {
		return d.fail("list", ".", err)
	}
	for _, e := range entries {
		if e.Name != "lost+found" { // the root of a fresh ext4
			return errs.New(errs.Exists, "repository.not-empty", "use %s: the directory is not empty (it holds %q)", d.root, e.Name).
				WithHint("choose an empty directory, or one that does not exist yet")
		}
	}
	return nil
}

// probe tries in dir what the contract of Backend rests on, and leaves nothing.
func (d *Dir) probe(dir string) error {
	a := filepath.Join(dir, ".keepward-probe-"+rand.Text())
	b := a + "-link"
	f, err := d.fs.Create(a)
	if err != nil {
		return d.fail("write a probe for", dir, err)
	}
	defer func() { _ = errors.Join(d.fs.Remove(b), d.fs.Remove(a)) }() // b is there only if link worked
	_, err = f.Write([]byte("probe"))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return d.fail("write a probe for", dir, err)
	}
	if err := d.fs.Link(a, b); err != nil {
		return d.unfit(dir, "hard links do not work", err)
	}
	if err := d.fs.Link(a, b); !errors.Is(err, fs.ErrExist) {
		return d.unfit(dir, "a hard link to a name that exists was not refused as such", err)
	}
	if err := d.fs.SyncDir(dir); err != nil {
		return d.unfit(dir, "a directory cannot be synced", err)
	}
	return nil
}

// unfit says what the file system cannot do; a full one can, once there is room.
func (d *Dir) unfit(dir, what string, err error) error {
	if errs.KindOf(err) == errs.NoSpace {
		return d.fail("write a probe for", dir, err)
	}
	if err == nil {
		err = errors.New("it was done")
	}
	return errs.New(errs.Invalid, "repository.file-system", "use the file system of %s: %s: %w", dir, what, cause(err)).
		WithHint("use a file system with hard links and a working fsync, as ext4, xfs, btrfs, zfs, NFS")
}

// makeRoot makes the root and what is missing above it; if that fails, it is gone again.
func (d *Dir) makeRoot(there string) error {
	var missing []string
	for p := d.root; p != there; p = filepath.Dir(p) {
		missing = append(missing, p)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		err := d.fs.Mkdir(missing[i])
		if err == nil && missing[i] == d.root {
			err = d.here()
		}
		if err == nil {
			err = d.fs.SyncDir(filepath.Dir(missing[i]))
		}
		if err != nil {
			for _, p := range missing[i:] {
				_ = d.fs.Remove(p) // empty or not there
			}
			return d.fail("make directory", missing[i], err)
		}
	}
	return nil
}

// Unprepare implements Preparer.
func (d *Dir) Unprepare(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	d.made = map[string]bool{}
	d.mu.Unlock()
	return d.removeEmpty("")
}

// removeEmpty removes the folders below dir that hold no file.
func (d *Dir) removeEmpty(dir string) error {
	entries, err := d.fs.ReadDir(d.path(dir))
	if err != nil {
		return d.fail("list", dir, err)
	}
	for _, e := range entries {
		if !e.Dir || e.Name == "lost+found" {
			continue
		}
		name := filepath.ToSlash(filepath.Join(dir, e.Name))
		err = errors.Join(err, d.removeEmpty(name))
		if left, lerr := d.fs.ReadDir(d.path(name)); lerr == nil && len(left) == 0 {
			err = errors.Join(err, d.fs.Remove(d.path(name)))
		}
	}
	return err
}
