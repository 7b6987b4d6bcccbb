package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/gate"
	"keepward/internal/schedule"
)

func (a *app) windowCommand() *cobra.Command {
	cmd := a.noun("window", "When sessions may run",
		"A window is hours of the week in which sessions may run. What it concerns stays in the queue while it is closed, and is\nstopped when it closes, unless the window lets it finish. All windows that concern a session must be open.")
	cmd.AddCommand(a.windowList(), a.windowSet(), a.windowDelete())
	return cmd
}

func (a *app) windowList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the windows, and whether they are open", Example: "  keepward window list", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.queue.ListWindows, &keepwardv1.ListWindowsRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.windowTable(m.GetWindows()) })
		}),
	}
}

func (a *app) windowTable(list []*keepwardv1.Window) {
	t := a.newTable("NAME", "STATE", "UNTIL", "OPEN", "CLOSED", "ZONE", "FOR", "ACTIVITIES", "|", "FINISH", "DO NOT SUBMIT", "DESCRIPTION")
	for _, w := range list {
		state, until := "closed", "changed"
		if w.GetIsOpen() {
			state = "open"
		}
		if w.GetChange() != nil {
			until = a.stamp(w.GetChange())
		}
		t.row(w.GetName(), state, until, orAll(w.GetOpen(), "always"), strings.Join(w.GetClosed(), "; "), w.GetZone(), orAll(windowFor(w), "the server"),
			orAll(w.GetActivities(), "all"), yesNo(w.GetFinish()), yesNo(w.GetDoNotSubmit()), w.GetDescription())
	}
	t.print()
}

// windowFor is whom a window concerns.
func windowFor(w *keepwardv1.Window) []string {
	list := slices.Clone(w.GetComputers())
	for _, g := range w.GetGroups() {
		list = append(list, "group "+g)
	}
	return list
}

// orAll is a list, or what an empty one means.
func orAll(list []string, all string) string {
	if len(list) == 0 {
		return all
	}
	return strings.Join(list, "; ")
}

func (a *app) windowSet() *cobra.Command {
	w := &keepwardv1.Window{}
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Make a window, or change one",
		Long: "Makes a window, or changes what is given of the one of that name. Hours are days, times or both: " + strings.Join(schedule.HoursExamples, "; ") + ".\n" +
			"Without --open it is open always, but for --closed.",
		Example: "  keepward window set night --open \"mon-fri 20:00-06:00\" --open sat,sun --activity data-protection --zone Europe/Paris\n" +
			"  keepward window set office --closed \"mon-fri 08:00-18:00\" --computer web1 --finish",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(windowNames),
	}
	f := cmd.Flags()
	f.StringArrayVar(&w.Open, "open", nil, "hours in which it is open; may be repeated")
	f.StringArrayVar(&w.Closed, "closed", nil, "hours in which it is closed all the same; may be repeated")
	f.StringVar(&w.Zone, "zone", "", "time zone of the hours, for instance Europe/Paris (default: that of the server)")
	f.StringSliceVar(&w.Computers, "computer", nil, "only for this computer; may be repeated")
	f.StringSliceVar(&w.Groups, "group", nil, "only for the computers of this group; may be repeated")
	f.StringSliceVar(&w.Activities, "activity", nil, "only for this activity; may be repeated: "+strings.Join(gate.ActivityNames(), ", "))
	f.BoolVar(&w.Finish, "finish", false, "what runs when it closes may run on")
	f.BoolVar(&w.DoNotSubmit, "do-not-submit", false, "while it is closed, schedules of jobs start nothing that it concerns")
	f.StringVar(&w.Description, "description", "", "a remark for people")
	noError(cmd.RegisterFlagCompletionFunc("computer", a.completeFlag(computerNames)))
	noError(cmd.RegisterFlagCompletionFunc("group", a.completeFlag(groupNames)))
	noError(cmd.RegisterFlagCompletionFunc("activity", cobra.FixedCompletions(gate.ActivityNames(), cobra.ShellCompDirectiveNoFileComp)))
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		list, err := call(ctx, c.queue.ListWindows, &keepwardv1.ListWindowsRequest{})
		if err != nil {
			return err
		}
		m, err := call(ctx, c.queue.SaveWindow, &keepwardv1.SaveWindowRequest{Window: changedWindow(cmd, w, args[0], list.GetWindows())})
		if err != nil {
			return err
		}
		return a.print(m, func() {
			a.windowTable([]*keepwardv1.Window{m.GetWindow()})
			a.warnings(m.GetWarnings())
		})
	})
	return cmd
}

// changedWindow is the window of a name with the flags that were written put into it.
func changedWindow(cmd *cobra.Command, w *keepwardv1.Window, name string, list []*keepwardv1.Window) *keepwardv1.Window {
	to := &keepwardv1.Window{Name: name}
	for _, had := range list {
		if had.GetName() == name {
			to = had
		}
	}
	for flag, set := range map[string]func(){
		"open":          func() { to.Open = w.Open },
		"closed":        func() { to.Closed = w.Closed },
		"zone":          func() { to.Zone = w.Zone },
		"computer":      func() { to.Computers = w.Computers },
		"group":         func() { to.Groups = w.Groups },
		"activity":      func() { to.Activities = w.Activities },
		"finish":        func() { to.Finish = w.Finish },
		"do-not-submit": func() { to.DoNotSubmit = w.DoNotSubmit },
		"description":   func() { to.Description = w.Description },
	} {
		if cmd.Flags().Changed(flag) {
			set()
		}
	}
	return to
}

func (a *app) windowDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a window", Example: "  keepward window delete night",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(windowNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.queue.DeleteWindow, &keepwardv1.DeleteWindowRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("window %s is deleted; what only it kept in the queue starts now", args[0]) })
		}),
	}
}

func windowNames(ctx context.Context, c *client) ([]string, error) {
	m, err := call(ctx, c.queue.ListWindows, &keepwardv1.ListWindowsRequest{})
	return namesOf(m.GetWindows()), err
}

// warnings tells what the server did and found odd.
func (a *app) warnings(list []string) {
	for _, text := range list {
		a.remark("warning: %s", text)
	}
}
