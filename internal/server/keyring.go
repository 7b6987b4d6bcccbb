package server

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"keepward/internal/catalog"
	"keepward/internal/durable"
	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// keyring seals what the catalog keeps of repository keys, so that a copy of the database
// alone opens nothing.
type keyring struct {
	key seal.Secret
}

const (
	secretFile   = "secret.key"
	settingCheck = "secret.check"
)

var checkText = []byte("keepward secret.key")

// openKeyring reads the key file in dir, or makes it where there is none.
func openKeyring(dir string) (*keyring, error) {
	path := filepath.Join(dir, secretFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		k := &keyring{key: seal.NewSecret()}
		return k, durable.WriteFile(path, []byte(hex.EncodeToString(k.key[:])+"\n"), 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("read the server's key: %w", err)
	}
	raw, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(raw) != len(seal.Secret{}) {
		return nil, errs.New(errs.Corrupt, "secret.unreadable", "read the server's key %s: it is not 64 hex digits", path)
	}
	return &keyring{key: seal.Secret(raw)}, nil
}

// prove makes sure that this is the key the catalog was sealed with; a new catalog takes it.
func (k *keyring) prove(ctx context.Context, tx *sql.Tx) error {
	sealed, err := catalog.Setting(ctx, tx, settingCheck)
	if err != nil {
		return err
	}
	if sealed == nil {
		sealed, err = seal.SealBytes(k.key, checkText, []byte(settingCheck))
		if err != nil {
			return err
		}
		return catalog.SetSetting(ctx, tx, settingCheck, sealed)
	}
	if _, err := seal.OpenBytes(k.key, sealed, []byte(settingCheck)); err != nil {
		return errs.New(errs.Denied, "secret.wrong", "open the catalog's keys: %s is not the key they were sealed with", secretFile).
			WithHint("put back the %s that belongs to this data directory", secretFile)
	}
	return nil
}

// masterLen is domain, epoch, secret.
const masterLen = 4 + 2 + 32

func (k *keyring) sealMaster(id [16]byte, m seal.Master) ([]byte, error) {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, masterLen), m.Domain)
	b = binary.BigEndian.AppendUint16(b, m.Epoch)
	b = append(b, m.Secret[:]...)
	return seal.SealBytes(k.key, b, bound("master", id))
}

// master opens the master key of a repository.
func (k *keyring) master(r catalog.Repository) (seal.Master, error) {
	b, err := seal.OpenBytes(k.key, r.Master, bound("master", r.ID))
	if err != nil {
		return seal.Master{}, fmt.Errorf("open the key of repository %s: %w", r.Name, err)
	}
	if len(b) != masterLen {
		return seal.Master{}, errs.New(errs.Corrupt, "repository.master", "open the key of repository %s: it has %d bytes", r.Name, len(b))
	}
	return seal.Master{
		Domain: binary.BigEndian.Uint32(b),
		Epoch:  binary.BigEndian.Uint16(b[4:]),
		Secret: seal.Secret(b[6:]),
	}, nil
}

func (k *keyring) sealRecovery(id [16]byte, s seal.Secret) ([]byte, error) {
	return seal.SealBytes(k.key, s[:], bound("recovery", id))
}

// recovery opens the recovery secret of a repository.
func (k *keyring) recovery(r catalog.Repository) (seal.Secret, error) {
	if len(r.Recovery) == 0 {
		return seal.Secret{}, errs.New(errs.NotFound, "repository.recovery-unknown", "export the recovery key of repository %s: this server opened it with a passphrase and knows none", r.Name).
			WithHint("make one: keepward repository key add %s --out FILE", r.Name)
	}
	b, err := seal.OpenBytes(k.key, r.Recovery, bound("recovery", r.ID))
	if err != nil {
		return seal.Secret{}, fmt.Errorf("open the recovery key of repository %s: %w", r.Name, err)
	}
	if len(b) != len(seal.Secret{}) {
		return seal.Secret{}, errs.New(errs.Corrupt, "repository.recovery", "open the recovery key of repository %s: it has %d bytes", r.Name, len(b))
	}
	return seal.Secret(b), nil
}

func bound(what string, id [16]byte) []byte { return append([]byte(what+":"), id[:]...) }
