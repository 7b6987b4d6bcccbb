package repo

import (
	"context"
	"slices"
	"sync"

	"keepward/internal/repo/pack"
	"keepward/internal/repo/proof"
)

// wholePacks are packs of which a check has opened every record: any computer may rely on what
// is in them. They are read when first asked for, since most backups never ask.
type wholePacks struct {
	once sync.Once
	keys []pack.Key // sorted
}

// has tells whether a place lies in such a pack. Proofs that cannot be read prove nothing.
func (q *wholePacks) has(ctx context.Context, r *Repository, l *Location) bool {
	q.once.Do(func() {
		known, err := r.Proofs(ctx)
		if err != nil {
			return
		}
		q.keys = wholeOf(known)
	})
	_, found := slices.BinarySearchFunc(q.keys, l.PackKey(), pack.Key.Compare)
	return found
}

// wholeOf are the packs that are proved whole, sorted.
func wholeOf(known proof.Set) []pack.Key {
	var keys []pack.Key
	for k, e := range known {
		if e.IsWhole() {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, pack.Key.Compare)
	return keys
}
