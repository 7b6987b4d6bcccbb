package cli

import (
	"context"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) serverPause() *cobra.Command {
	req := &keepwardv1.PauseServerRequest{}
	cmd := &cobra.Command{
		Use: "pause", Short: "Keep all sessions in the queue", Long: "Keeps all sessions in the queue until 'keepward server resume', also over a restart of the server. What runs goes on.",
		Example: "  keepward server pause --reason \"new switch\"", Args: exactly(),
	}
	cmd.Flags().StringVar(&req.Reason, "reason", "", "why, for those who wonder")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) error {
		m, err := call(ctx, c.queue.PauseServer, req)
		if err != nil {
			return err
		}
		return a.print(m, func() {
			a.remark("the server is paused since %s, by %s; let it go on with 'keepward server resume'", a.stamp(m.GetPause().GetSince()), m.GetPause().GetUser())
		})
	})
	return cmd
}

func (a *app) serverResume() *cobra.Command {
	return &cobra.Command{
		Use: "resume", Short: "End a pause of the server", Example: "  keepward server resume", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.queue.ResumeServer, &keepwardv1.ResumeServerRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() {
				if m.GetWas() == nil {
					a.remark("the server was not paused")
					return
				}
				a.remark("sessions leave the queue again; the server was paused since %s, by %s", a.stamp(m.GetWas().GetSince()), m.GetWas().GetUser())
			})
		}),
	}
}
