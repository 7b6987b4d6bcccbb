package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
)

// This file is what a server has to learn that was put back from its backup: an old copy does not
// know of the restore points made since.

// settingReturned keeps the repositories that a server which was put back has not read yet, as JSON.
const settingReturned = "returned"

// Return says how a server comes back.
type Return struct {
	// Above, where it is not 0, is a term that the server begins above: the repositories are its own
	// again, however often it was started since the backup.
	Above   uint64
	Version string
}

// prepare makes the catalog of a backup that of a server which comes back.
func (b Return) prepare(ctx context.Context, path string) error {
	db, err := catalog.Open(ctx, path)
	if err != nil {
		return err
	}
	err = db.Write(ctx, func(tx *sql.Tx) error { return b.note(ctx, tx) })
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		return errs.New(errs.Internal, "server-backup.journal", "put the server back: its catalog is still open")
	}
	return nil
}

func (b Return) note(ctx context.Context, tx *sql.Tx) error {
	names, err := catalog.RepositoryNames(ctx, tx)
	if err != nil {
		return err
	}
	if err := keepReturned(ctx, tx, names); err != nil {
		return err
	}
	term, err := catalog.Term(ctx, tx)
	if err != nil || term >= b.Above {
		return err
	}
	return catalog.RaiseTerm(ctx, tx, b.Above, time.Now(), b.Version)
}

func keepReturned(ctx context.Context, tx *sql.Tx, names []string) error {
	if len(names) == 0 {
		return catalog.DeleteSetting(ctx, tx, settingReturned)
	}
	value, err := json.Marshal(names)
	if err != nil {
		return fmt.Errorf("note repositories to be read: %w", err)
	}
	return catalog.SetSetting(ctx, tx, settingReturned, value)
}

func returned(ctx context.Context, q catalog.Queryer) (names []string, err error) {
	value, err := catalog.Setting(ctx, q, settingReturned)
	if err != nil || value == nil {
		return nil, err
	}
	if err := json.Unmarshal(value, &names); err != nil {
		return nil, errs.New(errs.Corrupt, "catalog.returned", "read the repositories to be read: %w", err)
	}
	return names, nil
}

// comeBack reads what a repository has got since the backup from which the server was put back, once
// it is known to be this server's.
func (r *repositories) comeBack(ctx context.Context, row catalog.Repository) error {
	names, err := returned(ctx, r.db.Read())
	if err != nil || !slices.Contains(names, row.Name) {
		return err
	}
	r.mu.Lock()
	ours := r.claimed[row.Name] == r.data.term.Load()
	r.mu.Unlock()
	if _, online := r.nodes.Transport(row.Transport); !ours || !online {
		return nil
	}
	if err := r.rebuildCatalog(ctx, row, func(*keepwardv1.CatalogProgress) error { return nil }); err != nil {
		return err
	}
	return r.db.Write(ctx, func(tx *sql.Tx) error {
		names, err := returned(ctx, tx)
		if err != nil {
			return err
		}
		return keepReturned(ctx, tx, slices.DeleteFunc(names, func(n string) bool { return n == row.Name }))
	})
}
