package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) groupCommand() *cobra.Command {
	cmd := a.noun("group", "Computers that are protected together",
		"A protection group is computers by their names, patterns of names, tags, a file, a list of cloud machines, or the token\nthey joined with. A job with --group takes in whoever is a member when a session of it begins.")
	cmd.AddCommand(a.groupCreate(), a.groupList(), a.groupShow(), a.groupEdit(), a.groupDelete(), a.groupRescan())
	return cmd
}

// groupFlags are the settings of a group that create and edit share.
type groupFlags struct {
	group *keepwardv1.Group
	limit duration
}

func (a *app) groupFlags(cmd *cobra.Command) *groupFlags {
	g := &groupFlags{group: &keepwardv1.Group{}}
	f := cmd.Flags()
	f.StringSliceVar(&g.group.Computers, "computer", nil, "a member by name, joined or not; may be repeated")
	f.StringSliceVar(&g.group.Patterns, "pattern", nil, "all computers whose names match, for instance 'web*'; may be repeated")
	f.StringSliceVar(&g.group.Tags, "tag", nil, "all computers with this tag; may be repeated")
	f.StringSliceVar(&g.group.Exclude, "exclude", nil, "names and patterns of computers that take no part in jobs of the group; may be repeated")
	f.StringVar(&g.group.File, "file", "", "CSV or YAML file on the server that lists members; absolute")
	f.StringVar(&g.group.Command, "command", "", "program in the server's folder for scripts that prints the cloud machines as JSON")
	f.StringArrayVar(&g.group.Arguments, "argument", nil, "an argument of the command; may be repeated")
	f.Var(&g.limit, "time-limit", "how long the command or the URL may take (default 1m)")
	f.StringVar(&g.group.Url, "url", "", "where the cloud machines are to be had as JSON")
	f.StringVar(&g.group.Description, "description", "", "a remark for people")
	noError(cmd.RegisterFlagCompletionFunc("computer", a.completeFlag(computerNames)))
	return g
}

// apply puts the flags that were written into a group.
func (g *groupFlags) apply(cmd *cobra.Command, to *keepwardv1.Group) {
	for name, set := range map[string]func(){
		"computer":    func() { to.Computers = g.group.Computers },
		"pattern":     func() { to.Patterns = g.group.Patterns },
		"tag":         func() { to.Tags = g.group.Tags },
		"exclude":     func() { to.Exclude = g.group.Exclude },
		"file":        func() { to.File = g.group.File },
		"command":     func() { to.Command = g.group.Command },
		"argument":    func() { to.Arguments = g.group.Arguments },
		"time-limit":  func() { to.TimeLimit = durationpb.New(time.Duration(g.limit)) },
		"url":         func() { to.Url = g.group.Url },
		"description": func() { to.Description = g.group.Description },
	} {
		if cmd.Flags().Changed(name) {
			set()
		}
	}
}

func (a *app) groupCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a group",
		Long: "Makes a group of what the flags name, all together. Without any it has the computers that join with a token of it:\n'keepward token create --group NAME'.",
		Example: "  keepward group create web --pattern 'web*' --exclude web9\n  keepward group create lab --file /etc/keepward/lab.csv\n" +
			"  keepward group create cloud --command list-vms --argument eu",
		Args: exactly("NAME"),
	}
	flags := a.groupFlags(cmd)
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		g := &keepwardv1.Group{Name: args[0]}
		flags.apply(cmd, g)
		m, err := call(ctx, c.groups.CreateGroup, &keepwardv1.CreateGroupRequest{Group: g})
		if err != nil {
			return err
		}
		return a.print(m.GetState(), func() { a.showGroup(m.GetState()) })
	})
	return cmd
}

func (a *app) groupEdit() *cobra.Command {
	cmd := &cobra.Command{
		Use: "edit NAME", Short: "Change a group", Long: "Changes what the flags name and leaves the rest. A list that is given replaces the old one; '' empties it.",
		Example: "  keepward group edit web --exclude web9,web10\n  keepward group edit lab --file ''",
		Args:    exactly("NAME"), ValidArgsFunction: a.complete(groupNames),
	}
	flags := a.groupFlags(cmd)
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		had, err := call(ctx, c.groups.GetGroup, &keepwardv1.GetGroupRequest{Name: args[0]})
		if err != nil {
			return err
		}
		g := had.GetState().GetGroup()
		flags.apply(cmd, g)
		m, err := call(ctx, c.groups.UpdateGroup, &keepwardv1.UpdateGroupRequest{Group: g})
		if err != nil {
			return err
		}
		return a.print(m.GetState(), func() { a.showGroup(m.GetState()) })
	})
	return cmd
}

