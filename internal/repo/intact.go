package repo

import (
	"context"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// Intact tells whether a point, or what is to become one, needs a chunk that is known to be
// damaged: errs.Corrupt with code point.needs-damaged names the first. As long as nothing is
// marked as damaged it costs nothing; otherwise all metadata of the point is read, no data.
//
// Metadata is read as owner's: another computer may have stored something else under its id.
func (r *Repository) Intact(ctx context.Context, owner [16]byte, root seal.ID, refs []seal.ID) error {
	lost, err := r.unhealed(ctx)
	if err != nil || len(lost) == 0 {
		return err
	}
	seen := map[seal.ID]bool{}
	var visit func(id seal.ID) error
	visit = func(id seal.ID) error {
		if lost[id] {
			return needsDamaged(errs.New(errs.Corrupt, "", "chunk %s is marked as damaged", id))
		}
		l, ok := r.lookupFor(ctx, owner, id)
		if ok && !l.Kind.Meta() || seen[id] {
			return nil
		}
		seen[id] = true
		rec, err := r.ReadFor(ctx, owner, id, nil)
		switch errs.KindOf(err) {
		case "":
		case errs.Corrupt, errs.NotFound:
			return needsDamaged(err)
		default:
			return err
		}
		for i := range rec.NumRefs() {
			if err := visit(rec.Ref(i)); err != nil {
				return err
			}
		}
		return nil
	}
	for _, id := range append([]seal.ID{root}, refs...) {
		if err := visit(id); err != nil {
			return err
		}
	}
	return nil
}

func needsDamaged(err error) error {
	return errs.New(errs.Corrupt, "point.needs-damaged", "the point needs what is damaged in the repository: %w", err).
		WithHint("run the job in full: every file is read and what is damaged is stored again")
}

// unhealed are the chunks that are marked as damaged and lie nowhere else. A bundle that lost
// members is not good instead of a whole one: who knows no key cannot tell which are needed.
func (r *Repository) unhealed(ctx context.Context) (map[seal.ID]bool, error) {
	lost := map[seal.ID]bool{}
	for _, s := range r.snapshot() {
		ids, err := s.marked(ctx)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			lost[id] = true
		}
	}
	for id := range lost {
		if l, ok := r.Lookup(ctx, id); ok && !l.Punched() {
			delete(lost, id)
		}
	}
	return lost, nil
}

// marked are the chunks that a segment marks as damaged. It is read once: a mover asks for the
// parent, for each checkpoint and for the commit, and a merged segment may have millions of rows.
func (s *openSegment) marked(ctx context.Context) ([]seal.ID, error) {
	if !s.seg.Marks {
		return nil, nil
	}
	if known := s.damaged.Load(); known != nil {
		return *known, nil
	}
	var ids []seal.ID
	err := s.seg.All(func(row segment.Row) error {
		if row.Flags&segment.Damaged != 0 {
			ids = append(ids, row.ID)
		}
		return ctx.Err()
	})
	if err != nil && errs.KindOf(err) != errs.Corrupt { // a damaged segment gives what it can
		return nil, err
	}
	s.damaged.Store(&ids)
	return ids, nil
}
