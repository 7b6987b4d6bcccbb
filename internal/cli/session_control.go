package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) sessionSuspend() *cobra.Command {
	var task string
	cmd := &cobra.Command{
		Use: "suspend N", Short: "Pause a session",
		Long: "Pauses a session, or one of its tasks: what it holds is given back, and it goes on from its checkpoint\n" +
			"when it is resumed. A phase that cannot be interrupted is not paused.",
		Example: "  keepward session suspend 12", Args: exactly("the number of a session"),
	}
	cmd.Flags().StringVar(&task, "task", "", "only this task; see 'keepward session show N -o wide'")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		id, err := parseSession(args[0])
		if err != nil {
			return err
		}
		m, err := call(ctx, c.sessions.SuspendSession, &keepwardv1.SuspendSessionRequest{Id: id, Task: task})
		if err != nil {
			return err
		}
		return a.print(m.GetSession(), func() {
			a.remark("session %d: %s; it goes on with 'keepward session resume %d'", id, m.GetSession().GetStatus(), id)
		})
	})
	return cmd
}

func (a *app) sessionResume() *cobra.Command {
	var task string
	cmd := &cobra.Command{
		Use: "resume N", Short: "End the pause of a session",
		Long:    "Ends the pause of a session, or of one of its tasks. It queues again and goes on from its checkpoint.",
		Example: "  keepward session resume 12", Args: exactly("the number of a session"),
	}
	cmd.Flags().StringVar(&task, "task", "", "only this task; see 'keepward session show N -o wide'")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		id, err := parseSession(args[0])
		if err != nil {
			return err
		}
		m, err := call(ctx, c.sessions.ResumeSession, &keepwardv1.ResumeSessionRequest{Id: id, Task: task})
		if err != nil {
			return err
		}
		return a.print(m.GetSession(), func() { a.remark("session %d: %s", id, m.GetSession().GetStatus()) })
	})
	return cmd
}

func (a *app) sessionPriority() *cobra.Command {
	return &cobra.Command{
		Use: "priority N PRIORITY", Short: "Change the priority of a session",
		Long: "Changes the priority of a session that is not over: 000 to 999, the lower number goes first. It moves in the queue, and\n" +
			"may interrupt sessions of a higher number, or be interrupted for one of a lower number.",
		Example: "  keepward session priority 12 050", Args: exactly("the number of a session", "PRIORITY"),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			id, err := parseSession(args[0])
			if err != nil {
				return err
			}
			priority, err := strconv.ParseInt(args[1], 10, 32)
			if err != nil {
				return usage("%q is no priority; it is a number from 000 (first) to 999 (last)", args[1])
			}
			m, err := call(ctx, c.sessions.SetSessionPriority, &keepwardv1.SetSessionPriorityRequest{Id: id, Priority: int32(priority)})
			if err != nil {
				return err
			}
			return a.print(m.GetSession(), func() {
				a.remark("session %d: %s, priority %03d", id, m.GetSession().GetStatus(), m.GetSession().GetPriority())
			})
		}),
	}
}

func (a *app) sessionKill() *cobra.Command {
	var task string
	var commit bool
	cmd := &cobra.Command{
		Use: "kill N", Short: "End a session",
		Long: "Ends a session, or one of its tasks. What was written is not a restore point; the next run takes it over.\n" +
			"With --commit a backup takes in no more, and what it has written becomes a partial restore point: it can be restored,\n" +
			"but is never the latest one, and retention does not count it.",
		Example: "  keepward session kill 12\n  keepward session kill 12 --commit", Args: exactly("the number of a session"),
	}
	cmd.Flags().BoolVar(&commit, "commit", false, "keep what a backup has written as a partial restore point")
	cmd.Flags().StringVar(&task, "task", "", "only this task; see 'keepward session show N -o wide'")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		id, err := parseSession(args[0])
		if err != nil {
			return err
		}
		m, err := call(ctx, c.sessions.KillSession, &keepwardv1.KillSessionRequest{Id: id, Task: task, Commit: commit})
		if err != nil {
			return err
		}
		return a.print(m.GetSession(), func() {
			if m.GetOver() && task != "" {
				a.remark("task %s of session %d is over already; nothing is changed", task, id)
				return
			}
			if m.GetOver() {
				a.remark("session %d is over already: %s", id, m.GetSession().GetStatus())
				return
			}
			a.remark("session %d: %s", id, m.GetSession().GetStatus())
		})
	})
	return cmd
}

func (a *app) sessionRetry() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: "retry N", Short: "Try again what a session left undone",
		Long: "Starts a session of the tasks of an ended session that failed or were ended early, and prints its number. It names that\n" +
			"session as its origin. A backup goes by its job as that is now.",
		Example: "  keepward session retry 12 --wait", Args: exactly("the number of a session"),
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the end")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		id, err := parseSession(args[0])
		if err != nil {
			return err
		}
		m, err := call(ctx, c.sessions.RetrySession, &keepwardv1.RetrySessionRequest{Id: id})
		if err != nil {
			return err
		}
		return a.started(ctx, c, m, wait)
	})
	return cmd
}
