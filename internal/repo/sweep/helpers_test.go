package sweep

import (
	"context"

	"keepward/internal/repo"
	"keepward/internal/repo/compact"
	"keepward/internal/repo/merge"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
)

// rewriter is compaction, as a mover would give it.
type rewriter struct {
	r       *repo.Repository
	attempt point.Attempt
	below   float64
}

func (w rewriter) Rewrite(ctx context.Context, m Movable) (Rewritten, error) {
	packs := make([]compact.Pack, len(m.Packs))
	for i, u := range m.Packs {
		packs[i] = compact.Pack{Key: u.Pack, Size: u.Size, Live: u.LiveBytes, Dead: u.Bytes - u.LiveBytes, Marked: u.Marked > 0}
	}
	done, err := compact.Run(ctx, w.r, packs, compact.Options{
		Attempt: w.attempt, Live: m.Live, Doomed: m.Doomed, Below: w.below, JoinBelow: -1, PackSize: 20_000,
	})
	return Rewritten{Packs: done.Condemn, ReadBytes: done.ReadBytes, WrittenBytes: done.WrittenBytes}, err
}

// merger is merging, as a mover would give it.
type merger struct {
	r       *repo.Repository
	attempt point.Attempt
}

func (m merger) Merge(ctx context.Context) (Merged, error) {
	done, err := merge.Run(ctx, m.r, merge.Options{Attempt: m.attempt, FanIn: 2, Remove: m.r.RemoveSegment})
	return Merged{Removed: done.Merged, Left: done.After}, err
}

// full are options of a sweep that does everything.
func (w *world) full(r *repo.Repository, purge []point.Attempt) Options {
	o := w.options(purge)
	o.Rewriter = rewriter{r: r, attempt: o.Attempt, below: 0.9}
	o.Merger = merger{r: r, attempt: o.Attempt}
	return o
}

// rootOf is the root of the tree that a mover's draft names.
func (m *mover) rootOf(d point.Draft) seal.H {
	m.w.Helper()
	body, err := point.OpenBody(m.w.site.Keys(m.Computer).ComputerKey, &point.Point{RepositoryID: m.w.site.ID, Attempt: m.Attempt, Body: d.Body})
	must(m.w, err)
	return body.Root
}

// takeOver reads the parent and answers the draft of a point with its tree.
func (m *mover) takeOver(parent *repotest.Backup) (point.Draft, error) {
	content, err := m.r.Point(m.w.ctx, parent.Attempt)
	if err != nil {
		return point.Draft{}, err
	}
	p, err := point.Parse(content)
	if err != nil {
		return point.Draft{}, err
	}
	keys := m.w.site.Keys(m.Computer)
	body, err := point.OpenBody(keys.ComputerKey, &p)
	if err != nil {
		return point.Draft{}, err
	}
	m.Files = parent.Files
	body, sealed := point.Body{Root: body.Root, Files: body.Files}, []byte(nil)
	sealed, err = point.SealBody(keys.ComputerKey, m.w.site.ID, m.Attempt, body)
	return point.Draft{Type: point.Complete, RootID: p.RootID, Body: sealed}, err
}
