package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func (a *app) signOnCommand() *cobra.Command {
	cmd := a.noun("sign-on", "Single sign-on to the console", "Users who have connected their account, on the console's page Account, log in to the console through a provider of OpenID Connect.\nNobody becomes a user by it. The setting console_url says where browsers reach the console.")
	cmd.AddCommand(a.signOnSet(), a.signOnShow(), a.signOnTest(), a.signOnRemove(), a.signOnList(), a.signOnDisconnect())
	return cmd
}

func (a *app) signOnSet() *cobra.Command {
	p := &keepwardv1.SignOnProvider{}
	var ca, secret string
	cmd := &cobra.Command{
		Use: "set --issuer URL --client-id ID --name NAME", Short: "Set up the provider, or change it",
		Long: `The provider is asked what it is; if it does not say, nothing is changed. The client's secret is the first line of a file, or of
standard input; it is no argument. Without --secret-file the one that is kept counts on, which is for the same issuer only.

It prints the address that the provider has to allow as a redirect URI of the client.`,
		Example: "  keepward sign-on set --issuer https://id.example.com/realms/main --client-id keepward --name \"Example Ltd\" --secret-file secret.txt", Args: exactly(),
	}
	cmd.Flags().StringVar(&p.Issuer, "issuer", "", "the provider's address, as it writes it itself")
	cmd.Flags().StringVar(&p.ClientId, "client-id", "", "what the provider knows this server as")
	cmd.Flags().StringVar(&p.Name, "name", "", "how the provider is called on the login page")
	cmd.Flags().StringVar(&secret, "secret-file", "", "file with the client's secret; - is standard input")
	cmd.Flags().StringVar(&ca, "ca-file", "", "file with certificates in PEM of the provider's authority, in place of the system's")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) (err error) {
		if err := required(cmd, "issuer", "client-id", "name"); err != nil {
			return err
		}
		req := &keepwardv1.SetSignOnProviderRequest{Provider: p}
		if ca != "" {
			data, err := os.ReadFile(ca)
			if err != nil {
				return errs.New(errs.KindOf(err), "client.config", "read the authority: %w", err)
			}
			p.Ca = string(data)
		}
		if secret != "" {
			if req.Secret, err = a.passwordIn(secret); err != nil {
				return err
			}
		}
		m, err := call(ctx, c.signOns.SetSignOnProvider, req)
		if err != nil {
			return err
		}
		return a.print(m, func() {
			a.remark("single sign-on is set up; the provider has to allow the redirect URI")
			fmt.Fprintln(a.out, safe(m.GetRedirectUrl()))
		})
	})
	return cmd
}

func (a *app) signOnShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the provider that is set up", Long: "Its secret is not shown.", Example: "  keepward sign-on show", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.signOns.GetSignOnProvider, &keepwardv1.GetSignOnProviderRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() {
				p := m.GetProvider()
				if p == nil {
					a.remark("no provider is set up: keepward sign-on set")
					return
				}
				a.fields("name", p.GetName(), "issuer", p.GetIssuer(), "client id", p.GetClientId(), "redirect URI", m.GetRedirectUrl(), "own authority", yesNo(p.GetCa() != ""))
			})
		}),
	}
}

func (a *app) signOnTest() *cobra.Command {
	return &cobra.Command{
		Use: "test", Short: "Ask the provider what it is", Long: "Whether it knows the client is seen when somebody logs in.", Example: "  keepward sign-on test", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.signOns.TestSignOnProvider, &keepwardv1.TestSignOnProviderRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("the provider answers, and is what it is set up as") })
		}),
	}
}

func (a *app) signOnRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove", Short: "Log in without the provider again",
		Long:    "Nobody logs in through the provider any more. With whom accounts are connected is kept, for when the same provider is set up again.",
		Example: "  keepward sign-on remove", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.signOns.RemoveSignOnProvider, &keepwardv1.RemoveSignOnProviderRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("single sign-on is removed") })
		}),
	}
}

func (a *app) signOnList() *cobra.Command {
	return &cobra.Command{
		Use: "list [USER]", Short: "Show with whom at the provider an account is connected", Long: "The own account; for an administrator that of another user too.",
		Example: "  keepward sign-on list\n  keepward sign-on list ann", Args: between(0, "USER"), ValidArgsFunction: a.complete(userNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			req := &keepwardv1.ListSignOnsRequest{}
			if len(args) > 0 {
				req.User = args[0]
			}
			m, err := call(ctx, c.signOns.ListSignOns, req)
			if err != nil {
				return err
			}
			return a.print(m, func() {
				t := a.newTable("ID", "PERSON", "ISSUER", "MADE", "USED")
				for _, o := range m.GetSignOns() {
					t.row(o.GetId(), o.GetLabel(), o.GetIssuer(), a.stamp(o.GetCreated()), a.stamp(o.GetUsed()))
				}
				t.print()
			})
		}),
	}
}

func (a *app) signOnDisconnect() *cobra.Command {
	return &cobra.Command{
		Use: "disconnect ID [USER]", Short: "Disconnect an account", Long: "Nobody logs in to it by that any more. Logins that were made by it go on: see keepward login list. An administrator disconnects those of others too.",
		Example: "  keepward sign-on disconnect 5e80c1f2aa07\n  keepward sign-on disconnect 5e80c1f2aa07 ann", Args: between(1, "ID", "USER"),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			req := &keepwardv1.DisconnectSignOnRequest{Id: args[0]}
			if len(args) > 1 {
				req.User = args[1]
			}
			m, err := call(ctx, c.signOns.DisconnectSignOn, req)
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("the account of %s is disconnected from %s", m.GetUser(), m.GetLabel()) })
		}),
	}
}
