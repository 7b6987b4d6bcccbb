package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) apiTokenCommand() *cobra.Command {
	cmd := a.noun("api-token", "Tokens by which programs call the API", "An API token acts as the user who made it, with a role of its own that is at most the user's. Nodes join with another kind of\ntoken: see 'keepward token'.")
	cmd.AddCommand(a.apiTokenCreate(), a.tokenListOf("token", "List API tokens", "keepward api-token list"), a.tokenEnd("revoke ID", "End an API token", "keepward api-token revoke 4f2a910c77e1"))
	return cmd
}

func (a *app) apiTokenCreate() *cobra.Command {
	var role string
	var groups []string
	ttl := duration(90 * day)
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make an API token",
		Long:    "Prints the token, once: the server keeps only its hash. Whoever has it may what its role may, until it expires or is revoked, and\nnever more than its user may at that time.",
		Example: "  keepward api-token create monitoring --role viewer --ttl 365d > token\n  keepward api-token create portal --role viewer --group laptops > token", Args: exactly("NAME"),
	}
	roleFlag(cmd, &role, "what it may, at most what you may; empty: the same")
	a.limitFlag(cmd, &groups)
	cmd.Flags().Var(&ttl, "ttl", "how long it may be used, up to 730d")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		m, err := call(ctx, c.apiTokens.CreateAPIToken, &keepwardv1.CreateAPITokenRequest{Name: args[0], Role: role, Ttl: durationpb.New(time.Duration(ttl)), Groups: groups})
		if err != nil {
			return err
		}
		return a.print(m, func() {
			fmt.Fprintln(a.out, safe(m.GetToken()))
			i := m.GetInfo()
			a.remark("API token %s (%s) of %s, role %s%s, until %s. It is shown only now. Use it with KEEPWARD_TOKEN and KEEPWARD_ADDR, or as 'Authorization: Bearer …'.",
				i.GetName(), i.GetId(), i.GetUser(), i.GetRole(), limitWords(i.GetGroups()), a.stamp(i.GetExpires()))
		})
	})
	return cmd
}

// tokenListOf lists tokens of one kind; empty: logins, and the token of the server's client file.
func (a *app) tokenListOf(kind, short, example string) *cobra.Command {
	req := &keepwardv1.ListAPITokensRequest{Kind: kind}
	cmd := &cobra.Command{Use: "list", Short: short, Example: "  " + example + "\n  " + example + " --all", Args: exactly()}
	cmd.Flags().BoolVar(&req.All, "all", false, "of all users; for administrators")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) error {
		m, err := call(ctx, c.apiTokens.ListAPITokens, req)
		if err != nil {
			return err
		}
		if kind == "" {
			m.Tokens = without(m.GetTokens(), "token")
		}
		return a.print(m, func() {
			t := a.newTable("ID", "USER", "NAME", "ROLE", "EXPIRES", "USED", "|", "CREATED", "ADDRESS", "GROUPS", "CURRENT")
			for _, k := range m.GetTokens() {
				current := ""
				if k.GetCurrent() {
					current = "this one"
				}
				t.row(k.GetId(), k.GetUser(), k.GetName(), k.GetRole(), cmp.Or(a.stamp(k.GetExpires()), "never"), cmp.Or(a.stamp(k.GetUsed()), "never"), a.stamp(k.GetCreated()), k.GetAddress(), strings.Join(k.GetGroups(), ", "), current)
			}
			t.print()
		})
	})
	return cmd
}

func without(list []*keepwardv1.APIToken, kind string) (out []*keepwardv1.APIToken) {
	for _, t := range list {
		if t.GetKind() != kind {
			out = append(out, t)
		}
	}
	return out
}

func (a *app) tokenEnd(use, short, example string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: "It counts at once, also for what goes on by it. Your own, or as an administrator anybody's.", Example: "  " + example, Args: exactly("ID"),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.apiTokens.RevokeAPIToken, &keepwardv1.RevokeAPITokenRequest{Id: args[0]})
			if err != nil {
				return err
			}
			return a.print(m, func() {
				t := m.GetToken()
				a.remark("%s %s of %s is ended", t.GetKind(), t.GetId(), t.GetUser())
			})
		}),
	}
}

// loginCommands list and end what 'keepward login' made.
func (a *app) loginCommands() []*cobra.Command {
	return []*cobra.Command{
		a.tokenListOf("", "List logins", "keepward login list"), a.tokenEnd("end ID", "End a login", "keepward login end 4f2a910c77e1"),
		a.loginConfirm(),
	}
}
