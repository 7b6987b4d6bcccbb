package manager

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// byProofs is who starts the sessions that keep a repository proved.
const byProofs = "proofs"

// Check starts a session that checks a repository, and answers its number.
func (m *Manager) Check(ctx context.Context, req *keepwardv1.CheckRepositoryRequest) (int64, error) {
	return m.maintain(ctx, job.Verify, req.GetName(), req)
}

// proofsEvery is how often a repository is checked that is to be kept proved.
const proofsEvery = 24 * time.Hour

// KeepProved starts the day's check of a repository in which everything is to be proved within
// some days, and answers its number; 0: it is not time yet, or the last one is not over.
func (m *Manager) KeepProved(ctx context.Context, row catalog.Repository, now time.Time) (int64, error) {
	last, ok, err := catalog.LastMaintenance(ctx, m.deps.DB.Read(), row.Name, job.Verify, byProofs)
	if err != nil {
		return 0, err
	}
	// A clock that was set back must not put the next check off for as long.
	if ok && (!last.Status.Final() || now.Sub(last.Created).Abs() < proofsEvery) {
		return 0, nil
	}
	return m.submit(ctx, request{
		typ: job.Verify, repository: row.Name, by: byProofs, computers: []string{""},
		definition: &keepwardv1.CheckRepositoryRequest{
			Name: row.Name, ReadData: true, ProofDays: row.Proofs.Days, Budget: durationpb.New(job.DefaultProofBudget),
		},
	})
}

// checkOrder is how far a check goes. What an earlier attempt of the session has proved is not
// read again, and proofs carry this server's time.
func (c *call) checkOrder() *keepwardv1.CheckOrder {
	r := c.plan.check
	return &keepwardv1.CheckOrder{
		Time: timestamppb.New(c.attempt.Time), Since: timestamppb.New(c.session.Created),
		Sample: r.GetSample(), Budget: r.GetBudget(), OlderThan: r.GetOlderThan(), Rate: r.GetRate(), ProofDays: r.GetProofDays(),
	}
}
