package manager

import (
	"context"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// plan is what a session does, as it was at submission.
type plan struct {
	compression string
	restore     *keepwardv1.RestoreFilesRequest
	check       *keepwardv1.CheckRepositoryRequest
	sweep       *keepwardv1.SweepRepositoryRequest
	age         *keepwardv1.RetentionOrder
	browse      *keepwardv1.BrowseOrder
	rescan      *keepwardv1.RescanOrder
	install     *keepwardv1.UpdateOrder
	attempts    int
	interval    *keepwardv1.Job // whose restart interval holds
	after       string          // a job of which no older session may be open when it starts
}

// loadFrom makes a session of what the catalog has of it.
func (m *Manager) loadFrom(ctx context.Context, row catalog.Session, from *records) (*session, error) {
	p, err := m.planOf(row)
	if err != nil {
		return nil, err
	}
	row.Definition = "" // the plan is made of it
	repository, err := from.repository(ctx, row.Repository)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return nil, err // a repository that is gone has no transport, and is offline for good
	}
	rows, err := from.tasksOf(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	s := &session{m: m, row: row, plan: p}
	for _, r := range rows {
		t := &task{
			row: r, typ: row.Type, job: row.Job, priority: r.Priority, full: row.Full, files: config.FilesOf(p.interval, r.Computer),
			transport: repository.Transport, limit: p.attempts, loaded: r.Attempts > 0, once: once(p.restore), byAgent: managedByAgent(row), interval: p.interval.GetRestartInterval().AsDuration(),
			idle: p.sweep.GetIdle(), after: p.after,
			queues: row.Type == job.Backup && row.Job != "" && m.duplicatesOf(p.interval) == job.DuplicatesQueue,
		}
		if t.limit <= 0 {
			t.limit = m.attempts(row.Type)
		}
		if t.byAgent {
			t.limit = 1
		}
		if t.interval <= 0 {
			t.interval = m.knobs().Duration("restart_interval")
		}
		if err := loadAttempt(ctx, from, t); err != nil {
			return nil, err
		}
		if err := m.loadPlaces(ctx, t); err != nil {
			return nil, err
		}
		s.tasks = append(s.tasks, t)
	}
	s.loadAgents()
	return s, m.loadScripts(ctx, s)
}

// once is why a restore is neither interrupted nor tried again; empty: it may be. What a command did
// with a part cannot be told, and a database comes back whole or not at all.
func once(r *keepwardv1.RestoreFilesRequest) string {
	switch {
	case r.GetCommand() != nil:
		return "a command has begun, which can only end or be killed"
	case r.GetApplication() != nil:
		return "a database is being brought back, which can only end or be killed"
	}
	return ""
}

func (m *Manager) planOf(row catalog.Session) (plan, error) {
	row, after, err := asCommanded(row)
	if err != nil {
		return plan{}, err
	}
	p := plan{after: after}
	switch row.Type {
	case job.Backup, job.ServerBackup:
		return m.jobOfPlan(row)
	case job.IndexRestore:
		return browseOrder(row)
	case job.Reconcile: // there is nothing to choose
	case job.Restore:
		r, err := catalog.DefinitionOf(row, &keepwardv1.RestoreFilesRequest{})
		if err != nil {
			return p, err
		}
		p.restore, p.interval = r, &keepwardv1.Job{RestartInterval: r.GetRestartInterval()}
		if r.GetEstimate() || once(r) != "" {
			p.attempts = 1 // somebody waits for it now; or see once
		}
	case job.Sweep:
		o, err := catalog.DefinitionOf(row, &keepwardv1.SweepRepositoryRequest{})
		if err != nil {
			return p, err
		}
		p.sweep = o
		if o.GetIdle() || o.GetMerge() {
			p.attempts = 1 // it comes again by itself
		}
	case job.Rescan:
		o, err := catalog.DefinitionOf(row, &keepwardv1.RescanOrder{})
		if err != nil {
			return p, err
		}
		p.rescan = o
	case job.UpdateInstall:
		o, err := catalog.DefinitionOf(row, &keepwardv1.UpdateOrder{})
		if err != nil {
			return p, err
		}
		p.install, p.attempts = o, 1 // what has failed once is for somebody to look at
	case job.Retention:
		o, err := catalog.DefinitionOf(row, &keepwardv1.RetentionOrder{})
		if err != nil {
			return p, err
		}
		p.age = o
	default:
		c, err := catalog.DefinitionOf(row, &keepwardv1.CheckRepositoryRequest{})
		if err != nil {
			return p, err
		}
		p.check = c
	}
	return p, nil
}

// loadAttempt gives a task its newest attempt.
func loadAttempt(ctx context.Context, from *records, t *task) error {
	a, ok, err := from.newestAttempt(ctx, t.row.ID)
	if err != nil || !ok {
		return err
	}
	t.att = &attempt{row: a}
	t.att.mover = side{node: transportOf(a.Transport), ordered: a.MoverOrdered, boot: a.MoverBoot, end: a.MoverEnd}
	t.att.agent = side{node: agentOf(a.Agent), ordered: a.AgentOrdered, boot: a.AgentBoot, end: a.AgentEnd}
	return nil
}
