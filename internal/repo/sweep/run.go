package sweep

import (
	"context"
	"fmt"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
)

// Run is one sweep. It goes on with what an earlier one began, and may be ended by ctx between
// any two packs: what it has done stays done. The report is right also with an error.
func Run(ctx context.Context, r *repo.Repository, o Options) (Report, error) {
	s := &run{r: r, o: &o, report: Report{Refused: map[point.Attempt]error{}}}
	if !o.DryRun {
		err := s.maintain(ctx, s.sweep)
		return s.report, err
	}
	if err := s.mayWrite(ctx); err != nil {
		return s.report, err
	}
	err := s.plan(ctx)
	return s.report, err
}

func (s *run) mayWrite(ctx context.Context) error {
	if err := s.r.Config().Writable(); err != nil {
		return err
	}
	return s.r.CheckTerm(ctx, s.o.Term)
}

// maintain does work while the run's attempt is open.
func (s *run) maintain(ctx context.Context, work func(ctx context.Context) error) error {
	if err := s.mayWrite(ctx); err != nil {
		return err
	}
	if err := s.r.OpenMaintenance(ctx, s.o.Attempt, s.o.Term); err != nil {
		return err
	}
	err := work(ctx)
	// Whatever it wrote is known to others, or is garbage for the next sweep. If the marker
	// stays, fencing the attempt removes it.
	if cerr := s.r.CloseAttempt(context.WithoutCancel(ctx), s.o.Attempt); err == nil {
		err = cerr
	}
	return err
}

// run is one sweep.
type run struct {
	r      *repo.Repository
	o      *Options
	report Report
	m      *marker // what was marked before a list was published; nil: that was another run
}

func (o *Options) progress(s Step, done, total int64) {
	if o.Progress != nil {
		o.Progress(s, done, total)
	}
}

func (o *Options) wait(ctx context.Context, n int64) error {
	if o.Wait == nil {
		return nil
	}
	return o.Wait(ctx, n)
}

func (o *Options) event(code, format string, args ...any) {
	if o.Event != nil {
		o.Event(code, fmt.Sprintf(format, args...))
	}
}

// sweep ends what is pending, and then, unless that was all that was asked for, begins anew.
func (s *run) sweep(ctx context.Context) error {
	g, err := s.pending(ctx)
	if err != nil {
		return err
	}
	if !g.Done {
		s.o.event("sweep.resumed", "going on with generation %d, which condemned %d packs", g.Number, len(g.Packs))
		if done, err := s.finish(ctx, g, nil); err != nil || !done {
			return err
		}
	}
	purged, err := s.purge(ctx)
	if err != nil {
		return err
	}
	// Who ordered the sweep again so that it ends must not find that it has begun another one.
	if g.Done || purged {
		if g, err = s.condemn(ctx, g.Number+1); err != nil {
			return err
		}
		if !g.Done {
			if done, err := s.finish(ctx, g, s.m); err != nil || !done {
				return err
			}
		}
	}
	s.report.Done = true
	return s.mergeAndTidy(ctx)
}

// pending answers the list in force. One that cannot be read is given up: nothing is deleted
// by it, and what it condemned stays.
func (s *run) pending(ctx context.Context) (repo.Generation, error) {
	g, err := s.r.Generation(ctx)
	if errs.KindOf(err) != errs.Corrupt {
		return g, err
	}
	s.o.event("sweep.list-damaged", "the list of generation %d cannot be read and is given up: %v", g.Number, err)
	if err := s.end(ctx, g.Number); err != nil {
		return g, err
	}
	g.Done, g.Packs = true, nil
	return g, nil
}

// purge removes points, and checkpoints that are not wanted. It only does so while no list is
// open: whoever began after a list may rely on every point that he finds.
func (s *run) purge(ctx context.Context) (any bool, err error) {
	for i, a := range s.o.Purge {
		s.o.progress(Purging, int64(i), int64(len(s.o.Purge)))
		if err := ctx.Err(); err != nil {
			return any, err
		}
		if err := s.r.CheckTerm(ctx, s.o.Term); err != nil {
			return any, err
		}
		purged, err := s.r.Purge(ctx, a)
		switch {
		case refuses(err):
			s.report.Refused[a] = err
			s.o.event(errs.CodeOf(err), "%v", err)
		case err != nil:
			return any, err
		case purged:
			any = true
			s.report.Purged = append(s.report.Purged, a)
		}
	}
	return any, s.dropCheckpoints(ctx)
}

