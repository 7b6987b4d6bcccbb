package repo

import (
	"context"
	"slices"
	"strings"

	"keepward/internal/errs"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/storage"
)

// What a sweep needs beyond what reads and writes need.

// PacksDir is the folder of all packs.
const PacksDir = packsDir

// ParsePackName reads the name of a pack within the repository.
func ParsePackName(name string) (pack.Key, error) {
	a, c, number, err := parsePackName(name)
	return pack.Key{Attempt: a, Class: c, Number: number}, err
}

// DeletePack removes a pack and its parity for good; one that is gone is no error. A sweep asks
// for it once nobody needs the pack.
func (r *Repository) DeletePack(ctx context.Context, k pack.Key) error {
	if err := r.remove(ctx, packName(k.Attempt, k.Class, k.Number)); err != nil {
		return err
	}
	// In this order: who makes parity meanwhile either has put it by now, or sees afterwards that
	// the pack is gone. What a crash leaves is found by KeepParity.
	return r.remove(ctx, parityName(k))
}

// PruneAttempt removes the folders of an attempt's packs and of their parity if none is left.
// The attempt must be over.
func (r *Repository) PruneAttempt(ctx context.Context, a point.Attempt) error {
	if p, ok := r.b.(storage.Pruner); ok {
		if err := p.Prune(ctx, parityDir+strings.TrimPrefix(attemptDir(a), packsDir)); err != nil {
			return err
		}
		return p.Prune(ctx, attemptDir(a))
	}
	return nil
}

// RemoveSegment removes an index segment whose rows others tell; one that is gone is no error.
func (r *Repository) RemoveSegment(ctx context.Context, name string) error {
	return r.remove(ctx, name)
}

// Reindex publishes a segment of all packs of an attempt: its own was lost.
func (r *Repository) Reindex(ctx context.Context, a point.Attempt) error { return r.reindex(ctx, a) }

// InForce tells whether a sweep of a term may still act for a generation: there is no owner of
// a higher term, and no newer list. Otherwise it is errs.Denied.
func (r *Repository) InForce(ctx context.Context, term, generation uint64) error {
	if err := r.CheckTerm(ctx, term); err != nil {
		return err
	}
	n, err := r.highestGeneration(ctx)
	if err == nil && n != generation {
		err = errs.New(errs.Denied, "sweep.overtaken", "sweep: the list of condemned packs is of generation %d by now, not %d: another sweep went on", n, generation)
	}
	return err
}

// CheckTerm refuses an order of a server that was replaced.
func (r *Repository) CheckTerm(ctx context.Context, term uint64) error {
	owner, err := r.Owner(ctx)
	if err == nil && owner.Term > term {
		err = errs.New(errs.Denied, "repository.owner", "sweep: the repository has an owner of term %d, the order is of term %d", owner.Term, term)
	}
	return err
}

// RemoveCheckpoint removes a checkpoint; one that is gone is no error.
func (r *Repository) RemoveCheckpoint(ctx context.Context, a point.Attempt, number uint32) error {
	return r.remove(ctx, checkpointName(a, number))
}

// TidyAttempt removes what a settled attempt left: packs that it never finished and its open
// marker.
func (r *Repository) TidyAttempt(ctx context.Context, a point.Attempt) error {
	if c, ok := r.b.(storage.Cleaner); ok {
		if err := c.Clean(ctx, attemptDir(a)); err != nil {
			return err
		}
	}
	return r.CloseAttempt(ctx, a)
}

// StaleMarkers are the names of markers whose points are gone.
func (r *Repository) StaleMarkers(ctx context.Context) ([]string, error) {
	var out []string
	for _, kind := range []ledger.MarkKind{ledger.Deleted, ledger.Held} {
		infos, err := r.list(ctx, markDir(kind))
		if err != nil {
			return nil, err
		}
		for _, info := range infos {
			a, err := point.ParseAttempt(info.Name[len(markDir(kind))+1:])
			if err != nil {
				continue // not ours
			}
			there, err := storage.Exists(ctx, r.b, pointName(a))
			if err != nil {
				return nil, err
			}
			if !there {
				out = append(out, info.Name)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// RemoveMarker removes a marker that StaleMarkers has named.
func (r *Repository) RemoveMarker(ctx context.Context, name string) error { return r.remove(ctx, name) }

// PackSize is how large a pack is; there is false if it is gone.
func (r *Repository) PackSize(ctx context.Context, k pack.Key) (size int64, there bool, err error) {
	rd, err := r.b.Open(ctx, nameOf(k))
	if errs.KindOf(err) == errs.NotFound {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	return rd.Size(), true, rd.Close()
}

// WholePacks are the packs of which every record was seen to match its id: strangers rely on
// all that is in them.
func (r *Repository) WholePacks(ctx context.Context) ([]pack.Key, error) {
	known, err := r.Proofs(ctx)
	if err != nil {
		return nil, err
	}
	return wholeOf(known), nil
}
