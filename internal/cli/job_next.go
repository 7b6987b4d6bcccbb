package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

func (a *app) jobNext() *cobra.Command {
	var n, ahead int32
	cmd := &cobra.Command{
		Use: "next [NAME]", Short: "Show when a job runs next, or all of them",
		Long: "Shows the coming runs of a job by its schedule, or, without a name, those of all jobs in the next 24 hours. UNTIL is when the\n" +
			"last of its computers starts, if they are spread over some time. A job that follows another one is shown with the runs of the\n" +
			"first job of the chain. ABOUT is how long the last sessions of a job took, in the median.",
		Example: "  keepward job next docs --count 10\n  keepward job next --hours 72 --count 50",
		Args:    between(0, "NAME"), ValidArgsFunction: a.complete(jobNames),
	}
	cmd.Flags().Int32VarP(&n, "count", "n", 5, "how many runs")
	cmd.Flags().Int32Var(&ahead, "hours", 24, "without a name: up to so many hours ahead, 168 at most")
	cmd.Flags().Int32Var(&n, "number", 5, "how many runs")
	noError(cmd.Flags().MarkHidden("number")) // what it was called before
	hours := cmd.Flags().Lookup("hours")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		if n < 1 {
			return usage("--count is the number of runs to show; it must be 1 or more, not %d", n)
		}
		if len(args) > 0 && hours.Changed {
			return usage("--hours is for the runs of all jobs; of one, say --count")
		}
		if len(args) == 0 {
			m, err := call(ctx, c.status.ListHours, &keepwardv1.ListHoursRequest{Ahead: ahead, Runs: n})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.showComing(m, ahead) })
		}
		m, err := call(ctx, c.jobs.GetJob, &keepwardv1.GetJobRequest{Name: args[0], NextRuns: n})
		if err != nil {
			return err
		}
		return a.print(m, func() { a.showNext(args[0], m) })
	})
	return cmd
}

func (a *app) showComing(m *keepwardv1.ListHoursResponse, ahead int32) {
	if len(m.GetRuns()) == 0 {
		a.remark("no schedule starts a job in the next %s", words.Plural(int64(ahead), "hour"))
		return
	}
	t := a.newTable("NEXT RUN", "IN", "JOB", "TYPE", "AFTER JOB", ">ABOUT")
	for _, r := range m.GetRuns() {
		about := ""
		if r.GetAboutSeconds() > 0 {
			about = span(time.Duration(r.GetAboutSeconds()) * time.Second)
		}
		at := r.GetRun()
		t.row(a.stamp(at.GetTime()), a.until(at.GetTime()), r.GetJob(), r.GetType(), at.GetAfter(), about)
	}
	t.print()
	if more := m.GetFound() - int64(len(m.GetRuns())); more > 0 {
		a.remark("and %s in the next %s: --count %d", words.Plural(more, "more run"), words.Plural(int64(ahead), "hour"), min(m.GetFound(), 1000))
	}
}

func (a *app) showNext(name string, m *keepwardv1.GetJobResponse) {
	runs := m.GetComing()
	switch {
	case m.GetWhen() != "":
		a.remark("job %s runs %s", name, m.GetWhen())
	case len(runs) == 0:
		a.remark("job %s does not run by itself: it has no schedule or is disabled", name)
	}
	a.warnings(m.GetWarnings())
	if len(runs) == 0 {
		return
	}
	columns := []struct {
		title string
		value func(*keepwardv1.NextRun) string
	}{
		{"NEXT RUN", func(r *keepwardv1.NextRun) string { return a.stamp(r.GetTime()) }},
		{"IN", func(r *keepwardv1.NextRun) string { return a.until(r.GetTime()) }},
		{"UNTIL", func(r *keepwardv1.NextRun) string { return a.stamp(r.GetUntil()) }},
		{"AFTER JOB", (*keepwardv1.NextRun).GetAfter},
		{"ZONE", (*keepwardv1.NextRun).GetZone},
		{"COMPUTERS", func(r *keepwardv1.NextRun) string { return few(r.GetComputers()) }},
	}
	var titles []string
	cells := make([][]string, len(runs))
	for i, c := range columns {
		values, some := make([]string, len(runs)), i < 2
		for k, r := range runs {
			values[k] = c.value(r)
			some = some || values[k] != ""
		}
		if !some {
			continue // a column that says nothing is left out
		}
		titles = append(titles, c.title)
		for k := range runs {
			cells[k] = append(cells[k], values[k])
		}
	}
	t := a.newTable(titles...)
	for _, row := range cells {
		t.row(row...)
	}
	t.print()
}

// until is the time from now to a moment.
func (a *app) until(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return span(t.AsTime().Sub(a.now()))
}
