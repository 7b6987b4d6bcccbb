package repo

import (
	"context"

	"keepward/internal/repo/point"
	"keepward/internal/repo/repoconf"
	"keepward/internal/storage"
)

// Stats is how much a repository holds.
type Stats struct {
	Size     int64 // bytes of all its objects
	Free     int64 // bytes more that fit; -1: not known
	Packs    int64
	Segments int64
	Points   int64 // without tombstones
	Chunks   int64 // index rows: a chunk that several computers rely on counts for each
}

// Stats counts what the repository holds.
func (r *Repository) Stats(ctx context.Context) (Stats, error) {
	s := Stats{Free: -1}
	count := map[string]*int64{packsDir: &s.Packs, indexDir: &s.Segments}
	for _, dir := range []string{pointsDir, checkpointDir, keysDir, ownerDir, proofsDir, attemptsDir, parityDir, condemnedDir, sparedDir, sweptDir, deletedDir, heldDir} {
		count[dir] = new(int64)
	}
	for dir, n := range count {
		err := r.b.List(ctx, dir, func(i storage.Info) error {
			*n++
			s.Size += i.Size
			return nil
		})
		if err != nil {
			return s, err
		}
	}
	s.Size += repoconf.Size
	for o, err := range r.Points(ctx) {
		if err != nil {
			continue // a damaged point is for Check to name
		}
		if p, err := point.Parse(o.Content); err == nil && p.Type != point.Tombstone {
			s.Points++
		}
	}
	for _, seg := range r.snapshot() {
		s.Chunks += seg.seg.Rows()
	}
	if sp, ok := r.b.(storage.Spacer); ok {
		var err error
		if s.Free, err = sp.Free(ctx); err != nil {
			return s, err
		}
	}
	return s, nil
}
