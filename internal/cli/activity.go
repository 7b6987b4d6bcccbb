package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/gate"
)

func (a *app) activityCommand() *cobra.Command {
	cmd := a.noun("activity", "Switch sorts of work off and on",
		"What is switched off for the server or for a computer stays in the queue until it is switched on. What runs goes on.")
	cmd.AddCommand(a.activityList(), a.activitySwitch("disable", "Switch activities off", true), a.activitySwitch("enable", "Switch activities on again", false))
	return cmd
}

func (a *app) activityList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List activities, and where they are switched off", Example: "  keepward activity list", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.queue.ListActivities, &keepwardv1.ListActivitiesRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() {
				t := a.newTable("ACTIVITY", "WHAT IT IS")
				for _, row := range m.GetActivities() {
					t.row(row.GetName(), row.GetMeaning())
				}
				t.print()
				a.disabledTable(m.GetDisabled())
			})
		}),
	}
}

func (a *app) disabledTable(list []*keepwardv1.DisabledActivity) {
	if len(list) == 0 {
		a.remark("no activity is switched off")
		return
	}
	a.section("Switched off")
	t := a.newTable("ACTIVITY", "FOR", "SINCE", "UNTIL", "BY")
	for _, d := range list {
		until := a.stamp(d.GetUntil())
		if until == "" {
			until = "switched on"
		}
		t.row(d.GetActivity(), d.GetLevel(), a.stamp(d.GetSince()), until, d.GetUser())
	}
	t.print()
}

func (a *app) activitySwitch(name, short string, off bool) *cobra.Command {
	req := &keepwardv1.SetActivityRequest{Disabled: off}
	var computer, group string
	var after duration
	var all bool
	cmd := &cobra.Command{
		Use: name + " ACTIVITY...", Short: short, Example: "  keepward activity " + name + " data-protection --computer web1\n  keepward activity " + name + " --all",
		Args: cobra.ArbitraryArgs, ValidArgs: gate.ActivityNames(),
	}
	if off {
		cmd.Example += "\n  keepward activity disable retention --for 2h"
		cmd.Flags().Var(&after, "for", "switch it on again by itself after this time, for instance 2h")
	}
	cmd.Flags().StringVar(&computer, "computer", "", "only for this computer (default: the whole server)")
	cmd.Flags().StringVar(&group, "group", "", "only for the computers of this group")
	cmd.Flags().BoolVar(&all, "all", false, "all activities")
	cmd.MarkFlagsMutuallyExclusive("computer", "group")
	noError(cmd.RegisterFlagCompletionFunc("group", a.completeFlag(groupNames)))
	noError(cmd.RegisterFlagCompletionFunc("computer", a.completeFlag(computerNames)))
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		if all == (len(args) > 0) {
			return usage("%s wants activities, or --all", cmd.CommandPath()).WithHint("for instance: %s", firstExample(cmd))
		}
		req.Activities, req.Level = args, gate.Whole.String()
		if computer != "" {
			req.Level = gate.Level{Kind: gate.Computer, Name: computer}.String()
		} else if group != "" {
			req.Level = gate.Level{Kind: gate.Group, Name: group}.String()
		}
		if after > 0 {
			req.Time = durationpb.New(time.Duration(after))
		}
		m, err := call(ctx, c.queue.SetActivity, req)
		if err != nil {
			return err
		}
		return a.print(m, func() { a.disabledTable(m.GetDisabled()) })
	})
	return cmd
}

func (a *app) limitCommand() *cobra.Command {
	cmd := a.noun("limit", "How many sessions run at once",
		"A limit keeps sessions in the queue while so many of the server, a group, a computer or a repository run. What waits for\nresources is not counted.")
	cmd.AddCommand(a.limitList(), a.limitSet())
	return cmd
}

func (a *app) limitList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the limits and how they stand", Example: "  keepward limit list", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.queue.ListLimits, &keepwardv1.ListLimitsRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.limitTable(m.GetLimits()) })
		}),
	}
}

func (a *app) limitTable(list []*keepwardv1.SessionLimit) {
	t := a.newTable("FOR", ">SESSIONS", ">RUNNING", ">WAITING")
	for _, l := range list {
		t.row(l.GetLevel(), strconv.Itoa(int(l.GetSessions())), strconv.Itoa(int(l.GetRunning())), strconv.Itoa(int(l.GetWaiting())))
	}
	t.print()
}

func (a *app) limitSet() *cobra.Command {
	return &cobra.Command{
		Use: "set LEVEL SESSIONS", Short: "Set how many sessions run at once",
		Long:    "Sets how many sessions of the server, of group/NAME, computer/NAME or repository/NAME run at once; 0: any number.",
		Example: "  keepward limit set server 20\n  keepward limit set computer/web1 1\n  keepward limit set repository/main 0",
		Args:    exactly("LEVEL", "SESSIONS"),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			n, err := strconv.ParseInt(args[1], 10, 32)
			if err != nil {
				return usage("%q is no number of sessions", args[1])
			}
			m, err := call(ctx, c.queue.SetLimit, &keepwardv1.SetLimitRequest{Level: args[0], Sessions: int32(n)})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.limitTable(m.GetLimits()) })
		}),
	}
}
