package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how everything stands", Example: "  keepward status", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.status.GetStatus, &keepwardv1.GetStatusRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.showStatus(c.address, m) })
		}),
	}
}

func (a *app) showStatus(address string, m *keepwardv1.GetStatusResponse) {
	a.fields("server", address, "version", m.GetVersion(), "running since", a.stamp(m.GetStarted()),
		"computers", onlineOf(m.GetComputers()), "to look at", viewText(m.GetViews()), "transports", onlineOf(m.GetTransports()), "repositories", onlineOf(m.GetRepositories()))
	if len(m.GetConditions()) > 0 {
		a.section("Problems")
		a.conditionTable(m.GetConditions())
	}
	if len(m.GetRepositories()) > 0 {
		a.section("Repositories")
		a.repositoryTable(m.GetRepositories())
	}
	if len(m.GetActive()) > 0 {
		a.section("Sessions that run or wait")
		a.sessionTable(m.GetActive())
	}
	if len(m.GetRecent()) > 0 {
		a.section("Sessions of the last 24 hours")
		a.sessionTable(m.GetRecent())
	}
}

// onlineOf counts who is there.
func onlineOf[T interface{ GetStatus() string }](list []T) string {
	online := 0
	for _, v := range list {
		if v.GetStatus() == "online" {
			online++
		}
	}
	if online == len(list) {
		return fmt.Sprintf("%d online", online)
	}
	return fmt.Sprintf("%d online of %d", online, len(list))
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program", Example: "  keepward version -o json", Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			if a.format.machine() {
				return a.printValue(map[string]any{"version": a.version})
			}
			fmt.Fprintln(a.out, "keepward", a.version)
			return nil
		},
	}
}
