package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) jobStats() *cobra.Command {
	var since string
	req := &keepwardv1.GetJobFiguresRequest{}
	cmd := &cobra.Command{
		Use: "stats NAME", Short: "Show how the sessions of a job went: duration, bytes, rate, trend, bottleneck",
		Long: "Sums up the newest sessions of a job that left a result. TREND compares the newer half of them with the older one.\n" +
			"'limited by' is what held them up, by the time they took.",
		Example: "  keepward job stats docs\n  keepward job stats docs --since -30d --runs 100",
		Args:    exactly("NAME"), ValidArgsFunction: a.complete(jobNames),
	}
	cmd.Flags().StringVar(&since, "since", "", "only sessions that ended at or after this time")
	cmd.Flags().Int32Var(&req.Runs, "runs", 30, "how many sessions")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		req.Name = args[0]
		at, err := a.sinceTime(since)
		if err != nil {
			return err
		}
		req.Since = at
		m, err := call(ctx, c.jobs.GetJobFigures, req)
		if err != nil {
			return err
		}
		return a.print(m.GetFigures(), func() { a.showFigures(m.GetFigures()) })
	})
	return cmd
}

// sinceTime reads a time from which on something is shown; of a day that is its first moment.
func (a *app) sinceTime(text string) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	t, err := parseTime(text, a.now(), a.local)
	if err != nil {
		return nil, err
	}
	if isDay(text) {
		t = endOfDay(t, -1).Add(time.Second)
	}
	return timestamppb.New(t), nil
}

// isDay tells whether a text that parseTime takes names a day and no hour of it.
func isDay(text string) bool {
	return text == "today" || text == "yesterday" || len(text) == len("2026-11-01") && strings.Count(text, "-") == 2
}

func (a *app) showFigures(f *keepwardv1.JobFigures) {
	var ended []string
	for _, s := range f.GetStatuses() {
		ended = append(ended, s.GetStatus()+" "+count(s.GetSessions()))
	}
	a.fields("job", f.GetJob(), "since", a.stamp(f.GetSince()), "sessions", strings.Join(ended, ", "),
		"limited by", limitedBy(f.GetLimits()), "bottleneck", f.GetBottleneck())
	if f.GetDurationMillis() == nil {
		a.remark("no session of job %s has left a result", f.GetJob())
	} else {
		a.section("Per session")
		a.figureTable(f)
	}
	if len(f.GetRuns()) == 0 {
		return
	}
	a.section("Sessions")
	t := a.newTable(">SESSION", "STATUS", "STARTED", ">TOOK", ">FILES", ">READ", ">SENT", ">STORED", ">READ/S", "LIMITED BY", "|", "FULL")
	for _, r := range f.GetRuns() {
		took := r.GetEnded().AsTime().Sub(r.GetStarted().AsTime())
		rate := ""
		if r.GetStarted() != nil && took > 0 && r.GetReadBytes() > 0 {
			rate = size(int64(float64(r.GetReadBytes()) / took.Seconds()))
		}
		t.row(sessionNumber(r.GetSession()), r.GetStatus(), a.stamp(r.GetStarted()), a.took(r.GetStarted(), r.GetEnded()), count(r.GetFiles()),
			size(r.GetReadBytes()), size(r.GetSentBytes()), size(r.GetStoredBytes()), rate, limitedBy(r.GetLimits()), onlyYes(r.GetFull()))
	}
	t.print()
}

func (a *app) figureTable(f *keepwardv1.JobFigures) {
	took := func(n int64) string { return span(time.Duration(n) * time.Millisecond) }
	t := a.newTable("", ">LAST", ">LEAST", ">MEAN", ">MOST", ">TREND")
	for _, row := range []struct {
		name string
		f    *keepwardv1.Figure
		show func(int64) string
	}{
		{"duration", f.GetDurationMillis(), took},
		{"read", f.GetReadBytes(), size},
		{"sent", f.GetSentBytes(), size},
		{"stored", f.GetStoredBytes(), size},
		{"read a second", f.GetBytesPerSecond(), size},
	} {
		if row.f == nil {
			continue
		}
		t.row(row.name, row.show(row.f.GetLast()), row.show(row.f.GetLeast()), row.show(row.f.GetMean()), row.show(row.f.GetMost()), trend(row.f))
	}
	t.print()
}

// trend is how a measure changes, with its direction; empty where there are too few runs.
func trend(f *keepwardv1.Figure) string {
	if f.Trend == nil {
		return ""
	}
	return fmt.Sprintf("%+d %%", f.GetTrend())
}
