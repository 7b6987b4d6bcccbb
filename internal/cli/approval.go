package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func (a *app) approvalCommand() *cobra.Command {
	cmd := a.noun("approval", "What a second administrator must approve", "With the setting second_person on, what takes protection away for good is done only after another administrator has approved it: to\n"+
		"delete restore points, end a hold, shorten retention, give out or make keys, and what makes one administrator two. Such a command is\n"+
		"refused with approval.asked, and waits here.")
	cmd.AddCommand(a.approvalList(), a.approvalShow(), a.approvalGrant(), a.approvalRefuse())
	return cmd
}

func parseApproval(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 {
		return 0, usage("%q is not the number of an approval; see them with: keepward approval list", text)
	}
	return id, nil
}

func (a *app) approvalList() *cobra.Command {
	req := &keepwardv1.ListApprovalsRequest{}
	cmd := &cobra.Command{
		Use: "list", Short: "List what was asked for, the newest first",
		Example: "  keepward approval list\n  keepward approval list --waiting", Args: exactly(),
	}
	cmd.Flags().BoolVar(&req.Waiting, "waiting", false, "only what can be decided on")
	cmd.Flags().Int32Var(&req.Limit, "limit", 50, "at most so many, up to 1000")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) error {
		m, err := call(ctx, c.approvals.ListApprovals, req)
		if err != nil {
			return err
		}
		return a.print(m, func() {
			t := a.newTable(">ID", "STATE", "USER", "ASKED", "EXPIRES", "WHAT", "|", "CALL", "DECIDED BY", "DECIDED", "NOTE", "ERROR")
			for _, p := range m.GetApprovals() {
				t.row(fmt.Sprint(p.GetId()), p.GetState(), p.GetUser(), a.stamp(p.GetAsked()), a.stamp(p.GetExpires()), p.GetWhat(),
					p.GetCall(), p.GetDecidedBy(), a.stamp(p.GetDecided()), p.GetNote(), p.GetError())
			}
			t.print()
			if !m.GetOn() {
				a.remark("nothing is asked for: the setting second_person is off; switch it on with: keepward setting set second_person on")
			}
		})
	})
	return cmd
}

// approvalFields shows one, and what is to be done about it.
func (a *app) approvalFields(p *keepwardv1.Approval) {
	a.fields("number", fmt.Sprint(p.GetId()), "state", p.GetState(), "asked by", p.GetUser(), "asked", a.stamp(p.GetAsked()), "expires", a.stamp(p.GetExpires()),
		"call", p.GetCall(), "what", p.GetWhat(), "decided by", p.GetDecidedBy(), "decided", a.stamp(p.GetDecided()), "note", p.GetNote(), "error", p.GetError())
	switch {
	case p.GetState() == "waiting":
		a.remark("another administrator than %s decides: keepward approval grant %d, or keepward approval refuse %d", p.GetUser(), p.GetId(), p.GetId())
	case p.GetState() == "granted" && p.GetAgain():
		a.remark("%s does it now, once, by the same command as before", p.GetUser())
	}
}

func (a *app) approvalShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show what somebody asked for", Example: "  keepward approval show 3", Args: exactly("the number of an approval"),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			id, err := parseApproval(args[0])
			if err != nil {
				return err
			}
			m, err := call(ctx, c.approvals.GetApproval, &keepwardv1.GetApprovalRequest{Id: id})
			if err != nil {
				return err
			}
			return a.print(m.GetApproval(), func() { a.approvalFields(m.GetApproval()) })
		}),
	}
}

func (a *app) approvalGrant() *cobra.Command {
	req := &keepwardv1.GrantApprovalRequest{}
	var yes bool
	cmd := &cobra.Command{
		Use: "grant ID", Short: "Approve what another administrator asked for",
		Long: "Approves, and does it at once for who asked. What answers a secret, such as a recovery key, who asked does again by the same\n" +
			"command, once. It is refused if it would do something else by now than it was asked for. Nobody approves what he asked for himself, and\n" +
			"no API token does.",
		Example: "  keepward approval show 3\n  keepward approval grant 3 --note \"agreed on the phone\"", Args: exactly("the number of an approval"),
	}
	cmd.Flags().StringVar(&req.Note, "note", "", "why, for who reads it later")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) (err error) {
		if req.Id, err = parseApproval(args[0]); err != nil {
			return err
		}
		if !yes {
			m, err := call(ctx, c.approvals.GetApproval, &keepwardv1.GetApprovalRequest{Id: req.Id})
			if err != nil {
				return err
			}
			if !a.confirm("User %s asks to %s. Approve it?", m.GetApproval().GetUser(), m.GetApproval().GetWhat()) {
				return usage("nothing is decided")
			}
		}
		m, err := call(ctx, c.approvals.GrantApproval, req)
		if err != nil {
			return err
		}
		if err := a.print(m.GetApproval(), func() { a.approvalFields(m.GetApproval()) }); err != nil {
			return err
		}
		if p := m.GetApproval(); p.GetState() == "failed" {
			return errs.New(errs.Busy, "approval.failed", "approval %d was granted, and could not be done: %s", p.GetId(), p.GetError())
		}
		return nil
	})
	return cmd
}

func (a *app) approvalRefuse() *cobra.Command {
	req := &keepwardv1.RefuseApprovalRequest{}
	cmd := &cobra.Command{
		Use: "refuse ID", Short: "Refuse what another administrator asked for, or take back what you asked for",
		Example: "  keepward approval refuse 3 --note \"that computer is still in use\"", Args: exactly("the number of an approval"),
	}
	cmd.Flags().StringVar(&req.Note, "note", "", "why, for who asked")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) (err error) {
		if req.Id, err = parseApproval(args[0]); err != nil {
			return err
		}
		m, err := call(ctx, c.approvals.RefuseApproval, req)
		if err != nil {
			return err
		}
		return a.print(m.GetApproval(), func() { a.remark("approval %d is %s", req.Id, m.GetApproval().GetState()) })
	})
	return cmd
}
