package manager

import (
	"cmp"
	"context"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/job"
)

// This file is what is done for repositories while nothing else works on them: what was
// compressed fast is compressed harder. And the joining of index segments, which need not wait
// for that.

// byIdle is who starts the sessions of idle time.
const byIdle = "idle time"

const (
	// mergeAbove index segments are joined without waiting for the next sweep: each lookup asks
	// all of their filters, and each mover opens them all.
	mergeAbove = 256
	// idleMost live bytes are taken up by one run of idle time: a quarter of an hour or so of two
	// cores. What is left waits for the next, and the space of the old packs comes back between.
	idleMost = 32 << 30
	// idleAgain is how long a repository is left alone in which nothing was gained.
	idleAgain = 24 * time.Hour
	// sweepsSeen is how many past sweeps are looked at for the last ones of idle time.
	sweepsSeen = 20
)

// idleWork is what a repository is ready for.
type idleWork string

const (
	idleNothing  idleWork = ""
	idleMerge    idleWork = "merge"
	idleCompress idleWork = "compress"
)

// rest is a repository as it is looked at for work of idle time.
type rest struct {
	catalog.Rest
	may     bool // compress anew: nobody forbids it, and movers may hold the keys
	figures catalog.Figures
	idle    *pastSweep // the last run of idle time; nil: there was none
	merged  *pastSweep // the last sweep that joined segments, or was to do nothing else
}

// pastSweep is a sweep that is over.
type pastSweep struct {
	session        int64
	created, ended time.Time
	report         *keepwardv1.SweepReport
}

// gained tells whether a sweep has moved anything: there may be more of it.
func (p *pastSweep) gained() bool {
	return p.report.GetRecompressedBytes() > 0 || p.report.GetRewrittenPacks() > 0 || p.report.GetPunchedBytes() > 0
}

// work says what is to be done now. A run that gained nothing is not repeated within a day, and
// then only if it was stopped or something was stored since: so nothing runs in circles.
func (r *rest) work(now time.Time, quiet time.Duration) idleWork {
	switch {
	case r.manySegments(now):
		return idleMerge
	case !r.may || len(r.Active) > 0 || r.Stored == 0 || now.Before(r.Ended.Add(quiet)):
		return idleNothing
	case r.idle == nil, r.idle.gained():
		return idleCompress
	case now.Before(r.idle.created.Add(idleAgain)):
		return idleNothing
	case !r.idle.report.GetDone(), r.Stored > r.idle.session:
		return idleCompress
	}
	return idleNothing
}

// manySegments tells whether index segments are to be joined: they are many as counted after
// the last time, and at least twice as many as that left.
func (r *rest) manySegments(now time.Time) bool {
	if r.figures.Segments <= mergeAbove || r.Active[job.Sweep] != 0 || r.Active[job.RebuildIndex] != 0 {
		return false
	}
	last := r.merged
	switch {
	case last == nil:
		return true
	case last.report.GetSegments() == 0: // it failed
		return !now.Before(last.created.Add(idleAgain))
	}
	return r.figures.Looked.After(last.ended) && r.figures.Segments >= 2*last.report.GetSegments()
}

// startIdle starts what is due for repositories at rest.
func (m *Manager) startIdle(ctx context.Context, repositories []catalog.Repository, now time.Time) {
	for _, r := range repositories {
		if cmp.Or(r.Upkeep.Maintenance, job.DefaultMaintenance) == config.MaintenanceNever || m.down(transportOf(r.Transport)) != nil {
			continue
		}
		if err := m.startIdleOf(ctx, r, now); err != nil && ctx.Err() == nil {
			m.log.Error("work of idle time not started", "repository", r.Name, "error", err)
		}
	}
}

func (m *Manager) startIdleOf(ctx context.Context, r catalog.Repository, now time.Time) error {
	at, err := m.restOf(ctx, r)
	if err != nil {
		return err
	}
	order := &keepwardv1.SweepRepositoryRequest{Name: r.Name}
	switch at.work(now, m.set.Quiet) {
	case idleNothing:
		return nil
	case idleMerge:
		order.Merge = true
	case idleCompress:
		order.Idle = true
	}
	_, err = m.submit(ctx, request{
		typ: job.Sweep, repository: r.Name, by: byIdle, computers: []string{""}, definition: order, priority: job.LowestPriority,
	})
	return err
}

func (m *Manager) restOf(ctx context.Context, r catalog.Repository) (*rest, error) {
	at := &rest{
		figures: r.Figures,
		may:     cmp.Or(r.Upkeep.Recompress, job.DefaultRecompress) != job.RecompressNever && r.Proofs.Foreign != job.ForeignProofNever,
	}
	if !at.may && at.figures.Segments <= mergeAbove {
		return at, nil
	}
	var err error
	if at.Rest, err = catalog.RestOf(ctx, m.deps.DB.Read(), r.Name); err != nil {
		return nil, err
	}
	rows, err := catalog.LastSweeps(ctx, m.deps.DB.Read(), r.Name, sweepsSeen)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if at.idle != nil && at.merged != nil {
			break
		}
		if err := at.see(ctx, m.deps.DB.Read(), row); err != nil {
			return nil, err
		}
	}
	return at, nil
}

// see takes note of a past sweep; the newest comes first.
func (r *rest) see(ctx context.Context, q catalog.Queryer, row catalog.Session) error {
	o, err := catalog.DefinitionOf(row, &keepwardv1.SweepRepositoryRequest{})
	if err != nil {
		return err
	}
	tasks, err := catalog.Tasks(ctx, q, row.ID)
	if err != nil {
		return err
	}
	p := &pastSweep{session: row.ID, created: row.Created, ended: row.Ended}
	for _, t := range tasks {
		p.report = t.Report.GetSweep()
	}
	if o.GetIdle() && r.idle == nil {
		r.idle = p
	}
	if r.merged == nil && (o.GetMerge() || p.report.GetSegments() > 0) {
		r.merged = p
	}
	return nil
}

// repositoryLive is the sessions of a repository that are not over.
type repositoryLive struct{ idle, others map[*session]struct{} }

// makeRoom tells sessions of idle time to stop where a session of the same repository is there
// that is none; s has just come. m.mu must be held.
func (m *Manager) makeRoom(s *session) {
	in := m.inRepo[s.row.Repository]
	if in == nil {
		in = &repositoryLive{map[*session]struct{}{}, map[*session]struct{}{}}
		m.inRepo[s.row.Repository] = in
	}
	if s.plan.sweep.GetIdle() {
		in.idle[s] = struct{}{}
		for other := range in.others {
			s.post("", evYield{other.row.ID})
			break // one is enough
		}
		return
	}
	in.others[s] = struct{}{}
	for other := range in.idle {
		other.post("", evYield{s.row.ID})
	}
}

// leaveRoom forgets a session of a repository that is over. m.mu must be held.
func (m *Manager) leaveRoom(s *session) {
	in := m.inRepo[s.row.Repository]
	if in == nil {
		return
	}
	delete(in.idle, s)
	if delete(in.others, s); len(in.idle)+len(in.others) == 0 {
		delete(m.inRepo, s.row.Repository)
	}
}
