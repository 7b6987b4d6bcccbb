package server

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/pki"
)

const (
	lockFile    = "lock"
	catalogFile = "catalog.db"

	settingServerID = "server.id"
)

// keyFiles are, beside the catalog, what makes a data directory this server: its authority, and
// the key that opens what the catalog keeps of repositories.
var keyFiles = []string{pki.CertificateFile, pki.KeyFile, secretFile}

// dataDir is all that the server keeps on its disk, open and locked.
type dataDir struct {
	path      string
	lock      *flock.Flock
	authority *pki.Authority
	keys      *keyring
	db        *catalog.DB
	serverID  [16]byte
	instance  [16]byte // of this start: tells it from a clone with the same id and term
	term      atomic.Uint64
}

// openDataDir locks path, makes on the first start what is not there, and begins a term.
func openDataDir(ctx context.Context, path, version string, log *slog.Logger) (_ *dataDir, err error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, errs.New(errs.KindOf(err), "datadir.create", "create data directory: %w", err)
	}
	d := &dataDir{path: path, lock: flock.New(filepath.Join(path, lockFile))}
	held, err := d.lock.TryLock()
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "datadir.lock", "lock data directory %s: %w", path, err)
	}
	if !held {
		return nil, errs.New(errs.Busy, "datadir.locked", "data directory %s is in use by another process", path).
			WithHint("stop the other process, or choose another directory with --data-dir")
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.authority, err = pki.Open(path, time.Now()); err != nil {
		return nil, err
	}
	if d.keys, err = openKeyring(path); err != nil {
		return nil, err
	}
	if d.db, err = catalog.Open(ctx, filepath.Join(path, catalogFile)); err != nil {
		return nil, err
	}
	if err := d.db.Write(ctx, func(tx *sql.Tx) error { return d.begin(ctx, tx, version) }); err != nil {
		return nil, err
	}
	log.Info("data directory opened", "path", path, "term", d.term.Load())
	return d, nil
}

func (d *dataDir) begin(ctx context.Context, tx *sql.Tx, version string) error {
	if err := d.keys.prove(ctx, tx); err != nil {
		return err
	}
	id, err := catalog.Setting(ctx, tx, settingServerID)
	if err != nil {
		return err
	}
	if id == nil {
		id = make([]byte, len(d.serverID))
		_, _ = rand.Read(id) // documented never to fail
		if err := catalog.SetSetting(ctx, tx, settingServerID, id); err != nil {
			return err
		}
	}
	if copy(d.serverID[:], id) != len(d.serverID) {
		return errs.New(errs.Corrupt, "catalog.server-id", "read the server's id: it has %d bytes", len(id))
	}
	_, _ = rand.Read(d.instance[:]) // documented never to fail
	term, err := catalog.NextTerm(ctx, tx, time.Now(), version)
	d.term.Store(term)
	return err
}

// owner is what this start of the server puts under its term where it claims a repository.
func (d *dataDir) owner() []byte { return slices.Concat(d.serverID[:], d.instance[:]) }

func (d *dataDir) close() error {
	var err error
	if d.db != nil {
		err = d.db.Close()
	}
	if uerr := d.lock.Unlock(); uerr != nil {
		err = errors.Join(err, fmt.Errorf("unlock data directory %s: %w", d.path, uerr))
	}
	return err
}
