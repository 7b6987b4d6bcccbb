package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

func (a *app) computerDays() *cobra.Command {
	var group, last string
	var days, limit, skip int32
	cmd := &cobra.Command{
		Use: "days [NAME]", Short: "Show how computers were protected, day by day",
		Long: "Shows what the backups of each day came to, a letter a day, the oldest first: + success, w with warnings, p with errors or ended early (some of it\n" +
			"is not in the restore point), F failed, . none. The best of a day counts. A backup counts for the day on which its session was made; days are those\n" +
			"of UTC. The worst computers come first: those without a restore point for the longest time, then those with the most failed days. HOLE is for how\n" +
			"many days that are over there has been no restore point.",
		Example: "  keepward computer days\n  keepward computer days web1 --days 90\n  keepward computer days --group web --days 7 -o json",
		Args:    between(0, "NAME"),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			req := &keepwardv1.ListProtectionDaysRequest{Last: last, Days: days, Group: group, Limit: limit, Offset: skip}
			if len(args) > 0 {
				req.Computer = args[0]
			}
			m, err := call(ctx, c.protection.ListProtectionDays, req)
			if err != nil {
				return err
			}
			return a.print(m, func() { a.showDays(m, skip) })
		}),
		ValidArgsFunction: a.complete(computerNames),
	}
	cmd.Flags().StringVar(&group, "group", "", "only members of this group")
	cmd.Flags().StringVar(&last, "last", "", "the last day, such as 2026-11-23 (default: today)")
	cmd.Flags().Int32Var(&days, "days", 30, "how many days, up to 400")
	cmd.Flags().Int32Var(&limit, "limit", 50, "how many computers, up to 500")
	cmd.Flags().Int32Var(&skip, "skip", 0, "leave out so many of the worst")
	noError(cmd.RegisterFlagCompletionFunc("group", a.completeFlag(groupNames)))
	return cmd
}

func (a *app) showDays(m *keepwardv1.ListProtectionDaysResponse, skipped int32) {
	t := a.newTable("COMPUTER", ">HOLE", ">FAILED", m.GetFirst()+" TO "+m.GetLast())
	for _, c := range m.GetComputers() {
		t.row(c.GetComputer(), strconv.Itoa(int(c.GetHoleDays())), strconv.Itoa(int(c.GetFailedDays())), words.DayLetters(c.GetResults()))
	}
	t.print()
	if more := m.GetFound() - int64(skipped) - int64(len(m.GetComputers())); more > 0 {
		a.remark("and %d more computers: --skip %d", more, int(skipped)+len(m.GetComputers()))
	}
}
