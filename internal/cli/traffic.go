package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	rates "keepward/internal/rate"
	"keepward/internal/schedule"
)

func (a *app) trafficCommand() *cobra.Command {
	cmd := a.noun("traffic", "How fast data may move over the network",
		"A traffic rule bounds what moves between two ranges of addresses, in either direction. The tasks under it share it fairly, at\nonce when tasks come or go or the rule is changed. A task under several is held to all of them. Restores are exempt unless\nthe rule says otherwise.")
	cmd.AddCommand(a.trafficList(), a.trafficShow(), a.trafficWatch(), a.trafficSet(), a.trafficDelete())
	return cmd
}

func (a *app) trafficList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the traffic rules, and what moves under them now", Example: "  keepward traffic list", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.traffic.ListTrafficRules, &keepwardv1.ListTrafficRulesRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.trafficTable(m.GetRules()) })
		}),
	}
}

func (a *app) trafficTable(list []*keepwardv1.TrafficRule) {
	t := a.newTable("NAME", "SOURCE", "TARGET", ">LIMIT", "STATE", "HOURS", ">TASKS", ">MOVING", "|", "UNTIL", "ZONE", "RESTORES", "DESCRIPTION")
	for _, r := range list {
		state := "off"
		if r.GetHolds() {
			state = "holds"
		}
		t.row(r.GetName(), orAll(r.GetSource(), "any"), orAll(r.GetTarget(), "any"), r.GetLimit(), state, orAll(r.GetHours(), "always"),
			count(int64(len(r.GetTasks()))), rates.Format(r.GetMovingBytesPerSecond()), a.stamp(r.GetChange()), r.GetZone(), yesNo(r.GetRestores()), r.GetDescription())
	}
	t.print()
}

func (a *app) trafficShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a traffic rule and the share of each task under it", Example: "  keepward traffic show branch",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(trafficNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.traffic.ListTrafficRules, &keepwardv1.ListTrafficRulesRequest{Name: args[0]})
			if err != nil {
				return err
			}
			r := m.GetRules()[0]
			return a.print(r, func() { a.showTraffic(r) })
		}),
	}
}

func (a *app) showTraffic(r *keepwardv1.TrafficRule) {
	a.fields("name", r.GetName(), "description", r.GetDescription(), "source", orAll(r.GetSource(), "any"), "target", orAll(r.GetTarget(), "any"),
		"limit", r.GetLimit(), "hours", orAll(r.GetHours(), "always"), "zone", r.GetZone(), "holds now", yesNo(r.GetHolds()), "until", a.stamp(r.GetChange()),
		"restores too", yesNo(r.GetRestores()), "disabled", onlyYes(r.GetDisabled()), "moving", rates.Format(r.GetMovingBytesPerSecond()))
	a.section("Tasks")
	t := a.newTable(">SESSION", "COMPUTER", ">SHARE", ">MOVING", "BOUND BY", "|", "TASK")
	for _, k := range r.GetTasks() {
		share := "none"
		if n := k.GetRate().GetNetwork(); n > 0 {
			share = rates.Format(n)
		}
		t.row(sessionNumber(k.GetSession()), k.GetComputer(), share, rates.Format(k.GetRate().GetMoving()), k.GetRate().GetRule(), k.GetTask())
	}
	t.print()
}

// trafficEvery is how often shares are shown anew: as often as they are made out.
const trafficEvery = time.Second

func (a *app) trafficWatch() *cobra.Command {
	var times int
	cmd := &cobra.Command{
		Use: "watch [NAME]", Short: "Show every second what moves under traffic rules", Example: "  keepward traffic watch\n  keepward traffic watch branch --times 10 -o json",
		Args: between(0, "NAME"), ValidArgsFunction: a.complete(trafficNames),
	}
	cmd.Flags().IntVar(&times, "times", 0, "end after so many (default: when interrupted)")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		tick := time.NewTicker(trafficEvery)
		defer tick.Stop()
		for n := 1; ; n++ {
			m, err := call(ctx, c.traffic.ListTrafficRules, &keepwardv1.ListTrafficRulesRequest{Name: strings.Join(args, "")})
			if err != nil {
				return err
			}
			err = a.print(m, func() {
				for _, r := range m.GetRules() {
					fmt.Fprintln(a.out, a.trafficLine(r))
				}
			})
			if err != nil || n == times {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
	})
	return cmd
}

func (a *app) trafficLine(r *keepwardv1.TrafficRule) string {
	text := fmt.Sprintf("%s: %s of %s", r.GetName(), rates.Format(r.GetMovingBytesPerSecond()), r.GetLimit())
	if !r.GetHolds() {
		text += " (does not hold now)"
	}
	for _, k := range r.GetTasks() {
		text += fmt.Sprintf("; session %d %s %s", k.GetSession(), k.GetComputer(), rates.Format(k.GetRate().GetMoving()))
	}
	return text
}

