package extract

import (
	"context"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/seal"
)

// store is the restore.Store on a repository in reach.
type store struct {
	r     *repo.Repository
	owner [16]byte // pseudonym of the point's computer
	name  string
	obj   []byte // the point's object

	buffers sync.Pool // of *[]byte
	rebuild sync.Once
	rebuilt error
}

// Get reads records. When one is in no index, the index is rebuilt in memory, once: packs
// whose index segment was lost are readable all the same.
func (s *store) Get(ctx context.Context, ids []seal.ID, fn func(i int, rec []byte) error) error {
	buf, ok := s.buffers.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	defer s.buffers.Put(buf)
	for i, id := range ids {
		rec, err := s.r.ReadFor(ctx, s.owner, id, (*buf)[:cap(*buf)])
		if errs.CodeOf(err) == "chunk.missing" {
			s.rebuild.Do(func() { _, s.rebuilt = s.r.RebuildIndex(ctx) })
			if s.rebuilt != nil {
				return s.rebuilt
			}
			rec, err = s.r.ReadFor(ctx, s.owner, id, (*buf)[:cap(*buf)])
		}
		if err != nil {
			return err
		}
		*buf = rec.Bytes()
		if err := fn(i, *buf); err != nil {
			return err
		}
	}
	return nil
}

// Point answers the chosen point.
func (s *store) Point(_ context.Context, name string) ([]byte, error) {
	if name != s.name {
		return nil, errs.New(errs.NotFound, "point.not-found", "read restore point %s: another one was chosen", name)
	}
	return s.obj, nil
}
