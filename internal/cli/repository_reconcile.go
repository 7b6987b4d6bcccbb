package cli

import (
	"context"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) repositoryReconcile() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: "reconcile NAME", Short: "Compare the index of a repository with what lies in its directory",
		Long: `Names packs that no index knows, index segments that tell of packs which are not there, and files that are not the
repository's. It goes by lists alone, so it takes minutes where a check takes hours, and it changes nothing.`,
		Example: "  keepward repository reconcile main", Args: exactly("NAME"), ValidArgsFunction: a.complete(repositoryNames),
	}
	waitFlag(cmd, &wait)
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		m, err := call(ctx, c.repositories.ReconcileRepository, &keepwardv1.ReconcileRepositoryRequest{Name: args[0]})
		if err != nil {
			return err
		}
		return a.maintained(ctx, c, m, wait)
	})
	return cmd
}
