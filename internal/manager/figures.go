package manager

import (
	"cmp"
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/history"
	"keepward/internal/job"
)

const (
	// figuresRuns is how many sessions figures are made of where nobody says.
	figuresRuns = 30
	// figuresMost bounds it.
	figuresMost = 1000
)

// JobFigures says how the sessions of a job went.
func (m *Manager) JobFigures(ctx context.Context, req *keepwardv1.GetJobFiguresRequest) (*keepwardv1.JobFigures, error) {
	name := req.GetName()
	since := time.Time{}
	if req.GetSince() != nil {
		since = req.GetSince().AsTime()
	}
	counts, err := catalog.StatusCounts(ctx, m.deps.DB.Read(), name, since)
	if err != nil {
		return nil, err
	}
	if _, err := catalog.GetJob(ctx, m.deps.DB.Read(), name); err != nil && (errs.KindOf(err) != errs.NotFound || len(counts) == 0) {
		return nil, err // a job that is deleted has its history still
	}
	rows, err := catalog.Sessions(ctx, m.deps.DB.Read(), catalog.SessionFilter{
		Job: name, Since: since, Statuses: finalStatuses(), Limit: min(cmp.Or(int(req.GetRuns()), figuresRuns), figuresMost),
	})
	if err != nil {
		return nil, err
	}
	out := &keepwardv1.JobFigures{Job: name, Since: req.GetSince()}
	for _, r := range job.Statuses {
		if n := counts[r.Status]; n > 0 {
			out.Statuses = append(out.Statuses, &keepwardv1.StatusCount{Status: string(r.Status), Sessions: n})
		}
	}
	return out, m.addRuns(ctx, out, rows)
}

func finalStatuses() []job.Status {
	var out []job.Status
	for _, r := range job.Statuses {
		if r.Class == job.Final {
			out = append(out, r.Status)
		}
	}
	return out
}

// addRuns puts in the runs, the newest first, and what they add up to.
func (m *Manager) addRuns(ctx context.Context, out *keepwardv1.JobFigures, rows []catalog.Session) error {
	var runs []history.Run
	var all *keepwardv1.Counters
	for _, row := range rows {
		tasks, err := catalog.Tasks(ctx, m.deps.DB.Read(), row.ID)
		if err != nil {
			return err
		}
		s := describe(row, tasks)
		c := s.GetProgress().GetCounters()
		out.Runs = append(out.Runs, &keepwardv1.JobRun{
			Session: row.ID, Status: s.GetStatus(), Started: s.GetStarted(), Ended: s.GetEnded(), DoneBytes: c.GetDoneBytes(), ReadBytes: c.GetReadBytes(),
			SentBytes: c.GetSentBytes(), StoredBytes: c.GetStoredBytes(), Files: c.GetDoneFiles() - c.GetDoneDirs(), Limits: s.GetLimits(), Full: s.GetFull(),
		})
		if !row.Status.LeftResult() || row.Started.IsZero() {
			continue
		}
		runs = append(runs, history.Run{
			Took: row.Ended.Sub(row.Started), Read: c.GetReadBytes(), Sent: c.GetSentBytes(), Stored: c.GetStoredBytes(),
		})
		if c != nil {
			all = addCounters(all, c)
		}
	}
	sum := history.Sum(runs)
	out.DurationMillis, out.ReadBytes, out.SentBytes = figure(sum.Millis), figure(sum.Read), figure(sum.Sent)
	out.StoredBytes, out.BytesPerSecond = figure(sum.Stored), figure(sum.PerSecond)
	out.Limits = limits(all)
	out.Bottleneck = bottleneck(out.GetLimits())
	return nil
}

// figure is a measure on the wire; nil: no run has it.
func figure(f history.Figure) *keepwardv1.Figure {
	if f.Runs == 0 {
		return nil
	}
	out := &keepwardv1.Figure{Last: f.Last, Least: f.Least, Mean: f.Mean, Most: f.Most}
	if f.Trend != nil {
		v := int32(*f.Trend)
		out.Trend = &v
	}
	return out
}

// bottleneck is what limited a job most.
func bottleneck(l *keepwardv1.Limits) string {
	if l == nil {
		return ""
	}
	names := []string{"source", "cpu", "network", "target"}
	shares := []int32{l.GetSource(), l.GetCpu(), l.GetNetwork(), l.GetTarget()}
	return names[slices.Index(shares, slices.Max(shares))]
}

// doneAbout is when a session will be done if it goes on as it did; nil: nobody knows.
func doneAbout(s *keepwardv1.Session, now time.Time) *timestamppb.Timestamp {
	var last time.Time
	for _, t := range s.GetTasks() {
		if job.Status(t.GetStatus()).Final() {
			continue
		}
		at := doneAt(t, now)
		if at.IsZero() {
			return nil
		}
		if at.After(last) {
			last = at
		}
	}
	return stamp(last)
}
