package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func (a *app) computerUpdate() *cobra.Command {
	req, wait := &keepwardv1.UpdateComputersRequest{}, false
	cmd := &cobra.Command{
		Use: "update NAME...|--group G|--all-out-of-date", Short: "Have agents become another version",
		Long: "Begins a rollout: some computers at once become the server's version, or another that it has (see 'keepward agent-package'). A new\n" +
			"version has to be answered by the server before it takes the place of the old one; else the old one goes on. The first that fails\n" +
			"stops the rollout. An agent whose program belongs to a package of its system is not updated.",
		Example:           "  keepward computer update web1 --wait\n  keepward computer update --all-out-of-date --at-once 10\n  keepward computer update web1 --version v1.2.3 --allow-downgrade",
		ValidArgsFunction: a.complete(computerNames),
	}
	f := cmd.Flags()
	f.StringVar(&req.Group, "group", "", "the members of this group")
	f.BoolVar(&req.AllOutOfDate, "all-out-of-date", false, "all whose agents are older than the server")
	f.StringVar(&req.Version, "version", "", "what they become (default: the server's version)")
	f.Int32Var(&req.AtOnce, "at-once", 0, "how many at once (default: the setting agent_updates_at_once)")
	f.BoolVar(&req.AllowDowngrade, "allow-downgrade", false, "also to a version that is older, or of which that cannot be told")
	f.BoolVar(&wait, "wait", false, "wait until the rollout is over")
	noError(cmd.RegisterFlagCompletionFunc("group", a.completeFlag(groupNames)))
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		req.Computers = args
		m, err := call(ctx, c.updates.UpdateComputers, req)
		if err != nil {
			return err
		}
		ro := m.GetRollout()
		if wait {
			if ro, err = a.rolloutEnd(ctx, c, ro.GetId()); err != nil {
				return err
			}
		}
		if err := a.print(ro, func() { a.showRollout(ro) }); err != nil {
			return err
		}
		return rolloutFailed(ro)
	})
	return cmd
}

// rolloutAsked is how often a rollout is asked for that somebody waits for.
const rolloutAsked = time.Second

func (a *app) rolloutEnd(ctx context.Context, c *client, id int64) (*keepwardv1.Rollout, error) {
	for {
		m, err := call(ctx, c.updates.GetRollout, &keepwardv1.GetRolloutRequest{Id: id})
		if err != nil {
			return nil, err
		}
		if m.GetRollout().GetStatus() != "active" {
			return m.GetRollout(), nil
		}
		select {
		case <-ctx.Done():
			a.remark("rollout %d goes on; see it with 'keepward computer rollout show %d'", id, id)
			return nil, ctx.Err()
		case <-time.After(rolloutAsked):
		}
	}
}

// rolloutFailed is the exit status of a rollout that is over.
func rolloutFailed(ro *keepwardv1.Rollout) error {
	for _, m := range ro.GetMembers() {
		if m.GetStatus() == "failed" {
			return errs.New(errs.Unavailable, m.GetCode(), "rollout %d of %s: %s", ro.GetId(), ro.GetVersion(), m.GetReason())
		}
	}
	return nil
}

func (a *app) rolloutCommand() *cobra.Command {
	cmd := a.noun("rollout", "Versions on their way to computers", "A rollout is what 'keepward computer update' begins, or the setting agent_updates by itself.")
	cmd.AddCommand(a.rolloutList(), a.rolloutShow(), a.rolloutStop())
	return cmd
}

func (a *app) showRollout(r *keepwardv1.Rollout) {
	a.fields("rollout", fmt.Sprint(r.GetId()), "version", r.GetVersion(), "status", r.GetStatus(), "begun", a.stamp(r.GetCreated()), "by", r.GetUser(),
		"at once", fmt.Sprint(r.GetAtOnce()), "over", a.stamp(r.GetEnded()), "stopped", r.GetReason())
	t := a.newTable("COMPUTER", "STATUS", "FROM", "SESSION", "WHY")
	for _, m := range r.GetMembers() {
		session := ""
		if m.GetSession() > 0 {
			session = fmt.Sprint(m.GetSession())
		}
		t.row(m.GetComputer(), m.GetStatus(), m.GetFrom(), session, m.GetReason())
	}
	t.print()
}

func (a *app) rolloutList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List rollouts, the newest first", Example: "  keepward computer rollout list", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.updates.ListRollouts, &keepwardv1.ListRolloutsRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() {
				t := a.newTable("ROLLOUT", "VERSION", "STATUS", "UPDATED", "FAILED", "LEFT", "BEGUN", "BY", "|", "STOPPED")
				for _, r := range m.GetRollouts() {
					n := map[string]int{}
					for _, one := range r.GetMembers() {
						n[one.GetStatus()]++
					}
					t.row(fmt.Sprint(r.GetId()), r.GetVersion(), r.GetStatus(), fmt.Sprint(n["updated"]), fmt.Sprint(n["failed"]),
						fmt.Sprint(n["to do"]+n["at it"]+n["left out"]), a.stamp(r.GetCreated()), r.GetUser(), r.GetReason())
				}
				t.print()
			})
		}),
	}
}

func parseRollout(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, usage("%q is no number of a rollout; see 'keepward computer rollout list'", s)
	}
	return n, nil
}

func (a *app) rolloutShow() *cobra.Command {
	return &cobra.Command{
		Use: "show N", Short: "Show a rollout and its computers", Example: "  keepward computer rollout show 3", Args: exactly("N"),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			id, err := parseRollout(args[0])
			if err != nil {
				return err
			}
			m, err := call(ctx, c.updates.GetRollout, &keepwardv1.GetRolloutRequest{Id: id})
			if err != nil {
				return err
			}
			return a.print(m.GetRollout(), func() { a.showRollout(m.GetRollout()) })
		}),
	}
}

func (a *app) rolloutStop() *cobra.Command {
	return &cobra.Command{
		Use: "stop N", Short: "Let no further computer of a rollout begin",
		Long:    "Lets no further computer of a rollout begin. Those that are at it go on; 'keepward session kill' ends them, as long as the new\nversion is not on trial.",
		Example: "  keepward computer rollout stop 3", Args: exactly("N"),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			id, err := parseRollout(args[0])
			if err != nil {
				return err
			}
			m, err := call(ctx, c.updates.StopRollout, &keepwardv1.StopRolloutRequest{Id: id})
			if err != nil {
				return err
			}
			return a.print(m.GetRollout(), func() { a.showRollout(m.GetRollout()) })
		}),
	}
}
