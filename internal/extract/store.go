package extract

import (
	"cmp"
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

// Get reads records, those that lie together in one piece. When one is in no index, the index
// is rebuilt in memory, once: packs whose index segment was lost are readable all the same.
func (s *store) Get(ctx context.Context, ids []seal.ID, fn func(i int, rec []byte) error) error {
	buf, ok := s.buffers.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	defer s.buffers.Put(buf)
	var first error
	for _, run := range s.r.Runs(ctx, s.owner, ids) {
		if cap(*buf) < run.Size() {
			*buf = make([]byte, run.Size())
		}
		var stop error
		s.r.ReadRun(ctx, s.owner, run, (*buf)[:run.Size()], func(i int, rec seal.Record, err error) {
			if errs.CodeOf(err) == "chunk.missing" {
				rec, err = s.rebuiltRead(ctx, ids[i])
			}
			switch {
			case stop != nil:
			case err != nil:
				first = cmp.Or(first, err)
			default:
				stop = fn(i, rec.Bytes())
			}
		})
		if stop != nil {
			return stop
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return first
}

func (s *store) rebuiltRead(ctx context.Context, id seal.ID) (seal.Record, error) {
	s.rebuild.Do(func() { _, s.rebuilt = s.r.RebuildIndex(ctx) })
	if s.rebuilt != nil {
		return seal.Record{}, s.rebuilt
	}
	return s.r.ReadFor(ctx, s.owner, id, nil)
}

// Point answers the chosen point.
func (s *store) Point(_ context.Context, name string) ([]byte, error) {
	if name != s.name {
		return nil, errs.New(errs.NotFound, "point.not-found", "read restore point %s: another one was chosen", name)
	}
	return s.obj, nil
}
