package manager

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/wire"
)

// duplicatesOf is the policy of a job for a second session of it.
func (m *Manager) duplicatesOf(j *keepwardv1.Job) string {
	return cmp.Or(j.GetDuplicates(), m.knobs().Text("duplicates"))
}

// admit submits a session of a job as the policy for duplicates has it. To queue is the board's
// business, when the session is there.
func (m *Manager) admit(ctx context.Context, j *keepwardv1.Job, r request) (int64, error) {
	policy := m.duplicatesOf(j)
	if policy == job.DuplicatesAllow || policy == job.DuplicatesQueue {
		return m.submit(ctx, r)
	}
	select { // of two at once the second must see the first
	case m.admission <- struct{}{}:
		defer func() { <-m.admission }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	twins, err := m.twins(ctx, r.job)
	if err != nil {
		return 0, err
	}
	refusedFor, cancel := job.JudgeDuplicate(policy, r.full, twins)
	if refusedFor != 0 {
		return m.refuse(ctx, r, policy, refusedFor)
	}
	id, err := m.submit(ctx, r)
	if err != nil {
		return 0, err
	}
	for _, old := range cancel {
		if s := m.liveSession(old); s != nil {
			if _, err := s.ask(ctx, "", evKill{actor: fmt.Sprintf("session %d of the same job", id)}); err != nil && !errors.Is(err, errClosed) {
				return id, err
			}
		}
	}
	return id, nil
}

// twins are the sessions of a job that are not over, the newest first.
func (m *Manager) twins(ctx context.Context, name string) ([]job.Twin, error) {
	rows, err := catalog.Sessions(ctx, m.deps.DB.Read(), catalog.SessionFilter{Active: true, Job: name})
	if err != nil {
		return nil, err
	}
	var out []job.Twin
	for _, s := range rows {
		if s.Type == job.Backup {
			out = append(out, job.Twin{Session: s.ID, Full: s.Full})
		}
	}
	return out, nil
}

// refuse does not let a session start. Who asked for it is told; of one that a schedule started
// there is a session, so that it is seen.
func (m *Manager) refuse(ctx context.Context, r request, policy string, session int64) (int64, error) {
	why := errs.New(errs.Busy, "job.duplicate", "run job %s: session %d of it is not over, and by its policy for duplicates (%s) this one does not start", r.job, session, policy).
		WithHint("wait for it, or end it with: keepward session kill %d", session)
	if r.by != bySchedule {
		return 0, why
	}
	r.refused = wire.ToFailure(why, string(partServer))
	return m.submit(ctx, r)
}
