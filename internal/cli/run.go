package cli

import (
	"context"

	"github.com/spf13/cobra"
)

// withClient is the body of a command that talks to the server.
func (a *app) withClient(do func(ctx context.Context, c *client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c := a.connect()
		defer c.close()
		return do(cmd.Context(), c, args)
	}
}
