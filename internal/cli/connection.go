package cli

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

// agentPort is the port at which an agent usually waits.
const agentPort = "7482"

// doorPort is the port at which a transport service usually waits for agents.
const doorPort = "7483"

func withAgentPort(addresses []string) []string {
	out := make([]string, len(addresses))
	for i, a := range addresses {
		out[i] = a
		if _, _, err := net.SplitHostPort(a); err != nil && a != "" {
			out[i] = net.JoinHostPort(strings.Trim(a, "[]"), agentPort)
		}
	}
	return out
}

func completeWords(words ...string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// connectionFlags are those of add and edit.
func connectionFlags(cmd *cobra.Command, c *keepwardv1.ComputerConnection) {
	f := cmd.Flags()
	f.StringSliceVar(&c.Addresses, "address", nil, "where its agent waits, HOST or HOST:PORT (port "+agentPort+" if none is given); may be given several times, they are tried in this order")
	f.StringVar(&c.Control, "control", "", "who dials the control connection: agent (default) or server")
	f.StringVar(&c.Data, "data", "", "who dials the data connections: agent (default), or mover, from the repository host")
	noError(cmd.RegisterFlagCompletionFunc("control", completeWords("agent", "server")))
	noError(cmd.RegisterFlagCompletionFunc("data", completeWords("agent", "mover")))
}

func (a *app) computerAdd() *cobra.Command {
	req := &keepwardv1.AddComputerRequest{Connection: &keepwardv1.ComputerConnection{}}
	var codeFile string
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add a computer, and pair with its waiting agent",
		Long: `Where only the server may dial, its agent is started with 'keepward agent --data-dir D --listen :7482'. It shows a code and waits;
'computer add --control server' takes the code, dials the agent and gives it its identity. The code proves each end to the other.
An agent that dials the server joins by a token ('keepward token create'); to add its computer before only says how it is reached.`,
		Example: `  keepward computer add db1 --address db1.lan:7482 --control server --code-file -
  keepward computer add web1 --address 10.0.0.5 --data mover`,
		Args: exactly("NAME"),
	}
	connectionFlags(cmd, req.Connection)
	cmd.Flags().StringVar(&codeFile, "code-file", "", "file with the code that the waiting agent shows; - asks for it, or reads standard input")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		req.Name, req.Connection.Addresses = args[0], withAgentPort(req.Connection.Addresses)
		switch codeFile {
		case "":
		case "-":
			text, err := a.askSecret("Code that the agent shows: ")
			if err != nil {
				return err
			}
			req.Code = strings.TrimSpace(text)
		default:
			text, err := a.readSecret(codeFile)
			if err != nil {
				return err
			}
			req.Code = strings.TrimSpace(firstLine(string(text)))
		}
		if codeFile != "" && req.Code == "" {
			return usage("there is no code: %s is empty", codeFile)
		}
		m, err := call(ctx, c.connections.AddComputer, req)
		if err != nil {
			return err
		}
		return a.print(m, func() {
			if m.GetPaired() {
				a.remark("computer %s is paired: its agent on %s has its identity, by %s", args[0], m.GetHostname(), m.GetAddress())
				return
			}
			a.remark("computer %s is added; its agent joins with a token: keepward token create --role agent --name %s", args[0], args[0])
		})
	})
	return cmd
}

