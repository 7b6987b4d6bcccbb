package mover

import (
	"context"
	"fmt"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/compact"
	"keepward/internal/repo/merge"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/sweep"
)

// sweep gives back the space of what no point needs, as far as its order goes.
func (t *task) sweep(ctx context.Context, end *keepwardv1.AttemptEnd) error {
	o := t.order.GetStart().GetSweep()
	opts, err := t.sweepOptions(o)
	if err != nil {
		return err
	}
	if idle, err := t.nothingFast(ctx, o); err != nil || idle {
		end.Sweep = &keepwardv1.SweepReport{Done: idle}
		return err
	}
	run := sweep.Run
	if o.GetMerge() {
		run = sweep.Tidy
	}
	report, err := run(ctx, t.repo, opts)
	// Also of a run that failed or was stopped: points it purged are gone.
	end.Sweep = toSweepReport(&report)
	if err != nil {
		return err
	}
	if !o.GetDryRun() {
		pace := pacer{rate: o.GetRate()}
		t.keepParity(ctx, repo.ParityOptions{Tidy: true, Term: opts.Term, Wait: pace.wait})
	}
	t.events.add("info", "sweep.done", sweepText(end.GetSweep(), o.GetDryRun()))
	return nil
}

func (t *task) sweepOptions(o *keepwardv1.SweepOrder) (sweep.Options, error) {
	pace := pacer{rate: o.GetRate()}
	opts := sweep.Options{
		Attempt: t.order.attempt, Term: t.order.GetStart().GetOrder().GetTerm(), DryRun: o.GetDryRun(),
		KeepCheckpoints: map[point.Attempt]bool{}, Progress: t.sweepProgress, Wait: pace.wait,
		Event: func(code, text string) { t.events.add("info", code, text) },
	}
	for _, name := range o.GetPurgePoints() {
		a, err := point.ParseAttempt(name)
		if err != nil {
			return opts, err
		}
		opts.Purge = append(opts.Purge, a)
	}
	for _, name := range o.GetKeepCheckpoints() {
		a, err := point.ParseAttempt(name)
		if err != nil {
			return opts, err
		}
		opts.KeepCheckpoints[a] = true
	}
	w := &rewriter{t: t, o: o, pace: &pace}
	opts.Rewriter = w
	if o.GetRecompress() != "" {
		opts.Rewriter = keyedRewriter{w}
	}
	opts.Merger = &merger{t: t, term: opts.Term}
	return opts, nil
}

// nothingFast tells whether an order of idle time has nothing to do: no pack was compressed fast,
// and no sweep is under way that is to be ended.
func (t *task) nothingFast(ctx context.Context, o *keepwardv1.SweepOrder) (bool, error) {
	if !o.GetIdle() {
		return false, nil
	}
	if g, err := t.repo.Generation(ctx); err != nil || !g.Done {
		return false, nil //nolint:nilerr // a sweep knows what to do with a list that cannot be read
	}
	any, err := compact.AnyFast(ctx, t.repo)
	if err != nil || any {
		return false, err
	}
	t.events.add("info", "sweep.nothing", "no pack was compressed fast: there is nothing to gain")
	return true, nil
}

func (t *task) sweepProgress(s sweep.Step, done, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.phase = string(s)
	if s == sweep.Deleting {
		t.counters.DoneFiles, t.counters.TotalFiles = done, total
	}
}

// rewriter is compaction as the sweep asks for it.
type rewriter struct {
	t    *task
	o    *keepwardv1.SweepOrder
	pace *pacer
}

func (w *rewriter) Rewrite(ctx context.Context, m sweep.Movable) (sweep.Rewritten, error) {
	packs := make([]compact.Pack, len(m.Packs))
	for i, u := range m.Packs {
		packs[i] = compact.Pack{Key: u.Pack, Size: u.Size, Live: u.LiveBytes, Dead: u.Bytes - u.LiveBytes, Marked: u.Marked > 0}
	}
	dense, err := w.t.recompression(w.o)
	if err != nil {
		return sweep.Rewritten{}, err
	}
	done, err := compact.Run(ctx, w.t.repo, packs, compact.Options{
		Attempt: w.t.order.attempt, Live: m.Live, Doomed: m.Doomed, Recompress: dense,
		Below: w.o.GetCompactBelow(), Thorough: w.o.GetCompactBelow() > 0, JoinBelow: w.o.GetJoinBelow(), Wait: w.pace.wait,
		MaxBytes: w.o.GetCompactMost(),
		Progress: func(done, total int64) {
			w.t.count(func(c *keepwardv1.Counters) { c.DoneBytes, c.TotalBytes = done, total })
		},
	})
	for _, k := range done.Kept {
		w.t.events.add("warning", "compact.kept", fmt.Sprintf("pack %s stays: %v", repo.PackName(k.Attempt, k.Class, k.Number), k.Err))
	}
	for _, d := range done.Damaged {
		w.t.events.add("warning", "chunk.damaged", fmt.Sprintf("%v", d.Err))
	}
	if done.Punched > 0 {
		w.t.events.add("info", "compact.punched", fmt.Sprintf("took dead members out of %d bundles, which makes them %d bytes smaller", done.Punched, done.PunchedBytes))
	}
	if errs.KindOf(err) == errs.NoSpace {
		// What is dead can be deleted without it, and that makes room for the next run.
		w.t.events.add("warning", errs.CodeOf(err), fmt.Sprintf("packs are not written anew: %v", err))
		err = nil
	}
	return sweep.Rewritten{Packs: done.Condemn, ReadBytes: done.ReadBytes, WrittenBytes: done.WrittenBytes, Recompressed: done.SavedBytes, Bundles: done.Punched, Punched: done.PunchedBytes}, err
}

