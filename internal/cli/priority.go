package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) priorityCommand() *cobra.Command {
	cmd := a.noun("priority", "Which sessions go first",
		"A priority has three digits, the lower number goes first: that of the job type, that of the computer, that of its agent.\nA job may have one of its own ('keepward job edit --priority'), and so may a session ('keepward session priority').")
	cmd.AddCommand(a.priorityList(), a.prioritySet(), a.priorityReset())
	return cmd
}

func (a *app) priorityList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the digits of job types and agents, and of computers that have their own", Example: "  keepward priority list", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.queue.ListPriorities, &keepwardv1.ListPrioritiesRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.priorityTable(m.GetPriorities()) })
		}),
	}
}

func (a *app) priorityTable(list []*keepwardv1.PriorityDigit) {
	t := a.newTable("OF", ">DIGIT", ">DEFAULT")
	for _, p := range list {
		digit := p.GetDefault()
		if p.Digit != nil {
			digit = p.GetDigit()
		}
		t.row(p.GetLevel(), strconv.Itoa(int(digit)), strconv.Itoa(int(p.GetDefault())))
	}
	t.print()
}

func (a *app) prioritySet() *cobra.Command {
	return &cobra.Command{
		Use: "set OF DIGIT", Short: "Set a digit of the priority of sessions to come",
		Long:    "Sets the digit of type/TYPE, computer/NAME or agent/NAME: 0 (first) to 9 (last). It holds for sessions that begin after it.",
		Example: "  keepward priority set computer/web1 3\n  keepward priority set type/verify 9\n  keepward priority set \"agent/Linux File System\" 5",
		Args:    exactly("OF", "DIGIT"), ValidArgsFunction: a.complete(priorityLevels),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			n, err := strconv.ParseInt(args[1], 10, 32)
			if err != nil {
				return usage("%q is no digit from 0 (first) to 9 (last)", args[1])
			}
			digit := int32(n)
			return a.changePriority(ctx, c, &keepwardv1.SetPriorityRequest{Level: args[0], Digit: &digit})
		}),
	}
}

func (a *app) priorityReset() *cobra.Command {
	return &cobra.Command{
		Use: "reset OF", Short: "Give a digit its default back", Example: "  keepward priority reset computer/web1",
		Args: exactly("OF"), ValidArgsFunction: a.complete(priorityLevels),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			return a.changePriority(ctx, c, &keepwardv1.SetPriorityRequest{Level: args[0]})
		}),
	}
}

func (a *app) changePriority(ctx context.Context, c *client, req *keepwardv1.SetPriorityRequest) error {
	m, err := call(ctx, c.queue.SetPriority, req)
	if err != nil {
		return err
	}
	return a.print(m.GetPriority(), func() { a.priorityTable([]*keepwardv1.PriorityDigit{m.GetPriority()}) })
}

func priorityLevels(ctx context.Context, c *client) ([]string, error) {
	m, err := call(ctx, c.queue.ListPriorities, &keepwardv1.ListPrioritiesRequest{})
	var names []string
	for _, p := range m.GetPriorities() {
		names = append(names, p.GetLevel())
	}
	return names, err
}
