package repo

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"keepward/internal/errs"
	"keepward/internal/repo/repoconf"
	"keepward/internal/repo/seal"
)

// What a repository is founded on is internal/repo/repoconf's; who works with repositories
// finds it here too.
type (
	Config    = repoconf.Config
	Recovery  = repoconf.Recovery
	KeyObject = repoconf.KeyObject
	Unlock    = repoconf.Unlock
)

// ParseConfig reads a configuration. damage tells, if err is nil, what is wrong with one of
// its two copies.
func ParseConfig(b []byte) (c Config, damage, err error) { return repoconf.ParseConfig(b) }

// NewRecovery makes a recovery key for a repository.
func NewRecovery(repositoryID [16]byte) Recovery { return repoconf.NewRecovery(repositoryID) }

// ParseRecovery reads the printed form of a recovery key.
func ParseRecovery(text string) (Recovery, error) { return repoconf.ParseRecovery(text) }

// WrapMaster seals a master under a recovery key.
func WrapMaster(repositoryID [16]byte, k Recovery, m seal.Master) (KeyObject, error) {
	return repoconf.WrapMaster(repositoryID, k, m)
}

// OpenKeyObject opens what WrapMaster made.
func OpenKeyObject(content []byte, k Recovery) (seal.Master, error) {
	return repoconf.OpenKeyObject(content, k)
}

// KeyObjects reads all sealed masters that are whole enough to be read.
func (r *Repository) KeyObjects(ctx context.Context) ([]KeyObject, error) {
	infos, err := r.list(ctx, keysDir)
	if err != nil {
		return nil, err
	}
	var out []KeyObject
	for _, info := range infos {
		content, err := r.b.Get(ctx, info.Name, repoconf.KeyObjectSize)
		if kind := errs.KindOf(err); kind == errs.NotFound || kind == errs.Corrupt {
			continue // another key may open the repository; a check names this one
		}
		if err != nil {
			return nil, err
		}
		out = append(out, KeyObject{Name: strings.TrimPrefix(info.Name, keysDir+"/"), Content: content})
	}
	return out, nil
}

// PutKey adds a key object; its name must be free.
func (r *Repository) PutKey(ctx context.Context, k KeyObject) error {
	info, err := repoconf.ParseKeyObject(k.Content)
	if err != nil {
		return err
	}
	if _, nerr := strconv.ParseUint(k.Name, 10, 32); nerr != nil || info.Repository != r.cfg.ID {
		return errs.New(errs.Invalid, "key.repository", "add key object %q: it is another repository's, or has no number for a name", k.Name)
	}
	return r.b.Put(ctx, keysDir+"/"+k.Name, k.Content)
}

// RemoveKey removes a key object, but not the last.
func (r *Repository) RemoveKey(ctx context.Context, name string) error {
	keys, err := r.KeyObjects(ctx)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(keys, func(k KeyObject) bool {
		_, err := repoconf.ParseKeyObject(k.Content)
		return k.Name == name || err != nil
	})
	if len(others) == 0 {
		return errs.New(errs.Denied, "key.last", "remove key %s: it is the last that opens the repository without its server", name).
			WithHint("add another first")
	}
	return r.remove(ctx, keysDir+"/"+name)
}

// Epoch is the newest epoch that an epoch object tells of; zero where there is none.
func (r *Repository) Epoch(ctx context.Context) (newest uint16, err error) {
	infos, err := r.list(ctx, epochsDir)
	if err != nil {
		return 0, err
	}
	for _, info := range infos {
		content, err := r.b.Get(ctx, info.Name, repoconf.EpochSize)
		if err == nil {
			var e uint16
			if e, err = repoconf.ParseEpoch(content, r.cfg.ID); err == nil {
				newest = max(newest, e)
			}
		}
		if kind := errs.KindOf(err); err != nil && kind != errs.Corrupt && kind != errs.NotFound {
			return 0, err
		}
	}
	return newest, nil
}

// PutEpoch tells of a new epoch. One that is there already is errs.Exists.
func (r *Repository) PutEpoch(ctx context.Context, epoch uint16) error {
	return r.b.Put(ctx, fmt.Sprintf("%s/%05d", epochsDir, epoch), repoconf.EncodeEpoch(r.cfg.ID, epoch))
}

// UnwrapMaster opens the repository's master with a recovery key or a passphrase; its epoch is
// the newest there is. A secret that opens none of the key objects is errs.Denied with code
// recovery.key-wrong.
func (r *Repository) UnwrapMaster(ctx context.Context, u Unlock) (seal.Master, error) {
	keys, err := r.KeyObjects(ctx)
	if err != nil {
		return seal.Master{}, err
	}
	m, _, err := u.Open(r.cfg, keys)
	if err != nil {
		return seal.Master{}, errs.New(errs.KindOf(err), errs.CodeOf(err), "open %s: %w", r.b.Location(), err).WithHint("%s", errs.HintOf(err))
	}
	epoch, err := r.Epoch(ctx)
	m.Epoch = max(m.Epoch, epoch)
	return m, err
}
