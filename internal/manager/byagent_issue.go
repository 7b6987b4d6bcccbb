package manager

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/repo/point"
	"keepward/internal/schedule"
	sealed "keepward/internal/standing"
)

// newIssue makes the attempts of a job for a computer, for so many days as the setting says. What
// the agent keeps of an attempt is of no use without the half that the transport keeps, and the other way round.
func (m *Manager) newIssue(ctx context.Context, j *keepwardv1.Job, computer string, r catalog.Repository, doors []string) (*issue, error) {
	k, err := m.keysOf(ctx, r.Name)
	if err != nil {
		return nil, err
	}
	saved, err := catalog.GetJob(ctx, m.deps.DB.Read(), j.GetName())
	if err != nil {
		return nil, err
	}
	now := time.Now()
	i := &issue{fresh: true, row: catalog.StandingPolicy{
		ID: randomID(), Job: j.GetName(), Computer: computer, Repository: r.Name, Transport: r.Transport,
		Issued: now, ValidUntil: now.AddDate(0, 0, m.knobs().Int("agent_days")),
	}}
	i.policy = m.agentPolicy(j, computer, i.row, doors)
	i.policy.Backup = &keepwardv1.StartBackupRequest{
		Files: config.FilesOf(saved, computer), Compression: j.GetCompression(), Computer: computer, Job: j.GetName(),
		SnapshotRetries: int32(m.knobs().Int("snapshot_retries")), SnapshotKept: durationpb.New(m.knobs().Duration("snapshot_kept")),
		TrackingKept: durationpb.New(m.knobs().Duration("tracking_kept")), CompareEvery: int32(m.knobs().Int("compare_every")),
		FullSpeed: j.GetFullSpeed(), Processors: j.GetProcessors(),
	}
	connections := j.GetConnections()
	if connections == 0 {
		connections = int32(m.knobs().Int("data_connections"))
	}
	i.policy.Backup.Mover = &keepwardv1.MoverEndpoint{Connections: connections} // the rest is known when it is opened
	for _, at := range plannedRuns(j, i.row) {
		if err := i.add(m, k, saved, at); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// issuedDefinitionMost bounds what of a job goes into each issued attempt: there are many of them.
const issuedDefinitionMost = 8 << 10

// plannedRuns are the moments that attempts are meant for, and a few more for runs that are tried
// again. Which attempt is used when is the agent's business.
func plannedRuns(j *keepwardv1.Job, row catalog.StandingPolicy) []time.Time {
	var out []time.Time
	if s, err := schedule.Parse(j.GetSchedule(), time.Local); err == nil && j.GetSchedule() != "" {
		for at, ok := s.Next(row.Issued); ok && at.Before(row.ValidUntil) && len(out) < attemptsMost-attemptsLeast; at, ok = s.Next(at) {
			out = append(out, at)
		}
	}
	for range attemptsLeast {
		out = append(out, row.Issued)
	}
	return out
}

// add makes one attempt.
func (i *issue) add(m *Manager, k *repositoryKeys, j *keepwardv1.Job, planned time.Time) error {
	row := i.row
	a := catalog.StandingAttempt{ID: randomID(), Policy: row.ID, Task: randomID()}
	name, err := point.ParseAttempt(a.ID)
	if err != nil {
		return err
	}
	// The time is that of the run the attempt is meant for: a catalog that is made anew from the
	// repository knows no better one. The catalog itself takes the time at which it was opened.
	told := definition(j)
	if len(told) > issuedDefinitionMost {
		told = nil
	}
	issue, err := point.SealIssue(k.master.IssueKey(), k.repository.ID, name, point.Issue{
		Computer: row.Computer, Job: row.Job, Time: planned, Definition: told,
	})
	if err != nil {
		return err
	}
	start := &keepwardv1.StartMoverRequest{
		Mode: modeBackup, RepositoryPath: k.repository.Path, Keys: k.forComputer(row.Computer), Issue: issue,
		Computer: row.Computer, Owner: k.owner(row.Computer), ForeignProof: k.repository.Proofs.Foreign, Parity: k.repository.Proofs.Parity,
		AgentWait: durationpb.New(m.set.AgentWait), Heartbeat: durationpb.New(m.set.Heartbeat), FullSpeed: j.GetFullSpeed(),
	}
	ofAgent, ofTransport := sealed.NewHalf(), sealed.NewHalf()
	o := &keepwardv1.StandingOrder{
		Attempt: a.ID, Task: a.Task, Chain: row.Job + " in " + row.Repository, ValidUntil: timestamppb.New(row.ValidUntil),
		RepositoryPath: k.repository.Path, RepositoryId: k.repository.ID[:], Half: ofTransport,
	}
	if o.Start, err = sealed.Seal(ofAgent, sealed.Start, a.ID, start); err != nil {
		return err
	}
	keys, err := sealed.Seal(ofTransport, sealed.Keys, a.ID, k.forComputer(row.Computer))
	if err != nil {
		return err
	}
	i.attempts, i.orders = append(i.attempts, a), append(i.orders, o)
	i.policy.Attempts = append(i.policy.Attempts, &keepwardv1.AgentAttempt{Attempt: a.ID, Task: a.Task, Half: ofAgent, Keys: keys})
	return nil
}
