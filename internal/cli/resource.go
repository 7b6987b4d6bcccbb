package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) resourceCommand() *cobra.Command {
	cmd := a.noun("resource", "What sessions must hold to run: who holds what, and who waits for it",
		"A resource is something of which there is only so much: streams of a repository, writers of its paths, a computer's\nslot. A session gets all that it needs at once, or waits and holds nothing.")
	cmd.AddCommand(a.resourceList(), a.resourceShow())
	return cmd
}

func (a *app) resourceList() *cobra.Command {
	req := &keepwardv1.ListResourcesRequest{}
	cmd := &cobra.Command{
		Use: "list", Short: "List resources, who holds them and how many wait", Example: "  keepward resource list\n  keepward resource list --kind stream",
		Args: exactly(),
	}
	cmd.Flags().StringVar(&req.Kind, "kind", "", "only of this kind, for instance stream, writer or client")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) error {
		m, err := call(ctx, c.sessions.ListResources, req)
		if err != nil {
			return err
		}
		return a.print(m, func() {
			t := a.newTable("KIND", "RESOURCE", ">USED", ">OF", ">WAITING", "HELD BY", "STATE", "|", "NAME")
			for _, r := range m.GetResources() {
				t.row(r.GetKind(), r.GetLabel(), strconv.Itoa(int(r.GetUsed())), strconv.Itoa(int(r.GetCapacity())), strconv.Itoa(len(r.GetWaiters())),
					few(sessionsOf(r.GetHolders())), a.state(r), r.GetName())
			}
			t.print()
		})
	})
	return cmd
}

// state is whether a resource can be had.
func (a *app) state(r *keepwardv1.Resource) string {
	if r.GetDown() != nil {
		return a.reason(r.GetDown())
	}
	if r.GetUsed() >= r.GetCapacity() {
		return "all taken"
	}
	return "free"
}

func sessionsOf(list []*keepwardv1.Holder) []string {
	names := make([]string, len(list))
	for i, h := range list {
		names[i] = "session " + sessionNumber(h.GetSession())
	}
	return names
}

func (a *app) resourceShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a resource, who holds it and who waits for it", Example: "  keepward resource show main",
		Args: exactly("NAME"),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.sessions.ListResources, &keepwardv1.ListResourcesRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m, func() {
				for i, r := range m.GetResources() {
					if i > 0 {
						fmt.Fprintln(a.out)
					}
					a.fields("resource", r.GetLabel(), "kind", r.GetKind(), "name", r.GetName(), "used", fmt.Sprintf("%d of %d", r.GetUsed(), r.GetCapacity()), "state", a.state(r))
					a.holderTable("Held by", r.GetHolders())
					a.holderTable("Waiting, in this order", r.GetWaiters())
				}
			})
		}),
	}
}

func (a *app) holderTable(title string, list []*keepwardv1.Holder) {
	if len(list) == 0 {
		return
	}
	a.section(title)
	t := a.newTable(">SESSION", "JOB", "TYPE", "COMPUTER", "STATUS", ">PRIORITY", "SINCE", "DONE ABOUT")
	for _, h := range list {
		t.row(sessionNumber(h.GetSession()), h.GetJob(), h.GetType(), h.GetComputer(), h.GetStatus(), fmt.Sprintf("%03d", h.GetPriority()), a.stamp(h.GetSince()), a.stamp(h.GetUntil()))
	}
	t.print()
}

// showWaits draws who is in the way of whom.
func (a *app) showWaits(list []*keepwardv1.Wait) {
	if len(list) == 0 {
		return
	}
	a.section("Waits")
	for _, w := range list {
		head := a.reason(w.GetReason())
		if w.GetComputer() != "" {
			head = w.GetComputer() + ": " + head
		}
		fmt.Fprintln(a.out, head)
		if w.GetSince() != nil {
			text := "  since " + a.stamp(w.GetSince())
			if w.GetAhead() > 0 {
				text += ", behind " + plural(int64(w.GetAhead()), "other task")
			}
			if w.GetClaim() {
				text += "; what it lacks is kept for it"
			}
			fmt.Fprintln(a.out, text)
		}
		for _, r := range w.GetResources() {
			fmt.Fprintf(a.out, "  %s, %s: %d of %d taken\n", r.GetLabel(), r.GetKind(), r.GetUsed(), r.GetCapacity())
			for _, h := range r.GetHolders() {
				fmt.Fprintln(a.out, "    ← "+a.holderLine(h))
			}
		}
		for _, h := range w.GetSessions() {
			fmt.Fprintln(a.out, "  ← "+a.holderLine(h))
		}
	}
}

// holderLine is one who is in the way, and until when about.
func (a *app) holderLine(h *keepwardv1.Holder) string {
	text := "session " + sessionNumber(h.GetSession()) + ", " + h.GetType()
	if h.GetJob() != "" {
		text += " " + h.GetJob()
	}
	if h.GetComputer() != "" {
		text += " of " + h.GetComputer()
	}
	text += fmt.Sprintf(", %s, priority %03d", h.GetStatus(), h.GetPriority())
	if h.GetSince() != nil {
		text += ", since " + a.stamp(h.GetSince())
	}
	switch {
	case h.GetLeaving():
		text += "; it was told to let go"
	case h.GetUntil() != nil:
		text += ", done about " + a.stamp(h.GetUntil())
	}
	return text
}