// refuses tells whether a purge was refused for what the point's markers say, or because they
// cannot be read: a disk that does not let anything be deleted is another matter.
func refuses(err error) bool {
	switch errs.CodeOf(err) {
	case "point.held", "point.not-deleted":
		return true
	}
	k := errs.KindOf(err)
	return k == errs.Corrupt || k == errs.Invalid
}

// dropCheckpoints removes the checkpoints of attempts that are over and not wanted, and those
// that do not count.
func (s *run) dropCheckpoints(ctx context.Context) error {
	type object struct {
		a point.Attempt
		n uint32
	}
	var all []object
	for c, err := range s.r.Checkpoints(ctx) {
		if err != nil && c.Attempt == (point.Attempt{}) {
			if errs.KindOf(err) == errs.Corrupt {
				continue // not ours
			}
			return err
		}
		all = append(all, object{c.Attempt, c.Number})
	}
	// The checkpoints are listed: an attempt that had put one and has no marker now is over.
	open, err := s.openAttempts(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		counts, err := s.r.CheckpointCounts(ctx, c.a)
		if err != nil {
			return err
		}
		if counts(c.n) && (open[c.a] || s.o.KeepCheckpoints[c.a]) {
			continue
		}
		if err := s.r.RemoveCheckpoint(ctx, c.a, c.n); err != nil {
			return err
		}
		s.report.RemovedObjects++
	}
	return nil
}

// openAttempts are those that may still write.
func (s *run) openAttempts(ctx context.Context) (map[point.Attempt]bool, error) {
	all, err := s.r.OpenAttempts(ctx)
	if err != nil {
		return nil, err
	}
	open := map[point.Attempt]bool{}
	for _, o := range all {
		if !o.Settled {
			open[o.Attempt] = true
		}
	}
	return open, nil
}

// look lists packs, then open attempts, then segments, then points, in this order: a pack that
// was listed is of an attempt that is open, or whose point and segments are seen.
func (s *run) look(ctx context.Context) (*packSet, error) {
	packs, err := s.packs(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.reindex(ctx, packs); err != nil {
		return nil, err
	}
	if s.m, err = newMarker(s.r, s.o); err != nil {
		return nil, err
	}
	if _, err = s.m.objects(ctx); err == nil {
		err = s.m.whole()
	}
	if err != nil {
		return nil, err
	}
	s.o.progress(Counting, 0, 0)
	if err := s.m.count(ctx, packs); err != nil {
		return nil, err
	}
	for i := range packs.uses {
		s.report.LiveBytes += packs.uses[i].LiveBytes
		s.report.DeadBytes += packs.uses[i].Bytes - packs.uses[i].LiveBytes
	}
	return packs, nil
}

func (s *run) packs(ctx context.Context) (*packSet, error) {
	packs, err := listPacks(ctx, s.r)
	if err != nil {
		return nil, err
	}
	open, err := s.openAttempts(ctx)
	if err != nil {
		return nil, err
	}
	packs.setOpen(func(a point.Attempt) bool { return open[a] || a == s.o.Attempt })
	known, err := s.r.Proofs(ctx)
	packs.setProofs(known)
	return packs, err
}

// reindex publishes the rows of packs that no segment names: their segment was lost, or never
// made. Nobody else can tell whether something in them is needed.
func (s *run) reindex(ctx context.Context, p *packSet) error {
	if err := s.r.Refresh(ctx); err != nil || s.o.DryRun {
		return err
	}
	p.resolve(s.r.Segments())
	var last point.Attempt
	for i := range p.uses {
		a := p.uses[i].Pack.Attempt
		if p.named[i] || p.open[i] || a == last {
			continue
		}
		last = a
		s.o.event("sweep.reindexed", "packs of attempt %s were in no index segment", a)
		if err := s.r.Reindex(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// plan is a dry run.
func (s *run) plan(ctx context.Context) error {
	g, err := s.r.Generation(ctx)
	if err != nil {
		return err
	}
	packs, err := s.look(ctx)
	if err != nil {
		return err
	}
	s.report.Generation, s.report.Done = g.Number, g.Done
	s.tally(packs, packs.dead())
	return nil
}

func (s *run) tally(p *packSet, condemned []pack.Key) {
	s.report.CondemnedPacks = int64(len(condemned))
	for _, k := range condemned {
		if i := p.index(k); i >= 0 {
			s.report.CondemnedBytes += p.uses[i].Size
		}
	}
}

// end says that a generation is over.
func (s *run) end(ctx context.Context, generation uint64) error {
	err := s.r.PutPackList(ctx, ledger.List{Kind: ledger.Swept, By: s.o.Attempt, Generation: generation, Term: s.o.Term})
	if errs.KindOf(err) == errs.Exists {
		return nil
	}
	return err
}
