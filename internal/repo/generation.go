package repo

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"keepward/internal/errs"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/pack"
	"keepward/internal/storage"
)

// Generation is the newest list of condemned packs.
type Generation struct {
	Number uint64 // 0: there was none yet
	// Done: all that it condemned is deleted or spared. Packs is then empty.
	Done  bool
	Packs []pack.Key // sorted
}

// Condemns tells whether a pack is on the list: writers take its chunks for absent.
func (g *Generation) Condemns(k pack.Key) bool {
	_, found := slices.BinarySearchFunc(g.Packs, k, pack.Key.Compare)
	return found
}

// generationTries bounds how often a list is looked for that is removed under one's hands: a
// newer one is there then.
const generationTries = 5

// Generation reads the list in force. A damaged one is errs.Corrupt: without it nobody can
// tell what may be relied on.
func (r *Repository) Generation(ctx context.Context) (Generation, error) {
	var g Generation
	for range generationTries {
		n, err := r.highestGeneration(ctx)
		if err != nil || n == 0 {
			return Generation{Done: true}, err
		}
		g = Generation{Number: n}
		if g.Done, err = storage.Exists(ctx, r.b, listName(ledger.Swept, n)); err != nil {
			return g, err
		}
		if g.Done {
			return g, r.b.Sync(ctx, sweptDir)
		}
		l, err := r.PackList(ctx, ledger.Condemned, n)
		if errs.KindOf(err) == errs.NotFound {
			continue
		}
		g.Packs = l.Packs
		return g, err
	}
	return g, errs.New(errs.Unavailable, "generation.lost", "read the list of condemned packs %d: it is listed and not there", g.Number)
}

// highestGeneration is the number of the newest list; 0: none.
func (r *Repository) highestGeneration(ctx context.Context) (uint64, error) {
	all, err := r.Generations(ctx)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return all[len(all)-1], nil
}

// Generations are the numbers of the lists of condemned packs that are kept, ascending.
func (r *Repository) Generations(ctx context.Context) ([]uint64, error) {
	infos, err := r.list(ctx, condemnedDir)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, info := range infos {
		n, err := strconv.ParseUint(info.Name[len(condemnedDir)+1:], 10, 64)
		if err == nil && n > 0 && listName(ledger.Condemned, n) == info.Name {
			out = append(out, n)
		}
	}
	return out, nil
}

// PackList reads one list of a generation, durably.
func (r *Repository) PackList(ctx context.Context, kind ledger.ListKind, generation uint64) (ledger.List, error) {
	name := listName(kind, generation)
	content, err := r.b.Get(ctx, name, ledger.MaxList)
	if err != nil {
		return ledger.List{}, err
	}
	l, err := ledger.ParseList(content, kind)
	if err == nil && (l.Generation != generation || l.Repository != r.cfg.ID) {
		err = errs.New(errs.Corrupt, "ledger.place", "it is of another generation or repository")
	}
	if err != nil {
		return l, errs.New(errs.KindOf(err), errs.CodeOf(err), "read %s: %w", name, err).
			WithHint("sweep the repository: a sweep gives a list up that cannot be read; nothing is deleted then")
	}
	return l, r.b.Sync(ctx, folderOf(name))
}

// PutPackList publishes a list of a generation. Exactly one of all who try succeeds; the
// others get errs.Exists and go by what is there.
func (r *Repository) PutPackList(ctx context.Context, l ledger.List) error {
	if len(l.Packs) > ledger.MaxPacks {
		return errs.New(errs.Internal, "", "publish %s %d: %d packs are too many", l.Kind, l.Generation, len(l.Packs))
	}
	l.Repository = r.cfg.ID
	return r.b.Put(ctx, listName(l.Kind, l.Generation), l.Encode())
}

// RemovePackLists removes all that is kept of a generation. It is for old ones only: writers
// go by the newest.
func (r *Repository) RemovePackLists(ctx context.Context, generation uint64) error {
	for _, kind := range []ledger.ListKind{ledger.Spared, ledger.Condemned, ledger.Swept} {
		if err := r.remove(ctx, listName(kind, generation)); err != nil {
			return err
		}
	}
	return nil
}

// Names of generations have as many digits as the largest, so that they list in order.
func listName(kind ledger.ListKind, generation uint64) string {
	dir := map[ledger.ListKind]string{ledger.Condemned: condemnedDir, ledger.Spared: sparedDir, ledger.Swept: sweptDir}[kind]
	return fmt.Sprintf("%s/%020d", dir, generation)
}