func (a *app) groupList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the groups", Example: "  keepward group list -o wide", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.groups.ListGroups, &keepwardv1.ListGroupsRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() {
				t := a.newTable("NAME", "MEMBERS", "NOT JOINED", "EXCLUDED", "JOBS", "PROBLEM", "|", "DESCRIPTION")
				for _, s := range m.GetGroups() {
					t.row(s.GetGroup().GetName(), fmt.Sprint(len(s.GetMembers())), fmt.Sprint(len(s.GetUntrusted())), fmt.Sprint(len(s.GetExcluded())),
						strings.Join(s.GetJobs(), ", "), groupProblem(s), s.GetGroup().GetDescription())
				}
				t.print()
			})
		}),
	}
}

func groupProblem(s *keepwardv1.GroupState) string {
	var texts []string
	for _, l := range s.GetLists() {
		if l.GetProblem() != "" {
			texts = append(texts, l.GetProblem())
		}
	}
	return strings.Join(append(texts, s.GetWarnings()...), "; ")
}

func (a *app) groupShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a group and who is in it", Example: "  keepward group show web",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(groupNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.groups.GetGroup, &keepwardv1.GetGroupRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m.GetState(), func() { a.showGroup(m.GetState()) })
		}),
	}
}

func (a *app) showGroup(s *keepwardv1.GroupState) {
	g := s.GetGroup()
	limit := ""
	if d := g.GetTimeLimit().AsDuration(); d > 0 {
		limit = span(d)
	}
	a.fields("name", g.GetName(), "description", g.GetDescription(), "computers", strings.Join(g.GetComputers(), ", "),
		"patterns", strings.Join(g.GetPatterns(), ", "), "tags", strings.Join(g.GetTags(), ", "), "exclude", strings.Join(g.GetExclude(), ", "),
		"file", g.GetFile(), "command", strings.Join(append([]string{g.GetCommand()}, g.GetArguments()...), " "), "URL", g.GetUrl(), "time limit", limit,
		"jobs", strings.Join(s.GetJobs(), ", "), "excluded", strings.Join(s.GetExcluded(), ", "), "not joined", strings.Join(s.GetUntrusted(), ", "))
	if len(s.GetLists()) > 0 {
		a.section("Lists")
		t := a.newTable("SOURCE", "NAMES", "READ", "TRIED", "PROBLEM")
		for _, l := range s.GetLists() {
			t.row(l.GetSource(), fmt.Sprint(l.GetNames()), a.stamp(l.GetRead()), a.stamp(l.GetTried()), l.GetProblem())
		}
		t.print()
	}
	if len(s.GetMembers()) > 0 {
		a.section("Members")
		t := a.newTable("COMPUTER", "BY")
		for _, m := range s.GetMembers() {
			t.row(m.GetComputer(), m.GetBy())
		}
		t.print()
	}
	a.warnings(s.GetWarnings())
}

func (a *app) groupDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a group; its computers stay", Long: "Deletes a group and makes its join tokens useless. Refused while a job names it.",
		Example: "  keepward group delete lab", Args: exactly("NAME"), ValidArgsFunction: a.complete(groupNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.groups.DeleteGroup, &keepwardv1.DeleteGroupRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("group %s is deleted; its computers stay", args[0]) })
		}),
	}
}

func (a *app) groupRescan() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: "rescan [NAME...]", Short: "Read the lists of groups again, and ask computers what they are",
		Long: "Reads the files, commands and URLs of the groups, or of all, and asks the members for their system, addresses, volumes and\n" +
			"agent's version; without a name every computer is asked. It is a session, and is done daily by itself: see the setting group_rescan.",
		Example: "  keepward group rescan\n  keepward group rescan lab", ValidArgsFunction: a.complete(groupNames),
	}
	waitFlag(cmd, &wait)
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		m, err := call(ctx, c.groups.RescanGroups, &keepwardv1.RescanGroupsRequest{Names: args})
		if err != nil {
			return err
		}
		return a.maintained(ctx, c, &keepwardv1.StartSessionResponse{Session: m.GetSession()}, wait)
	})
	return cmd
}

func groupNames(ctx context.Context, c *client) ([]string, error) {
	m, err := call(ctx, c.groups.ListGroups, &keepwardv1.ListGroupsRequest{})
	names := make([]string, len(m.GetGroups()))
	for i, s := range m.GetGroups() {
		names[i] = s.GetGroup().GetName()
	}
	return names, err
}

// whoOf is whom a job is for, in one cell.
func whoOf(j *keepwardv1.Job) []string {
	out := append([]string(nil), j.GetComputers()...)
	for _, g := range j.GetGroups() {
		out = append(out, "group "+g)
	}
	return out
}
