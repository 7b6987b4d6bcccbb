package cli

import (
	"context"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

func (a *app) repositoryDays() *cobra.Command {
	var days int32
	cmd := &cobra.Command{
		Use: "days NAME", Short: "Show how full a repository was, day by day, and when it will be full",
		Long: `Shows how much a repository held and how much of its disk was free when it was first looked at on each day, of UTC, and when it is full if it goes on as it did over up to 30 days.

What else is put on the same disk counts as growth: it takes the same space.`,
		Example: "  keepward repository days main\n  keepward repository days main --days 365 -o json", Args: exactly("NAME"), ValidArgsFunction: a.complete(repositoryNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.repositories.ListRepositoryDays, &keepwardv1.ListRepositoryDaysRequest{Name: args[0], Days: days})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.showRepositoryDays(m) })
		}),
	}
	cmd.Flags().Int32Var(&days, "days", 90, "how many days, up to 400")
	return cmd
}

func (a *app) showRepositoryDays(m *keepwardv1.ListRepositoryDaysResponse) {
	a.fields("growth", words.Growth(m.GetGrowth()), "full about", words.FullAbout(m.GetGrowth()))
	a.section("Use")
	t := a.newTable("DAY", ">SIZE", ">FREE", ">MORE THAN BEFORE")
	for i, d := range m.GetDays() {
		more := "–"
		if i > 0 {
			more = words.Change(d.GetSizeBytes() - m.GetDays()[i-1].GetSizeBytes())
		}
		t.row(d.GetDay(), size(d.GetSizeBytes()), size(d.GetFreeBytes()), more)
	}
	t.print()
}
