package compact

import (
	"context"
	"errors"

	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/storage"
)

// errEnough ends a list early.
var errEnough = errors.New("enough")

// AnyFast tells whether a pack of data was compressed fast, so that a run that compresses anew
// may gain something. It reads the head of each pack's first record, until it finds one; packs
// that cannot be read do not count.
func AnyFast(ctx context.Context, r *repo.Repository) (bool, error) {
	err := r.Backend().List(ctx, repo.PacksDir, func(i storage.Info) error {
		k, err := repo.ParsePackName(i.Name)
		if err != nil || k.Class != pack.Data {
			return ctx.Err()
		}
		if loose(ctx, r, k) {
			return errEnough
		}
		return ctx.Err()
	})
	if errors.Is(err, errEnough) {
		return true, nil
	}
	return false, err
}
