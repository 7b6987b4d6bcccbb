package cli

import (
	"context"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) sessionWatch() *cobra.Command {
	return &cobra.Command{
		Use: "watch [N]", Short: "Follow a session to its end, or all that run",
		Long: "Follows one session and exits with its result. Without a number it shows all sessions until none runs.\n" +
			"With -o json it prints one object per line whenever something changes.",
		Example: "  keepward session watch 12\n  keepward session watch",
		Args:    between(0, "N"),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			if len(args) == 0 {
				return a.watchList(ctx, c, &keepwardv1.ListSessionsRequest{Active: true, Limit: watchedMost}, true)
			}
			id, err := parseSession(args[0])
			if err != nil {
				return err
			}
			if !a.format.machine() {
				return a.follow(ctx, c, id, someRemarks)
			}
			last, err := a.watch(ctx, c, id, func(s *keepwardv1.Session) error { return a.printLine(s) })
			if err != nil {
				return err
			}
			return a.sessionEnd(last)
		}),
	}
}

// watchedMost bounds the sessions that are shown at once: a screen has no room for more.
const watchedMost = 1000
