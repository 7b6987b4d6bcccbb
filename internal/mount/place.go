package mount

import (
	"errors"
	"io"
	"os"

	"keepward/internal/errs"
)

// emptyDir makes sure that a directory is there and hides nothing when something is mounted at it.
func emptyDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return errs.New(errs.KindOf(err), "mount.directory", "mount at %s: %w", dir, err).WithHint("make the directory first, or name another")
	}
	defer func() { _ = d.Close() }()
	switch _, err = d.Readdirnames(1); {
	case err == nil:
		return errs.New(errs.Exists, "mount.not-empty", "mount at %s: the directory is not empty", dir).WithHint("name an empty directory")
	case !errors.Is(err, io.EOF):
		return errs.New(errs.Invalid, "mount.directory", "mount at %s: %w", dir, err).WithHint("name an empty directory")
	}
	return nil
}
