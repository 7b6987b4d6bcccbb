package repo

import (
	"context"
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

// UnwrapMaster opens the repository's master with a recovery key. A key that opens none of
// the key objects is errs.Denied with code recovery.key-wrong.
func (r *Repository) UnwrapMaster(ctx context.Context, k Recovery) (seal.Master, error) {
	if err := k.Fits(r.cfg.ID); err != nil {
		return seal.Master{}, err
	}
	infos, err := r.list(ctx, keysDir)
	if err != nil {
		return seal.Master{}, err
	}
	err = errs.New(errs.NotFound, "key.missing", "open repository %s with a recovery key: it holds no key object", r.b.Location())
	for _, info := range infos {
		content, gerr := r.b.Get(ctx, info.Name, repoconf.KeyObjectSize)
		if gerr != nil {
			err = gerr
			continue
		}
		m, oerr := OpenKeyObject(content, k)
		if oerr == nil && !r.cfg.ChecksMaster(m) {
			oerr = errs.New(errs.Corrupt, "key.master", "open %s: the master in it is not this repository's", info.Name)
		}
		if oerr == nil {
			return m, nil
		}
		err = oerr
	}
	return seal.Master{}, err
}