func (a *app) computerEdit() *cobra.Command {
	how := &keepwardv1.ComputerConnection{}
	var tags []string
	cmd := &cobra.Command{
		Use: "edit NAME", Short: "Change how a computer is reached, and its tags",
		Long: `What is not given stays as it is; --address "" forgets all addresses. A link that stands goes on, and data connections that run, too. An agent that is
dialled must listen ('keepward agent --listen :7482').
By its tags a computer gets into protection groups. What is given replaces the tags it has; --tag "" takes them all.`,
		Example: `  keepward computer edit web1 --data mover --address 10.0.0.5
  keepward computer edit web1 --tag web --tag paris`, Args: exactly("NAME"), ValidArgsFunction: a.complete(computerNames),
	}
	connectionFlags(cmd, how)
	cmd.Flags().StringSliceVar(&tags, "tag", nil, "a tag; may be repeated")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		req := &keepwardv1.EditComputerRequest{Name: args[0], Control: how.Control, Data: how.Data, SetAddresses: cmd.Flags().Changed("address")}
		for _, address := range withAgentPort(how.Addresses) {
			if address != "" {
				req.Addresses = append(req.Addresses, address)
			}
		}
		reached := req.SetAddresses || req.Control != "" || req.Data != ""
		tagged := cmd.Flags().Changed("tag")
		if !reached && !tagged {
			return usage("nothing is to be changed: give --address, --control, --data or --tag")
		}
		if tagged {
			m, err := call(ctx, c.groups.SetTags, &keepwardv1.SetTagsRequest{Computer: args[0], Tags: tags})
			if err != nil {
				return err
			}
			if !reached {
				return a.print(m, func() { a.fields("name", args[0], "tags", strings.Join(m.GetTags(), ", ")) })
			}
		}
		m, err := call(ctx, c.connections.EditComputer, req)
		if err != nil {
			return err
		}
		return a.print(m, func() { a.remark("computer %s: %s", args[0], connectionText(m.GetConnection())) })
	})
	return cmd
}

// connectionText says in words how a computer is reached.
func connectionText(c *keepwardv1.ComputerConnection) string {
	text := "control dialled by the " + c.GetControl() + ", data by the " + c.GetData()
	if len(c.GetAddresses()) > 0 {
		text += ", agent at " + strings.Join(c.GetAddresses(), ", ")
	}
	return text
}

func (a *app) computerConnectTest() *cobra.Command {
	req := &keepwardv1.TestConnectionRequest{}
	cmd := &cobra.Command{
		Use: "connect-test NAME", Short: "Try which ways to a computer are open",
		Long: `Tries the control connection and, with each transport, the data connection, in both directions and at every address, all within 20 seconds, and shows
what came of it. The exit status is 1 if a way does not work that the computer is set to.`,
		Example: "  keepward computer connect-test web1", Args: exactly("NAME"), ValidArgsFunction: a.complete(computerNames),
	}
	cmd.Flags().StringSliceVar(&req.Transports, "transport", nil, "only with these transports (default: all)")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		req.Name = args[0]
		m, err := call(ctx, c.connections.TestConnection, req)
		if err != nil {
			return err
		}
		if err := a.print(m, func() { a.connectionTable(m.GetChecks()) }); err != nil {
			return err
		}
		if !m.GetWorks() {
			return &statusError{status: exitFailed}
		}
		return nil
	})
	return cmd
}

func (a *app) connectionTable(list []*keepwardv1.ConnectionCheck) {
	t := a.newTable("WHAT", "WHO DIALS", "WHOM", "AT", "SET", "RESULT", "WHY", "|", "TOOK", "CODE")
	for _, c := range list {
		set := ""
		if c.GetUsed() {
			set = "*"
		}
		t.row(c.GetWhat(), c.GetFrom(), c.GetTo(), c.GetAddress(), set, c.GetResult(), c.GetFailure().GetMessage(), span(c.GetTook().AsDuration()), c.GetFailure().GetCode())
	}
	t.print()
}

// supplyText says what spares a computer; nothing where it has mains and a free network.
func supplyText(s *keepwardv1.Supply) string {
	var is []string
	switch {
	case s.GetBattery() && s.GetCharge() > 0:
		is = append(is, fmt.Sprintf("battery, %d %%", s.GetCharge()))
	case s.GetBattery():
		is = append(is, "battery")
	}
	if s.GetMetered() {
		is = append(is, "metered network")
	}
	return strings.Join(is, ", ")
}
