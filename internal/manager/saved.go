package manager

import (
	"context"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// This file is the saved jobs that are no backups of computers: maintenance and the server's
// backup of itself. Their sessions are the same as those that a command starts.

// startSaved starts a session of a saved job that is no backup of computers.
func (m *Manager) startSaved(ctx context.Context, j *keepwardv1.Job, r request) (int64, error) {
	r.typ, r.job, r.repository = job.Type(j.GetType()), j.GetName(), j.GetRepository()
	r.priority, r.high = int(j.GetPriority()), j.GetHighPriority()
	if r.full && !r.typ.MakesPoint() {
		return 0, errs.New(errs.Invalid, "job.not-full", "run job %s in full: a job of type %s makes no restore point", r.job, r.typ)
	}
	r.computers, r.definition = []string{""}, behind(j, r.after)
	if r.typ == job.ServerBackup {
		r.computers = []string{job.ServerComputer}
	}
	return m.submit(ctx, r)
}

// orderOf is what the command of the same type would ask for in place of a saved job of maintenance;
// nil: there is no such command.
func orderOf(j *keepwardv1.Job) proto.Message {
	switch job.Type(j.GetType()) {
	case job.Verify:
		return checkOf(j)
	case job.Retention:
		return &keepwardv1.RetentionOrder{Repository: j.GetRepository()}
	case job.Sweep:
		return &keepwardv1.SweepRepositoryRequest{Name: j.GetRepository(), Compact: j.GetCompact()}
	case job.Reconcile:
		return &keepwardv1.ReconcileRepositoryRequest{Name: j.GetRepository()}
	}
	return nil
}

// asCommanded is a session of a saved job of maintenance with the definition that a command would
// have given it, and the job whose older sessions it waits for. Every other session is as it was.
func asCommanded(row catalog.Session) (as catalog.Session, after string, err error) {
	if row.Job == "" || row.Type.MakesPoint() {
		return row, "", nil
	}
	j, err := catalog.DefinitionOf(row, &keepwardv1.Job{})
	if err != nil {
		return row, "", err
	}
	order := orderOf(j)
	if order == nil {
		return row, "", nil
	}
	row.Definition, err = catalog.Definition(order)
	return row, j.GetStartAfter(), err
}

// checkOf is the check that a saved job asks for.
func checkOf(j *keepwardv1.Job) *keepwardv1.CheckRepositoryRequest {
	c := j.GetCheck()
	return &keepwardv1.CheckRepositoryRequest{
		Name: j.GetRepository(), ReadData: c.GetReadData(), Sample: float64(c.GetSamplePercent()) / 100,
		Budget: proto.CloneOf(c.GetBudget()), OlderThan: proto.CloneOf(c.GetOlderThan()),
	}
}

// ReconcileRepository starts a session that compares the index of a repository with its directory, and
// answers its number.
func (m *Manager) ReconcileRepository(ctx context.Context, repository string) (int64, error) {
	return m.maintain(ctx, job.Reconcile, repository, &keepwardv1.ReconcileRepositoryRequest{Name: repository})
}

// jobOfPlan is the definition of a session that makes a point.
func (m *Manager) jobOfPlan(row catalog.Session) (plan, error) {
	j, err := m.jobs.of(row)
	if err != nil {
		return plan{}, err
	}
	return plan{compression: j.GetCompression(), attempts: int(j.GetAttempts()), interval: j, after: j.GetStartAfter()}, nil
}
