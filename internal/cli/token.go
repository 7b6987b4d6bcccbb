package cli

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := a.noun("token", "Join tokens for agents and transport services", "A join token lets one computer or repository host join the server, once; one of a group any number of new computers.")
	cmd.AddCommand(a.tokenCreate(), a.tokenList(), a.tokenRevoke())
	return cmd
}

func (a *app) tokenCreate() *cobra.Command {
	var role, name, group string
	ttl := duration(time.Hour)
	cmd := &cobra.Command{
		Use: "create --role agent|transport --name NAME", Short: "Make a join token",
		Long: "Makes a token for one node of a name, once; or with --group for agents that are installed beforehand: any number of new\n" +
			"computers join with it, each under a name that was never there, and become members of the group, until it expires or is revoked.",
		Example: "  keepward token create --role agent --name web1\n  keepward token create --role transport --name store1 --ttl 10m\n  keepward token create --group lab --ttl 7d",
		Args:    exactly(),
	}
	cmd.Flags().StringVar(&role, "role", "", "agent or transport")
	cmd.Flags().StringVar(&name, "name", "", "name of the computer or the transport service")
	cmd.Flags().StringVar(&group, "group", "", "for any number of new computers, which become members of this group")
	noError(cmd.RegisterFlagCompletionFunc("group", a.completeFlag(groupNames)))
	cmd.Flags().Var(&ttl, "ttl", "how long it may be used")
	noError(cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"agent", "transport"}, cobra.ShellCompDirectiveNoFileComp)))
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) error {
		needs := []string{"role", "name"}
		if group != "" {
			needs, role = nil, cmp.Or(role, "agent")
		}
		if err := required(cmd, needs...); err != nil {
			return err
		}
		m, err := call(ctx, c.access.CreateToken, &keepwardv1.CreateTokenRequest{Role: role, Name: name, Group: group, Ttl: durationpb.New(time.Duration(ttl))})
		if err != nil {
			return err
		}
		return a.print(m, func() {
			fmt.Fprintln(a.out, safe(m.GetToken()))
			if group != "" {
				a.remark("It is for any number of new computers of group %s, until %s. On each:", group, a.stamp(m.GetInfo().GetExpires()))
				a.remark("  keepward agent --data-dir DIR --server %s --join-file FILE", fromElsewhere(c.address, hostName()))
				a.remark("with the token in FILE; without --name it joins under the name of its host.")
				return
			}
			a.remark("It is for one %s named %s, once, until %s. On that machine:", m.GetInfo().GetRole(), m.GetInfo().GetName(), a.stamp(m.GetInfo().GetExpires()))
			a.remark("  keepward %s --data-dir DIR --server %s --name %s --join-file FILE", m.GetInfo().GetRole(), fromElsewhere(c.address, hostName()), m.GetInfo().GetName())
			a.remark("with the token in FILE, or --join-file - to paste it.")
		})
	})
	return cmd
}

func (a *app) tokenList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List join tokens", Example: "  keepward token list", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.access.ListTokens, &keepwardv1.ListTokensRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() {
				t := a.newTable("ID", "ROLE", "NAME", "STATE", "EXPIRES", "|", "CREATED", "USED", "GROUP", "USES")
				for _, k := range m.GetTokens() {
					t.row(k.GetId(), k.GetRole(), cmp.Or(k.GetName(), groupOf(k)), a.tokenState(k), a.stamp(k.GetExpires()), a.stamp(k.GetCreated()), a.stamp(k.GetUsed()), k.GetGroup(), tokenUses(k))
				}
				t.print()
			})
		}),
	}
}

func (a *app) tokenState(k *keepwardv1.JoinToken) string {
	switch {
	case k.GetRevoked():
		return "revoked"
	case k.GetUsed() != nil && k.GetGroup() == "":
		return "used"
	case k.GetExpires().AsTime().Before(a.now()):
		return "expired"
	}
	return "open"
}

// groupOf stands in the place of a name that a token of a group does not have.
func groupOf(k *keepwardv1.JoinToken) string { return "group " + k.GetGroup() }

func tokenUses(k *keepwardv1.JoinToken) string {
	if k.GetGroup() == "" {
		return ""
	}
	return fmt.Sprint(k.GetUses())
}

func (a *app) tokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Make a join token useless", Example: "  keepward token revoke 4F2A91", Args: exactly("ID"),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.access.RevokeToken, &keepwardv1.RevokeTokenRequest{Id: args[0]})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.remark("token %s is revoked", args[0]) })
		}),
	}
}

// fromElsewhere is how other machines reach the server at an address of this one: by the
// host's name, if the address is a loopback one.
func fromElsewhere(address, host string) string {
	at, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return address
	}
	if ip := net.ParseIP(at); at != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return address
	}
	return net.JoinHostPort(host, port)
}

func hostName() string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	return strings.ToLower(host)
}
