package cli

import (
	"context"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) userPasskey() *cobra.Command {
	cmd := a.noun("passkey", "Passkeys at the login in a browser", "A passkey is kept by a device, or by a key that one carries, and logs in without password and code. It is made in the console, on the page Account.")
	cmd.AddCommand(a.userPasskeyList(), a.userPasskeyRemove())
	return cmd
}

func (a *app) userPasskeyList() *cobra.Command {
	return &cobra.Command{
		Use: "list [USER]", Short: "List the own passkeys, or those of a user",
		Long:    "Lists the own ones; an administrator those of another user too. SYNCED ones may be on several devices, by the cloud of their maker.",
		Example: "  keepward user passkey list\n  keepward user passkey list ann", Args: between(0, "USER"), ValidArgsFunction: a.complete(userNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			req := &keepwardv1.ListPasskeysRequest{}
			if len(args) > 0 {
				req.User = args[0]
			}
			m, err := call(ctx, c.passkeys.ListPasskeys, req)
			if err != nil {
				return err
			}
			return a.print(m, func() {
				t := a.newTable("ID", "NAME", "MADE", "USED", "SYNCED")
				for _, p := range m.GetPasskeys() {
					t.row(p.GetId(), p.GetName(), a.stamp(p.GetCreated()), a.stamp(p.GetUsed()), yesNo(p.GetSynced()))
				}
				t.print()
				if m.GetUnavailable() != "" {
					a.remark("none can be made or used now: %s", m.GetUnavailable())
				}
			})
		}),
	}
}

func (a *app) userPasskeyRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove ID [USER]", Short: "Remove a passkey",
		Long:    "Nobody logs in with it any more. Logins that were made with it go on: see keepward login list. An administrator removes those of another user too.",
		Example: "  keepward user passkey remove 9c41d2a07be3\n  keepward user passkey remove 9c41d2a07be3 ann", Args: between(1, "ID", "USER"),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			req := &keepwardv1.RemovePasskeyRequest{Id: args[0]}
			if len(args) > 1 {
				req.User = args[1]
			}
			m, err := call(ctx, c.passkeys.RemovePasskey, req)
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("passkey %s of %s is removed", m.GetName(), m.GetUser()) })
		}),
	}
}
