package manager

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/group"
	"keepward/internal/job"
	"keepward/internal/wire"
)

// byMaintenance is who starts the sessions that keep repositories in order.
const byMaintenance = "maintenance"

// aging is the work of one retention session.
type aging struct {
	*call
	repository catalog.Repository
	now        time.Time
	report     *keepwardv1.RetentionReport
	lines      []*keepwardv1.Event
}

// age marks the points of a retention session's repository whose time is over.
func (c *call) age(ctx context.Context) evAged {
	a := &aging{call: c, now: time.Now(), report: &keepwardv1.RetentionReport{}}
	err := a.run(ctx)
	return evAged{attempt: c.attempt.ID, report: a.report, lines: a.lines, failure: wire.ToFailure(err, string(partServer))}
}

func (a *aging) line(level, code, format string, args ...any) {
	a.lines = append(a.lines, &keepwardv1.Event{
		Time: timestamppb.Now(), Level: level, Part: string(partServer), Code: code, Text: fmt.Sprintf(format, args...),
	})
}

func (a *aging) run(ctx context.Context) error {
	jump, err := a.m.checkClock(ctx)
	if err != nil {
		return err
	}
	if jump != 0 {
		a.line(levelWarning, "clock.jumped", "the server's clock is %s off what was expected: nothing is deleted by it; set it, or say that it is right with: keepward job retention resume", signed(jump))
		return nil
	}
	if a.repository, err = catalog.GetRepository(ctx, a.m.deps.DB.Read(), a.row.Repository); err != nil {
		return err
	}
	if err := a.m.holdMarks(ctx); err != nil {
		return err
	}
	defer a.m.letMarks()
	if err := a.m.reconcile(ctx, a.repository); err != nil {
		return err
	}
	if err := a.m.noteUnprotected(ctx, a.now); err != nil {
		return err
	}
	list, err := a.m.retained(ctx, scope{job: a.plan.age.GetJob()}, a.now)
	if err != nil {
		return err
	}
	return a.delete(ctx, list)
}

// delete marks what goes, one reason after the other: the reason stands in the marker.
func (a *aging) delete(ctx context.Context, list []judged) error {
	going := map[string][]judged{}
	kept := map[catalog.Pair]int{}
	for _, j := range list {
		if j.point.GetRepository() != a.repository.Name {
			continue
		}
		a.report.Points++
		if j.verdict.Keep {
			a.report.Kept++
			kept[catalog.Pair{Computer: j.point.GetComputer(), Job: j.point.GetJob()}]++
		} else {
			going[j.verdict.Because[0]] = append(going[j.verdict.Because[0]], j)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(going)) {
		if err := a.mark(ctx, reason, going[reason]); err != nil {
			return err
		}
	}
	pairs := slices.SortedFunc(maps.Keys(kept), func(a, b catalog.Pair) int {
		return cmp.Or(cmp.Compare(a.Computer, b.Computer), cmp.Compare(a.Job, b.Job))
	})
	for _, p := range pairs {
		a.line(levelInfo, "retention.kept", "%s of %s by job %s kept", count(int64(kept[p]), "restore point"), p.Computer, p.Job)
	}
	return nil
}

func (a *aging) mark(ctx context.Context, reason string, list []judged) error {
	points := make([]*keepwardv1.Point, len(list))
	for i, j := range list {
		points[i] = j.point
	}
	failed, err := a.m.markPoints(ctx, a.repository, points, mark{do: actionDelete, reason: reason, now: a.now})
	until := a.now.Add(a.repository.Upkeep.Grace()).Local().Format(time.DateTime)
	for _, p := range points {
		switch {
		case failed[p.GetId()] != nil:
			a.report.Failed++
			a.line(levelWarning, "retention.failed", "%s: not deleted: %v", retentionText(p), failed[p.GetId()])
		case p.GetDeleted() != nil:
			a.report.Deleted++
			a.report.FreedBytes += p.GetCounters().GetStoredBytes()
			a.line(levelInfo, "retention.deleted", "%s: deleted: %s; it can be undeleted until %s", retentionText(p), reason, until)
		}
	}
	return err
}

func (m *Manager) noteUnprotected(ctx context.Context, now time.Time) error {
	return m.deps.DB.Write(ctx, func(tx *sql.Tx) error {
		if _, err := group.Note(ctx, tx, now); err != nil {
			return err
		}
		return catalog.NoteUnprotected(ctx, tx, now)
	})
}

// afterSession looks for points whose time is over once a backup has added some.
func (m *Manager) afterSession(s *session) {
	if !s.row.Type.MakesPoint() {
		return
	}
	m.grown.post(s.row.Job)
}

// runAging looks at one job after the other, and once at one of which many sessions have ended
// meanwhile: the points of all its computers are read for it.
func (m *Manager) runAging(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.grown.ready:
		}
		names := m.grown.take()
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			if err := m.retainJob(ctx, name); err != nil && ctx.Err() == nil {
				m.log.Warn("retention of a job not started", "job", name, "error", err)
			}
		}
	}
}

// retainJob starts retention sessions for a job where points of it are to go.
func (m *Manager) retainJob(ctx context.Context, name string) error {
	j, err := catalog.GetJob(ctx, m.deps.DB.Read(), name)
	if errs.KindOf(err) == errs.NotFound || err == nil && config.PolicyOf(j.GetRetention()).Zero() {
		return nil
	}
	if err != nil {
		return err
	}
	return m.retain(ctx, name, "")
}

// retain starts a retention session for every repository in which points are to go: of one job,
// or of one repository.
func (m *Manager) retain(ctx context.Context, jobName, repository string) error {
	jump, err := m.checkClock(ctx)
	if err != nil || jump != 0 {
		return err // the condition says what to do
	}
	list, err := m.retained(ctx, scope{job: jobName, bare: true}, time.Now())
	if err != nil {
		return err
	}
	going := map[string]bool{}
	for _, one := range list {
		if in := one.point.GetRepository(); !one.verdict.Keep && (repository == "" || in == repository) {
			going[in] = true
		}
	}
	for _, in := range slices.Sorted(maps.Keys(going)) {
		if _, err := m.submit(ctx, request{
			typ: job.Retention, repository: in, by: byMaintenance, computers: []string{""},
			definition: &keepwardv1.RetentionOrder{Repository: in, Job: jobName},
		}); err != nil {
			return err
		}
	}
	return nil
}
