package storage

import (
	"errors"
	"io/fs"

	"keepward/internal/errs"
	"keepward/internal/storage/vfs"
)

// here tells whether the root is still the directory that it was at the first use. A file
// system can be unmounted under us, or another be mounted over it: what is not found then says
// nothing, and what is written goes where nobody looks for it. So it is asked before a folder
// is made, before anything is acknowledged, and before "there is none" is believed.
func (d *Dir) here() error {
	x, ok := d.fs.(vfs.Identifier)
	if !ok {
		return nil
	}
	id, err := x.ID(d.root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.id == "":
		d.id = id // none, if the place has still to be made
	case d.id != id:
		return errs.New(errs.Unavailable, "repository.unmounted", "use %s: it is another directory than before: its file system was unmounted, or another is mounted there", d.root).
			WithHint("mount what belongs at %s and run it again; what was acknowledged before is there", d.root)
	}
	return nil
}

// missing is the error of what was not found: err, unless the whole directory is gone.
func (d *Dir) missing(err error) error {
	if gone := d.here(); errs.CodeOf(gone) == "repository.unmounted" {
		return gone
	}
	return err
}
