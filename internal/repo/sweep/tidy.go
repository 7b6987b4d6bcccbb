package sweep

import (
	"context"

	"keepward/internal/repo"
	"keepward/internal/storage"
)

// keptGenerations are how many old lists stay: nobody reads them, but who wonders where a
// pack went finds the sweep that took it.
const keptGenerations = 16

// Tidy does the last steps of a sweep alone: it joins index segments and removes what nobody
// needs and no protocol guards. It marks nothing and deletes no pack.
func Tidy(ctx context.Context, r *repo.Repository, o Options) (Report, error) {
	s := &run{r: r, o: &o}
	err := s.maintain(ctx, s.mergeAndTidy)
	s.report.Done = err == nil
	return s.report, err
}

func (s *run) mergeAndTidy(ctx context.Context) error {
	if err := s.merge(ctx); err != nil {
		return err
	}
	return s.tidy(ctx)
}

// merge has segments joined, which also takes out the rows of packs that are gone.
func (s *run) merge(ctx context.Context) (err error) {
	if s.o.Merger == nil {
		return nil
	}
	s.o.progress(Merging, 0, 0)
	if err := s.r.CheckTerm(ctx, s.o.Term); err != nil {
		return err
	}
	s.report.Merged, err = s.o.Merger.Merge(ctx)
	return err
}

// tidy removes what nobody needs and no protocol guards.
func (s *run) tidy(ctx context.Context) error {
	s.o.progress(Tidying, 0, 0)
	for _, step := range []func(context.Context) error{s.tidyAttempts, s.tidyTombstones, s.tidyMarkers, s.tidyLists, s.tidyProofs, s.tidyOwners, s.dust} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tidyAttempts removes the open markers of attempts that are settled.
func (s *run) tidyAttempts(ctx context.Context) error {
	all, err := s.r.OpenAttempts(ctx)
	if err != nil {
		return err
	}
	for _, o := range all {
		if !o.Settled {
			continue
		}
		if err := s.r.TidyAttempt(ctx, o.Attempt); err != nil {
			return err
		}
		s.report.RemovedObjects++
	}
	return nil
}

// tidyTombstones removes packs that attempts had not finished when they were cut off.
func (s *run) tidyTombstones(ctx context.Context) error {
	if s.m == nil {
		return nil
	}
	for _, a := range s.m.seen {
		if s.m.committed(a) {
			continue
		}
		if err := s.r.TidyAttempt(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// tidyMarkers removes the markers of points that are gone.
func (s *run) tidyMarkers(ctx context.Context) error {
	names, err := s.r.StaleMarkers(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.r.RemoveMarker(ctx, name); err != nil {
			return err
		}
		s.report.RemovedObjects++
	}
	return nil
}

func (s *run) tidyLists(ctx context.Context) error {
	all, err := s.r.Generations(ctx)
	if err != nil {
		return err
	}
	for len(all) > keptGenerations {
		if err := s.r.RemovePackLists(ctx, all[0]); err != nil {
			return err
		}
		s.report.RemovedObjects++
		all = all[1:]
	}
	return nil
}

// tidyProofs joins what checks have written down, without packs that are gone.
func (s *run) tidyProofs(ctx context.Context) error { return s.r.FoldProofs(ctx, s.o.Attempt) }

// tidyOwners removes owners of long ago: each start of a server is one.
func (s *run) tidyOwners(ctx context.Context) error {
	n, err := s.r.RemoveOldOwners(ctx)
	s.report.RemovedObjects += int64(n)
	return err
}

// dust removes what writers have left in the folder of temporary files.
func (s *run) dust(ctx context.Context) error {
	d, ok := s.r.Backend().(storage.Duster)
	if !ok {
		return nil
	}
	n, err := d.Dust(ctx)
	s.report.RemovedObjects += int64(n)
	return err
}
