package cli

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) jobNext() *cobra.Command {
	var n int32
	cmd := &cobra.Command{
		Use: "next NAME", Short: "Show when a job runs next",
		Long: "Shows the coming runs of a job by its schedule. UNTIL is when the last of its computers starts, if they are spread\n" +
			"over some time. A job that follows another one is shown with the runs of the first job of the chain.",
		Example: "  keepward job next docs --count 10",
		Args:    exactly("NAME"), ValidArgsFunction: a.complete(jobNames),
	}
	cmd.Flags().Int32VarP(&n, "count", "n", 5, "how many runs")
	cmd.Flags().Int32Var(&n, "number", 5, "how many runs")
	noError(cmd.Flags().MarkHidden("number")) // what it was called before
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		if n < 1 {
			return usage("--count is the number of runs to show; it must be 1 or more, not %d", n)
		}
		m, err := call(ctx, c.jobs.GetJob, &keepwardv1.GetJobRequest{Name: args[0], NextRuns: n})
		if err != nil {
			return err
		}
		return a.print(m, func() { a.showNext(args[0], m) })
	})
	return cmd
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
