package repo

import (
	"context"
	"slices"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
)

// reliance knows which packs an attempt may rely on: those that are there and that no list
// condemned when it began. A sweep that condemns a pack later waits for the attempt, so what
// was found once holds for as long as it lives. It may be used by any number of goroutines.
type reliance struct {
	b          storage.Backend
	generation Generation

	mu    sync.Mutex
	there map[pack.Key]bool
}

func newReliance(b storage.Backend, g Generation) *reliance {
	return &reliance{b: b, generation: g, there: map[pack.Key]bool{}}
}

// may tells whether a place may be relied on.
func (q *reliance) may(ctx context.Context, l *Location) (bool, error) {
	k := l.PackKey()
	q.mu.Lock()
	there, known := q.there[k]
	condemned := q.generation.Condemns(k)
	q.mu.Unlock()
	if known {
		return there, nil
	}
	if !condemned {
		var err error
		if there, err = storage.Exists(ctx, q.b, l.PackName()); err != nil {
			return false, err
		}
	}
	if condemned {
		return false, nil // it may be spared yet
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.there[k] = there
	return there, nil
}

// reconsider looks whether the list that was in force has been judged since: what it spares may
// be relied on, since a later list waits for this attempt. open tells that it has not.
func (q *reliance) reconsider(ctx context.Context, r *Repository) (open bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	g := &q.generation
	if g.Done {
		return false, nil
	}
	spared, err := r.PackList(ctx, ledger.Spared, g.Number)
	switch {
	case err == nil:
		g.Packs = slices.DeleteFunc(slices.Clone(g.Packs), func(k pack.Key) bool {
			_, stays := slices.BinarySearchFunc(spared.Packs, k, pack.Key.Compare)
			return stays
		})
	case errs.KindOf(err) != errs.NotFound:
		return false, err
	default: // not judged, or given up, or so long ago that its lists are gone
		now, err := r.Generation(ctx)
		if err != nil || now.Number == g.Number && !now.Done {
			return true, err
		}
		g.Packs = nil
	}
	g.Done = true
	clear(q.there)
	return false, nil
}

// PackKey names the place's pack.
func (l Location) PackKey() pack.Key {
	return pack.Key{Attempt: l.Attempt, Class: classOf(l.Kind), Number: l.Number}
}

// there tells whether a chunk lies in a pack that may be relied on.
func (w *Writer) there(ctx context.Context, id seal.ID) (bool, error) {
	for _, l := range w.r.Locations(ctx, id) {
		if ok, err := w.relied.may(ctx, &l); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}
