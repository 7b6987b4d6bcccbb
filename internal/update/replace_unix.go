//go:build !windows

package update

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"keepward/internal/durable"
)

// replace gives what is staged the place of the program, and keeps that as the previous one. At
// every moment one whole program lies under the name.
func (h home) replace() error {
	kept := h.beside("previous-tmp")
	if err := os.Remove(kept); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Link(h.path, kept); err != nil { // a file system without links
		if err := copyFile(h.path, kept, h.seen.Mode().Perm()); err != nil {
			return err
		}
	}
	if err := os.Rename(kept, h.previous()); err != nil {
		return err
	}
	if err := os.Rename(h.staged(), h.path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(h.path))
}

func copyFile(from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// restart has this process become the program under its name: with the same number, so that
// whoever watches it sees no end. It returns only if that fails.
func (h home) restart(arguments, env []string) error {
	return syscall.Exec(h.path, append([]string{os.Args[0]}, arguments...), env)
}