// keyedRewriter is a rewriter whose order brings the keys of all points.
type keyedRewriter struct{ *rewriter }

// Sufficient implements sweep.Judge.
func (w keyedRewriter) Sufficient(ctx context.Context, all []repo.Remnant) (map[seal.ID]bool, error) {
	keys, err := w.t.recompression(w.o)
	if err != nil {
		return nil, err
	}
	return compact.Sufficient(ctx, w.t.repo, keys, w.pace.wait, all)
}

// recompression is nil unless it was ordered.
func (t *task) recompression(o *keepwardv1.SweepOrder) (*compact.Recompression, error) {
	if o.GetRecompress() == "" {
		return nil, nil
	}
	level, err := seal.ParseCompression(o.GetRecompress())
	if err != nil {
		return nil, err
	}
	k := t.order.GetStart().GetKeys()
	issue, err := optionalKey("issue key", k.GetIssueKey())
	if err != nil {
		return nil, err
	}
	computers, err := optionalKey("computers key", k.GetComputersKey())
	if err != nil {
		return nil, err
	}
	if issue == nil || computers == nil {
		return nil, errs.New(errs.Invalid, "order.keys", "compress what is stored anew: the order lacks the keys of all points")
	}
	return &compact.Recompression{Keys: t.keys, IssueKey: *issue, ComputersKey: (*seal.ComputersKey)(computers), Level: level}, nil
}

// merger is merging of index segments as the sweep asks for it.
type merger struct {
	t    *task
	term uint64
}

func (m *merger) Merge(ctx context.Context) (sweep.Merged, error) {
	done, err := merge.Run(ctx, m.t.repo, merge.Options{Attempt: m.t.order.attempt, Remove: m.remove})
	for _, name := range done.Damaged {
		m.t.events.add("warning", "segment.damaged", name+" cannot be read and is left as it is; a check repairs it")
	}
	return sweep.Merged{Removed: done.Merged, Left: done.After}, err
}

func (m *merger) remove(ctx context.Context, name string) error {
	if err := m.t.repo.CheckTerm(ctx, m.term); err != nil {
		return err
	}
	return m.t.repo.RemoveSegment(ctx, name)
}

func toSweepReport(r *sweep.Report) *keepwardv1.SweepReport {
	out := &keepwardv1.SweepReport{
		Generation: r.Generation, Done: r.Done, PurgedPoints: int64(len(r.Purged)),
		DeletedPacks: r.DeletedPacks, DeletedBytes: r.DeletedBytes, SparedPacks: r.SparedPacks,
		RewrittenPacks: int64(len(r.Rewritten.Packs)), RewrittenBytes: r.Rewritten.ReadBytes, WrittenBytes: r.Rewritten.WrittenBytes,
		RecompressedBytes: r.Rewritten.Recompressed, PunchedBytes: r.Rewritten.Punched,
		MergedSegments: int64(r.Merged.Removed), Segments: int64(r.Merged.Left),
		LiveBytes: r.LiveBytes, DeadBytes: r.DeadBytes, RemovedObjects: r.RemovedObjects,
	}
	for _, a := range r.Unsettled {
		out.Unsettled = append(out.Unsettled, a.String())
	}
	for _, a := range r.Purged {
		out.Purged = append(out.Purged, a.String())
	}
	return out
}

// sweepText says what a sweep did.
func sweepText(r *keepwardv1.SweepReport, dry bool) string {
	switch {
	case dry:
		return fmt.Sprintf("%d bytes are needed and %d are not; nothing was changed", r.GetLiveBytes(), r.GetDeadBytes())
	case len(r.GetUnsettled()) > 0:
		return fmt.Sprintf("condemned packs in generation %d; %d attempts that began before must end first", r.GetGeneration(), len(r.GetUnsettled()))
	}
	text := fmt.Sprintf("purged %d points, deleted %d packs of %d bytes, spared %d packs", r.GetPurgedPoints(), r.GetDeletedPacks(), r.GetDeletedBytes(), r.GetSparedPacks())
	if n := r.GetRecompressedBytes(); n > 0 {
		text += fmt.Sprintf("; compressed harder, what was stored fast is %d bytes smaller", n)
	}
	return text
}

// pacer keeps bytes per second under a rate; zero: no bound. It belongs to one goroutine.
type pacer struct {
	rate int64
	free time.Time // when all that was let through would be through
}

func (p *pacer) wait(ctx context.Context, n int64) error {
	if p.rate <= 0 {
		return ctx.Err()
	}
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	timer := time.NewTimer(p.free.Sub(now))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
