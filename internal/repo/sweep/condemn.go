package sweep

import (
	"context"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
)

// condemn finds what is not needed, has moved what is worth it, and publishes the list. It
// answers the list in force: with Done if there was nothing to condemn.
func (s *run) condemn(ctx context.Context, generation uint64) (repo.Generation, error) {
	done := repo.Generation{Number: generation - 1, Done: true}
	packs, err := s.look(ctx)
	if err != nil {
		return done, err
	}
	condemned := packs.dead()
	moved, err := s.rewrite(ctx, packs, condemned)
	if err != nil {
		return done, err
	}
	condemned = append(condemned, moved...)
	slices.SortFunc(condemned, pack.Key.Compare)
	condemned = slices.Compact(condemned)
	if len(condemned) > ledger.MaxPacks {
		condemned = condemned[:ledger.MaxPacks]
	}
	if len(condemned) == 0 {
		return done, nil
	}
	s.o.progress(Condemn, 0, int64(len(condemned)))
	if err := s.r.CheckTerm(ctx, s.o.Term); err != nil {
		return done, err
	}
	err = s.r.PutPackList(ctx, ledger.List{Kind: ledger.Condemned, By: s.o.Attempt, Generation: generation, Term: s.o.Term, Packs: condemned})
	if errs.KindOf(err) == errs.Exists {
		s.o.event("sweep.other", "another sweep has published generation %d; going on with its list", generation)
		s.m = nil // what it had seen when it marked is not known here
		return s.pending(ctx)
	}
	if err != nil {
		return done, err
	}
	s.tally(packs, condemned)
	return repo.Generation{Number: generation, Packs: condemned}, nil
}

// dead are the packs of which nothing is needed. Of a pack that no segment names, since it
// cannot be read, that cannot be told.
func (p *packSet) dead() []pack.Key {
	var out []pack.Key
	for i := range p.uses {
		if u := &p.uses[i]; !p.open[i] && p.named[i] && u.LiveRecords == 0 {
			out = append(out, u.Pack)
		}
	}
	return out
}

// isIn tells whether a pack is in a sorted list.
func isIn(keys []pack.Key) func(pack.Key) bool {
	return func(k pack.Key) bool {
		_, ok := slices.BinarySearchFunc(keys, k, pack.Key.Compare)
		return ok
	}
}

// rewrite has live chunks moved out of thin packs and answers the packs they were in.
func (s *run) rewrite(ctx context.Context, p *packSet, dead []pack.Key) ([]pack.Key, error) {
	if s.o.Rewriter == nil {
		return nil, nil
	}
	s.o.progress(Rewriting, 0, 0)
	var uses []PackUse
	doomed := isIn(dead)
	for i, u := range p.uses {
		if !p.open[i] && !doomed(u.Pack) && u.Damaged == 0 {
			uses = append(uses, u)
		}
	}
	done, err := s.o.Rewriter.Rewrite(ctx, Movable{Packs: uses, Live: s.m.live, Doomed: doomed})
	s.report.Rewritten = done
	if err != nil {
		return nil, err // the copies are found by the next sweep, which then finds these packs dead
	}
	// Only what it was given: a Rewriter must not be able to condemn more.
	return slices.DeleteFunc(slices.Clone(done.Packs), func(k pack.Key) bool {
		_, given := slices.BinarySearchFunc(uses, k, func(u PackUse, k pack.Key) int { return u.Pack.Compare(k) })
		return !given
	}), nil
}

// finish carries a list out: it waits for nobody, but answers done only if all who may rely on
// what is condemned are settled. m is what was marked before the list was published, or nil.
func (s *run) finish(ctx context.Context, g repo.Generation, m *marker) (done bool, err error) {
	s.report.Generation = g.Number
	spared, err := s.r.PackList(ctx, ledger.Spared, g.Number)
	if errs.KindOf(err) == errs.NotFound {
		s.report.Unsettled, err = s.unsettled(ctx, g.Number)
		if err != nil || len(s.report.Unsettled) > 0 {
			return false, err
		}
		spared, err = s.judge(ctx, g, m)
	}
	if err != nil {
		return false, err
	}
	s.report.SparedPacks += int64(len(spared.Packs))
	if err := s.delete(ctx, g, spared.Packs); err != nil {
		return false, err
	}
	return true, s.end(ctx, g.Number)
}

// unsettled are the attempts that began before a list and may still rely on what it condemns.
func (s *run) unsettled(ctx context.Context, generation uint64) ([]point.Attempt, error) {
	all, err := s.r.OpenAttempts(ctx)
	if err != nil {
		return nil, err
	}
	var out []point.Attempt
	for _, o := range all {
		if !o.Settled && !o.Maintenance && o.Generation < generation {
			out = append(out, o.Attempt)
		}
	}
	return out, nil
}

// judge marks again and publishes what must stay. Of several sweeps that come this far the
// first to publish decides for all: so none of them deletes what another one spares.
func (s *run) judge(ctx context.Context, g repo.Generation, m *marker) (ledger.List, error) {
	s.o.progress(Sparing, 0, 0)
	packs, err := s.packs(ctx)
	if err != nil {
		return ledger.List{}, err
	}
	if err := s.reindex(ctx, packs); err != nil {
		return ledger.List{}, err
	}
	if m == nil {
		if m, err = newMarker(s.r, s.o); err != nil {
			return ledger.List{}, err
		}
	}
	_, err = m.objects(ctx)
	if err == nil {
		err = m.whole()
	}
	if err != nil {
		return ledger.List{}, err
	}
	j, _ := s.o.Rewriter.(Judge)
	spared, err := m.spare(ctx, packs, g.Packs, j)
	if err != nil {
		return ledger.List{}, err
	}
	if err := s.r.InForce(ctx, s.o.Term, g.Number); err != nil {
		return ledger.List{}, err
	}
	l := ledger.List{Kind: ledger.Spared, By: s.o.Attempt, Generation: g.Number, Term: s.o.Term, Packs: spared}
	err = s.r.PutPackList(ctx, l)
	if errs.KindOf(err) == errs.Exists {
		return s.r.PackList(ctx, ledger.Spared, g.Number)
	}
	return l, err
}

// delete removes what was condemned and not spared.
func (s *run) delete(ctx context.Context, g repo.Generation, spared []pack.Key) error {
	stays := isIn(spared)
	for i, k := range g.Packs {
		s.o.progress(Deleting, int64(i), int64(len(g.Packs)))
		if stays(k) {
			continue
		}
		size, there, err := s.r.PackSize(ctx, k)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if err := s.o.wait(ctx, 0); err != nil {
			return err
		}
		if err := s.r.InForce(ctx, s.o.Term, g.Number); err != nil {
			return err
		}
		if err := s.r.DeletePack(ctx, k); err != nil {
			return err
		}
		s.report.DeletedPacks++
		s.report.DeletedBytes += size
		if i+1 == len(g.Packs) || g.Packs[i+1].Attempt != k.Attempt {
			if err := s.r.PruneAttempt(ctx, k.Attempt); err != nil {
				return err
			}
		}
	}
	return nil
}
