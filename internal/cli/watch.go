package cli

import (
	"context"
	"fmt"
	"time"

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
				return a.watchAll(ctx, c)
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

// watchEvery is how often all sessions are looked at; off a terminal as rarely as
// progress is shown there.
const watchEvery = 2 * time.Second

func (a *app) watchAll(ctx context.Context, c *client) error {
	_, moving := terminal(a.out)
	moving = moving && !a.format.machine()
	every := watchEvery
	if !moving && !a.format.machine() {
		every = lineEvery
	}
	for {
		m, err := call(ctx, c.sessions.ListSessions, &keepwardv1.ListSessionsRequest{Active: true})
		if err != nil {
			return err
		}
		if err := a.showAll(m, moving); err != nil {
			return err
		}
		if len(m.GetSessions()) == 0 {
			a.remark("no session runs")
			return nil
		}
		if !sleep(ctx, every) {
			return ctx.Err()
		}
	}
}

func (a *app) showAll(m *keepwardv1.ListSessionsResponse, moving bool) error {
	if a.format.machine() {
		return a.printLine(m)
	}
	if moving {
		fmt.Fprint(a.out, "\x1b[H\x1b[2J")
	}
	a.sessionTable(m.GetSessions())
	return nil
}
