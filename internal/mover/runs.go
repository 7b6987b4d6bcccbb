package mover

import (
	"context"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/repo"
	"keepward/internal/repo/seal"
	"keepward/internal/wire"
)

// Runs makes a reader a wire.RunReader: records that lie together are read together.
func (r reader) Runs(ctx context.Context, ids []seal.ID) []wire.Run {
	runs := r.t.repo.Runs(ctx, r.t.order.owner(), ids)
	out := make([]wire.Run, len(runs))
	for i := range runs {
		out[i] = &packRun{Run: runs[i], r: r}
	}
	return out
}

type packRun struct {
	repo.Run
	r reader
}

// Read implements wire.Run.
func (n *packRun) Read(ctx context.Context, buf []byte, fn func(i int, rec []byte, err error)) {
	t := n.r.t
	sent := int64(0)
	t.repo.ReadRun(ctx, t.order.owner(), n.Run, buf, func(i int, rec seal.Record, err error) {
		if err == nil {
			err = n.r.may(&rec)
		}
		if err == nil {
			sent += int64(rec.Len())
		}
		fn(i, rec.Bytes(), err)
	})
	n.r.sent(sent)
}

// sent counts what a restore was sent; what a backup sends is what its agent puts.
func (r reader) sent(n int64) {
	if !r.metaOnly {
		r.t.count(func(c *keepwardv1.Counters) { c.SentBytes += n })
	}
}