func (a *app) trafficSet() *cobra.Command {
	r := &keepwardv1.TrafficRule{}
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Make a traffic rule, or change one",
		Long: "Makes a traffic rule, or changes what is given of the one of that name. It holds for what runs when the command ends. A range is an\n" +
			"address, a network such as 10.1.0.0/16, or any. A limit is " + strings.Join(rates.Examples, ", ") + " or the like, for all\n" +
			"tasks under the rule together. Hours are days, times or both: " + strings.Join(schedule.HoursExamples, "; ") + ".",
		Example: "  keepward traffic set branch --source 10.1.0.0/16 --target 10.9.0.0/24 --limit 40Mbit/s\n" +
			"  keepward traffic set office --limit 5MB/s --hours \"mon-fri 08:00-18:00\" --zone Europe/Paris",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(trafficNames),
	}
	f := cmd.Flags()
	f.StringSliceVar(&r.Source, "source", nil, "range that one end is in; may be repeated (default: any)")
	f.StringSliceVar(&r.Target, "target", nil, "range that the other end is in; may be repeated (default: any)")
	f.StringVar(&r.Limit, "limit", "", "what may move, such as 40Mbit/s or 5MB/s")
	f.StringArrayVar(&r.Hours, "hours", nil, "hours in which it holds; may be repeated (default: always)")
	f.StringVar(&r.Zone, "zone", "", "time zone of the hours, for instance Europe/Paris (default: that of the server)")
	f.BoolVar(&r.Restores, "restores", false, "it holds for restores too")
	f.BoolVar(&r.Disabled, "disabled", false, "it does not hold for now")
	f.StringVar(&r.Description, "description", "", "a remark for people")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		list, err := call(ctx, c.traffic.ListTrafficRules, &keepwardv1.ListTrafficRulesRequest{})
		if err != nil {
			return err
		}
		m, err := call(ctx, c.traffic.SaveTrafficRule, &keepwardv1.SaveTrafficRuleRequest{Rule: changedTraffic(cmd, r, args[0], list.GetRules())})
		if err != nil {
			return err
		}
		return a.print(m, func() {
			a.trafficTable([]*keepwardv1.TrafficRule{m.GetRule()})
			a.warnings(m.GetWarnings())
		})
	})
	return cmd
}

// changedTraffic is the rule of a name with the flags that were written put into it.
func changedTraffic(cmd *cobra.Command, r *keepwardv1.TrafficRule, name string, list []*keepwardv1.TrafficRule) *keepwardv1.TrafficRule {
	to := &keepwardv1.TrafficRule{Name: name}
	for _, had := range list {
		if had.GetName() == name {
			to = had
		}
	}
	for flag, set := range map[string]func(){
		"source":      func() { to.Source = r.Source },
		"target":      func() { to.Target = r.Target },
		"limit":       func() { to.Limit = r.Limit },
		"hours":       func() { to.Hours = r.Hours },
		"zone":        func() { to.Zone = r.Zone },
		"restores":    func() { to.Restores = r.Restores },
		"disabled":    func() { to.Disabled = r.Disabled },
		"description": func() { to.Description = r.Description },
	} {
		if cmd.Flags().Changed(flag) {
			set()
		}
	}
	return to
}

func (a *app) trafficDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a traffic rule", Example: "  keepward traffic delete branch",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(trafficNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.traffic.DeleteTrafficRule, &keepwardv1.DeleteTrafficRuleRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("traffic rule %s is deleted; what it held up goes on at once", args[0]) })
		}),
	}
}

func trafficNames(ctx context.Context, c *client) ([]string, error) {
	m, err := call(ctx, c.traffic.ListTrafficRules, &keepwardv1.ListTrafficRulesRequest{})
	return namesOf(m.GetRules()), err
}

// ratesOf says what bounds a session's tasks, a line each.
func ratesOf(s *keepwardv1.Session) []string {
	var out []string
	for _, t := range s.GetTasks() {
		r := t.GetRate()
		if r == nil {
			continue
		}
		var parts []string
		if r.GetNetwork() > 0 {
			parts = append(parts, fmt.Sprintf("network %s by traffic rule %s", rates.Format(r.GetNetwork()), r.GetRule()))
		}
		if r.GetRead() > 0 {
			parts = append(parts, "reads "+size(r.GetRead())+"/s by its repository")
		}
		if r.GetWrite() > 0 {
			parts = append(parts, "writes "+size(r.GetWrite())+"/s by its repository")
		}
		name := t.GetComputer()
		if name == "" {
			name = "task"
		}
		out = append(out, name, strings.Join(parts, ", ")+"; moves "+rates.Format(r.GetMoving()))
	}
	return out
}
