package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) reportCommand() *cobra.Command {
	cmd := a.noun("report", "Reports on a day or a week", "A report says how the site, or the computers of a group, stood over a day or a week: sessions, what failed, what needs attention,\n"+
		"computers day by day as a picture, and repositories with when they are full. It goes to targets by a schedule.")
	cmd.AddCommand(a.reportList(), a.reportSet(), a.reportShow(), a.reportSend(), a.reportDelete())
	return cmd
}

func (a *app) reportTable(list []*keepwardv1.Report) {
	t := a.newTable("NAME", "PERIOD", "SCHEDULE", "ABOUT", "TARGETS", "STATE", "NEXT", "|", "CHANGED", "DESCRIPTION")
	for _, r := range list {
		state, about := "on", "all"
		if r.GetDisabled() {
			state = "off"
		}
		if r.GetGroup() != "" {
			about = "group " + r.GetGroup()
		}
		t.row(r.GetName(), r.GetPeriod(), r.GetSchedule(), about, strings.Join(r.GetTargets(), ", "), state, a.stamp(r.GetNext()), a.stamp(r.GetChanged()), r.GetDescription())
	}
	t.print()
}

func (a *app) reportList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List who gets reports, and when", Example: "  keepward notify report list", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.notices.ListReports, &keepwardv1.ListReportsRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.reportTable(m.GetReports()) })
		}),
	}
}

func (a *app) reportSet() *cobra.Command {
	r := &keepwardv1.Report{}
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Make a report, or change one",
		Long: "Makes a report, or changes what is given of the one of that name. It comes at the next moment of its schedule: \"daily 07:00\" of a daily\n" +
			"one, \"weekly mon 07:00\" of a weekly one, if nothing else is given. It covers the day, or the seven days, up to when it is written.",
		Example: "  keepward notify report set morning --target ops\n" +
			"  keepward notify report set shop --period weekly --group shop --target shopkeeper --schedule \"weekly fri 16:00 in Europe/Paris\"",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(reportNames),
	}
	f := cmd.Flags()
	f.StringSliceVar(&r.Targets, "target", nil, "target that it goes to; may be repeated")
	f.StringVar(&r.Period, "period", "", "what it covers: daily or weekly (default: daily)")
	f.StringVar(&r.Schedule, "schedule", "", "when it comes, as the schedule of a job; empty: that of its period")
	f.StringVar(&r.Group, "group", "", "only computers of this group; empty: the whole site")
	f.BoolVar(&r.Disabled, "disabled", false, "it does not come for now")
	f.StringVar(&r.Description, "description", "", "a remark for people")
	noError(cmd.RegisterFlagCompletionFunc("group", a.completeFlag(groupNames)))
	noError(cmd.RegisterFlagCompletionFunc("target", a.completeFlag(targetNames)))
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		list, err := call(ctx, c.notices.ListReports, &keepwardv1.ListReportsRequest{})
		if err != nil {
			return err
		}
		m, err := call(ctx, c.notices.SaveReport, &keepwardv1.SaveReportRequest{Report: changedReport(cmd, r, args[0], list.GetReports())})
		if err != nil {
			return err
		}
		return a.print(m.GetReport(), func() { a.reportTable([]*keepwardv1.Report{m.GetReport()}) })
	})
	return cmd
}

// changedReport is the report of a name with the flags that were written put into it. Another period has
// the schedule of that period, unless one is given.
func changedReport(cmd *cobra.Command, r *keepwardv1.Report, name string, list []*keepwardv1.Report) *keepwardv1.Report {
	to := &keepwardv1.Report{Name: name}
	for _, had := range list {
		if had.GetName() == name {
			to = had
		}
	}
	changed := cmd.Flags().Changed
	if changed("period") && r.Period != to.Period {
		to.Period, to.Schedule = r.Period, ""
	}
	for flag, set := range map[string]func(){
		"target":      func() { to.Targets = r.Targets },
		"schedule":    func() { to.Schedule = r.Schedule },
		"group":       func() { to.Group = r.Group },
		"disabled":    func() { to.Disabled = r.Disabled },
		"description": func() { to.Description = r.Description },
	} {
		if changed(flag) {
			set()
		}
	}
	return to
}

func (a *app) reportShow() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show a report as it would be now", Example: "  keepward notify report show morning\n  keepward notify report show morning --html report.html",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(reportNames),
	}
	cmd.Flags().StringVar(&file, "html", "", "write it to this file as mail shows it, with its picture")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		m, err := call(ctx, c.notices.PreviewReport, &keepwardv1.PreviewReportRequest{Name: args[0]})
		if err != nil {
			return err
		}
		if file != "" {
			picture := []byte("data:image/png;base64," + base64.StdEncoding.EncodeToString(m.GetPicture()))
			if err := os.WriteFile(file, bytes.ReplaceAll([]byte(m.GetHtml()), []byte("cid:days"), picture), 0o600); err != nil {
				return fmt.Errorf("write the report: %w", err)
			}
		}
		return a.print(m, func() { fmt.Fprintf(a.out, "%s\n\n%s", safe(m.GetSubject()), m.GetText()) })
	})
	return cmd
}

func (a *app) reportSend() *cobra.Command {
	return &cobra.Command{
		Use: "send NAME", Short: "Send a report now, beside those that come by themselves", Example: "  keepward notify report send morning",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(reportNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.notices.SendReport, &keepwardv1.SendReportRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("report %s is on its way: keepward notify log", args[0]) })
		}),
	}
}

func (a *app) reportDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a report", Example: "  keepward notify report delete morning",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(reportNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.notices.DeleteReport, &keepwardv1.DeleteReportRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("report %s is deleted", args[0]) })
		}),
	}
}

func reportNames(ctx context.Context, c *client) ([]string, error) {
	m, err := call(ctx, c.notices.ListReports, &keepwardv1.ListReportsRequest{})
	return namesOf(m.GetReports()), err
}
