package cli

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) computerCommand() *cobra.Command {
	cmd := a.noun("computer", "Protected computers", "A computer appears here when its agent has joined (see 'keepward token create'), or is paired with 'computer add'.")
	cmd.AddCommand(a.computerList(), a.computerShow(), a.computerDays(), a.computerAdd(), a.computerEdit(), a.computerConnectTest(), a.computerUpdate(), a.rolloutCommand(), a.computerRemove())
	return cmd
}

func (a *app) computerList() *cobra.Command {
	var view, group string
	cmd := &cobra.Command{
		Use: "list", Short: "List computers",
		Long: "Lists all computers, or those of a view: offline; out-of-date, the agent is older than the server; untrusted, named by a group\n" +
			"but not joined, or shut out; unprotected, in no enabled job, or without a restore point for the days of the setting unprotected_days.",
		Example: "  keepward computer list -o wide\n  keepward computer list --view unprotected\n  keepward computer list --group web", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.computers.ListComputers, &keepwardv1.ListComputersRequest{View: view, Group: group})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.computerTable(m.GetComputers()) })
		}),
	}
	cmd.Flags().StringVar(&view, "view", "", "only computers that need attention: "+strings.Join(computerViews, ", "))
	cmd.Flags().StringVar(&group, "group", "", "only members of this group")
	noError(cmd.RegisterFlagCompletionFunc("view", cobra.FixedCompletions(computerViews, cobra.ShellCompDirectiveNoFileComp)))
	noError(cmd.RegisterFlagCompletionFunc("group", a.completeFlag(groupNames)))
	return cmd
}

func (a *app) computerTable(list []*keepwardv1.Computer) {
	t := a.newTable("NAME", "STATUS", "SYSTEM", "LAST POINT", "NOTES", "|", "HOST", "ADDRESS", "AGENT", "LAST SEEN", "JOINED", "TAGS", "GROUPS", "VIEWS")
	for _, c := range list {
		t.row(c.GetName(), c.GetStatus(), system(c), a.stamp(c.GetLastPoint()), notes(c.GetConditions()),
			c.GetHostname(), c.GetAddress(), c.GetAgentVersion(), a.stamp(c.GetLastSeen()), a.stamp(c.GetJoined()),
			strings.Join(c.GetTags(), ", "), strings.Join(c.GetGroups(), ", "), strings.Join(c.GetViews(), ", "))
	}
	t.print()
}

func system(c *keepwardv1.Computer) string {
	return strings.Trim(c.GetOs()+"/"+c.GetArch(), "/")
}

// notes are the lasting problems of something, in one cell.
func notes(list []*keepwardv1.Condition) string {
	texts := make([]string, len(list))
	for i, c := range list {
		texts[i] = c.GetText()
	}
	return strings.Join(texts, "; ")
}

func (a *app) conditionTable(list []*keepwardv1.Condition) {
	t := a.newTable("SEVERITY", "WHAT", "PROBLEM", "SINCE", "|", "CODE", "HINT")
	for _, c := range list {
		t.row(c.GetSeverity(), c.GetSubject(), c.GetText(), a.stamp(c.GetSince()), c.GetCode(), c.GetHint())
	}
	t.print()
}

func (a *app) computerShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a computer, its jobs and its newest restore points",
		Example: "  keepward computer show web1", Args: exactly("NAME"), ValidArgsFunction: a.complete(computerNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.computers.GetComputer, &keepwardv1.GetComputerRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.showComputer(m) })
		}),
	}
}

// shownPoints is how many restore points a computer is shown with.
const shownPoints = 10

func (a *app) showComputer(m *keepwardv1.GetComputerResponse) {
	c := m.GetComputer()
	a.fields("name", c.GetName(), "status", c.GetStatus(), "system", system(c), "host", c.GetHostname(), "time zone", c.GetZone(), "address", c.GetAddress(),
		"agent", c.GetAgentVersion(), "joined", a.stamp(c.GetJoined()), "last seen", a.stamp(c.GetLastSeen()), "clock", skew(c.GetSkew()),
		"tags", strings.Join(c.GetTags(), ", "), "groups", strings.Join(c.GetGroups(), ", "), "views", strings.Join(c.GetViews(), ", "),
		"connection", connectionText(c.GetConnection()), "dialled by", c.GetDialledBy(), "supply", supplyText(c.GetSupply()), "not reached", c.GetControlError())
	if len(c.GetConditions()) > 0 {
		a.section("Problems")
		a.conditionTable(c.GetConditions())
	}
	a.showInventory(m.GetInventory())
	if len(m.GetJobs()) > 0 {
		a.section("Jobs")
		a.jobTable(m.GetJobs())
	}
	if points := m.GetPoints(); len(points) > 0 {
		a.section(fmt.Sprintf("Restore points (the newest of %d)", len(points)))
		a.pointTable(points[:min(len(points), shownPoints)])
	}
}

func skew(d *durationpb.Duration) string {
	v := d.AsDuration()
	switch {
	case d == nil || v.Abs().Seconds() < 1:
		return ""
	case v > 0:
		return span(v) + " ahead of the server"
	}
	return span(-v) + " behind the server"
}

func (a *app) computerRemove() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Remove a computer; its restore points stay",
		Long:    "Revokes the certificate of the computer's agent at once. Its restore points stay and can be restored to others.",
		Example: "  keepward computer remove web1", Args: exactly("NAME"), ValidArgsFunction: a.complete(computerNames),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		if !yes && !a.confirm("Remove computer %s? Its agent is locked out at once.", args[0]) {
			return usage("computer %s is left as it is", args[0])
		}
		had, err := call(ctx, c.jobs.ListJobs, &keepwardv1.ListJobsRequest{})
		if err != nil {
			return err
		}
		m, err := call(ctx, c.computers.RemoveComputer, &keepwardv1.RemoveComputerRequest{Name: args[0]})
		if err != nil {
			return err
		}
		return a.print(m, func() {
			a.remark("computer %s is removed; its restore points stay", args[0])
			for _, j := range had.GetJobs() {
				switch {
				case slices.Equal(j.GetComputers(), args) && len(j.GetGroups()) == 0:
					a.remark("job %s has no computer left and is disabled", j.GetName())
				case slices.Contains(j.GetComputers(), args[0]):
					a.remark("job %s goes on without it", j.GetName())
				}
			}
		})
	})
	return cmd
}

// confirm asks a person. A script is not asked: what it runs is what it means.
func (a *app) confirm(format string, args ...any) bool {
	if _, ok := terminal(a.in); !ok {
		return true
	}
	fmt.Fprint(a.errOut, safe(fmt.Sprintf(format, args...)), " [y/N] ")
	line, err := bufio.NewReader(a.in).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return err == nil && (answer == "y" || answer == "yes")
}
