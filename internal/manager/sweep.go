package manager

import (
	"context"
	"database/sql"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/repo/seal"
	"keepward/internal/wire"
)

// compactThin is the live share below which a pack is rewritten where a user asks for it: then
// what it costs counts less than the space.
const compactThin = 0.95

// sweepOrder is what the mover of a sweep may do. That points are to be purged is written down
// before it is ordered, so that nobody undeletes one of them meanwhile.
func (c *call) sweepOrder(ctx context.Context, r catalog.Repository) (*keepwardv1.SweepOrder, error) {
	m := c.m
	if c.plan.sweep.GetMerge() {
		return &keepwardv1.SweepOrder{Merge: true}, nil
	}
	if err := m.holdMarks(ctx); err != nil {
		return nil, err
	}
	defer m.letMarks()
	if err := m.reconcile(ctx, r); err != nil {
		return nil, err
	}
	o := &keepwardv1.SweepOrder{DryRun: c.plan.sweep.GetDryRun()}
	if c.plan.sweep.GetCompact() {
		o.CompactBelow, o.Recompress = compactThin, string(seal.CompressHigh)
	}
	if c.plan.sweep.GetIdle() {
		o.Idle, o.Recompress, o.CompactMost = true, string(seal.CompressHigh), idleMost
	}
	var err error
	if o.KeepCheckpoints, err = catalog.WantedCheckpoints(ctx, m.deps.DB.Read(), r.Name); err != nil {
		return nil, err
	}
	if o.Idle {
		return o, nil // that points go is for the sweep of maintenance
	}
	if o.PurgePoints, err = m.purgeable(ctx, r, time.Now()); err != nil || o.DryRun {
		return o, err
	}
	return o, m.deps.DB.Write(ctx, func(tx *sql.Tx) error {
		for _, id := range o.PurgePoints {
			if err := catalog.SetPurgedBy(ctx, tx, id, c.session.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// purgeable lists the deleted points whose grace time is over, and which nothing needs. None are
// while the clock is doubted: it would have to say what is over.
func (m *Manager) purgeable(ctx context.Context, r catalog.Repository, now time.Time) ([]string, error) {
	if jump, err := m.checkClock(ctx); err != nil || jump != 0 {
		m.log.Warn("no point is purged: the clock has jumped", "repository", r.Name, "jump", jump)
		return nil, err
	}
	points, err := catalog.Points(ctx, m.deps.DB.Read(), catalog.PointFilter{Repository: r.Name, Deleted: true, Bare: true})
	if err != nil {
		return nil, err
	}
	uses, err := catalog.Uses(ctx, m.deps.DB.Read(), r.Name)
	if err != nil {
		return nil, err
	}
	used := make(map[string]bool, len(uses))
	for _, u := range uses {
		used[u.ID] = true
	}
	var out []string
	for _, p := range points {
		if p.GetDeleted() == nil || p.GetHeld() || used[p.GetId()] || now.Before(p.GetDeleted().AsTime().Add(r.Upkeep.Grace())) {
			continue
		}
		out = append(out, p.GetId())
	}
	return out, nil
}

// clear settles those of a sweep's unsettled attempts that nobody works on: of tasks that are
// over, and such as this server has never heard of, or no longer knows. A mover that comes back
// with one of them finds that it works for nothing.
func (c *call) clear(ctx context.Context) evCleared {
	done := evCleared{attempt: c.attempt.ID}
	for _, id := range c.order.unsettled {
		if _, err := c.m.adoptIssued(ctx, id); err != nil { // an agent has opened it, and nobody has told yet
			done.failure = wire.ToFailure(err, string(partServer))
			return done
		}
		if c.m.openSession([]string{id}) != 0 {
			continue
		}
		how, err := c.clearOne(ctx, id)
		if err != nil {
			done.failure = wire.ToFailure(err, string(partServer))
			return done
		}
		done.lines = append(done.lines, &keepwardv1.Event{
			Time: timestamppb.Now(), Level: levelInfo, Part: string(partServer), Code: "attempt.cleared", Text: "attempt " + id + ", on which nobody works: " + how,
		})
	}
	return done
}

func (c *call) clearOne(ctx context.Context, id string) (how string, err error) {
	a, _, known, err := catalog.FindAttempt(ctx, c.m.deps.DB.Read(), id)
	if err != nil {
		return "", err
	}
	if known && a.Settled == catalog.Unsettled {
		return "settled", c.m.settleOne(ctx, a)
	}
	o := c.wireOrder()
	o.Attempt = id
	s, err := c.m.fence(ctx, fencing{c.row.Repository, c.attempt.Transport, o, "a sweep found it unsettled, and nobody works on it", false})
	if s.committed {
		return "it had made its restore point", err
	}
	return "cut off", err
}
