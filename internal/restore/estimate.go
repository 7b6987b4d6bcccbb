//go:build unix

package restore

import (
	"context"
	"encoding/binary"
	"fmt"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// locateAtOnce is how many chunks are asked for at once.
const locateAtOnce = 1024

// estimate counts what a restore would fetch. It belongs to the planner.
type estimate struct {
	r       *run
	locator Locator
	// seen are the beginnings of the ids counted so far: two chunks taken for one are no harm
	// here, and a terabyte is a million of them.
	seen    map[uint64]struct{}
	packs   map[uint32]struct{}
	last    seal.H
	pending []seal.ID
}

func (r *run) newEstimate() (*estimate, error) {
	if !r.o.Estimate {
		return nil, nil
	}
	l, ok := r.o.Store.(Locator)
	if !ok {
		return nil, errs.New(errs.Invalid, "restore.estimate", "estimate restore: what it would read from does not say where things lie")
	}
	return &estimate{r: r, locator: l, seen: make(map[uint64]struct{}), packs: make(map[uint32]struct{})}, nil
}

// add counts the chunks of a file that would be written.
func (s *estimate) add(ctx context.Context, e *fileindex.Entry) error {
	if s == nil || e.Type != fileindex.File {
		return nil
	}
	return fileindex.ForEachExtent(ctx, s.r.nodes, e, func(_ int64, x fileindex.Extent) error {
		if !stored(&x) || x.H == s.last {
			return nil
		}
		s.last = x.H
		id := x.H.ID()
		key := binary.LittleEndian.Uint64(id[:])
		if _, known := s.seen[key]; known {
			return nil
		}
		s.seen[key] = struct{}{}
		if s.pending = append(s.pending, id); len(s.pending) < locateAtOnce {
			return nil
		}
		return s.flush(ctx)
	})
}

func (s *estimate) flush(ctx context.Context) error {
	if s == nil || len(s.pending) == 0 {
		return nil
	}
	sizes, packs, err := s.locator.Locate(ctx, s.pending)
	if err != nil {
		return fmt.Errorf("ask where chunks lie: %w", err)
	}
	if len(sizes) != len(s.pending) || len(packs) != len(s.pending) {
		return errs.New(errs.Internal, "", "ask where %d chunks lie: %d answers", len(s.pending), len(sizes))
	}
	for i, n := range sizes {
		if n == 0 {
			continue // the restore itself says what is lost
		}
		s.packs[packs[i]] = struct{}{}
		s.r.c.PlanBytes.Add(int64(n))
	}
	s.r.c.PlanChunks.Store(int64(len(s.seen)))
	s.r.c.PlanPacks.Store(int64(len(s.packs)))
	s.pending = s.pending[:0]
	return nil
}
