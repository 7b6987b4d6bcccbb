package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"keepward/internal/catalog"
	"keepward/internal/durable"
	"keepward/internal/errs"
)

// CheckVacant refuses a data directory in which a server is, or a part of one.
func CheckVacant(dir string) error {
	for _, name := range append([]string{catalogFile}, keyFiles...) {
		_, err := os.Lstat(filepath.Join(dir, name))
		switch {
		case err == nil:
			return errs.New(errs.Exists, "server-backup.occupied", "put the server back in %s: there is a %s already", dir, name).
				WithHint("choose a directory that is empty, or move the old one away")
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("look into %s: %w", dir, err)
		}
	}
	return nil
}

// PutBack makes a data directory of what a restore point of a server holds: from is where it was
// restored to, with whatever directories stand above it. The catalog comes last: a directory
// without one is no server, and is refused the next time.
func PutBack(ctx context.Context, from, dir string, back Return) error {
	if err := CheckVacant(dir); err != nil {
		return err
	}
	site, err := findSite(from)
	if err != nil {
		return err
	}
	if err := catalog.Proven(ctx, filepath.Join(site, catalogFile)); err != nil {
		return err
	}
	if err := back.prepare(ctx, filepath.Join(site, catalogFile)); err != nil {
		return err
	}
	for _, name := range keyFiles {
		content, err := os.ReadFile(filepath.Join(site, name))
		if err != nil {
			return errs.New(errs.Corrupt, "server-backup.incomplete", "put the server back: the restore point has no %s: %w", name, err)
		}
		if err := durable.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return moveDurably(filepath.Join(site, catalogFile), filepath.Join(dir, catalogFile))
}

// findSite is the directory below from that holds the catalog.
func findSite(from string) (string, error) {
	site := ""
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() == catalogFile {
			site = filepath.Dir(path)
			return filepath.SkipAll
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("put the server back: %w", err)
	}
	if site == "" {
		return "", errs.New(errs.Corrupt, "server-backup.incomplete", "put the server back: the restore point has no %s", catalogFile)
	}
	return site, nil
}

// moveDurably gives a file another name within its file system, and returns when a loss of power
// would not undo it.
func moveDurably(from, to string) error {
	f, err := os.OpenFile(from, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("put the server back: %w", err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("put the server back: %w", err)
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("put the server back: %w", err)
	}
	return durable.SyncDir(filepath.Dir(to))
}
