package cli

import (
	"context"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

// changePoints is the call of a command that marks points.
type changePoints = func(*client) func(context.Context, *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error)

func (a *app) pointDelete() *cobra.Command {
	return a.pointMark("delete", "Delete restore points; for a while they can be undeleted", `Hides the points at once. Their space comes back with the sweep of the repository after the undelete
grace (three days, unless 'repository edit --undelete-grace' says otherwise); until then 'point undelete' brings them back.`,
		"  keepward point delete 3fa19c 77b01d --reason \"wrong paths\"",
		func(c *client) func(context.Context, *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
			return c.points.DeletePoints
		}, true)
}

func (a *app) pointUndelete() *cobra.Command {
	return a.pointMark("undelete", "Bring deleted restore points back", "Works as long as no sweep has purged them; 'point list --deleted' shows until when that is sure.",
		"  keepward point undelete 3fa19c",
		func(c *client) func(context.Context, *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
			return c.points.UndeletePoints
		}, false)
}

func (a *app) pointHold() *cobra.Command {
	return a.pointMark("hold", "Put restore points on legal hold", "Nothing deletes a held point: no retention, no user, no sweep. It is kept until it is released.",
		"  keepward point hold 3fa19c --reason \"case 2026-117\"",
		func(c *client) func(context.Context, *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
			return c.points.HoldPoints
		}, false)
}

func (a *app) pointRelease() *cobra.Command {
	return a.pointMark("release", "End the legal hold of restore points", "The points are kept as their job's retention says from then on.",
		"  keepward point release 3fa19c",
		func(c *client) func(context.Context, *connect.Request[keepwardv1.ChangePointsRequest]) (*connect.Response[keepwardv1.ChangePointsResponse], error) {
			return c.points.ReleasePoints
		}, true)
}

// pointMark is a command that marks the points it names. One that takes something away asks.
func (a *app) pointMark(verb, short, long, example string, to changePoints, ask bool) *cobra.Command {
	req := &keepwardv1.ChangePointsRequest{}
	yes := !ask
	cmd := &cobra.Command{
		Use: verb + " P...", Short: short, Long: long + "\nPoints are named by their ids, or four letters of them and more. Either all are allowed, or nothing is done. A point that is so already is left as it is, which is no failure.",
		Example: example, Args: atLeast("a point"),
	}
	cmd.Flags().StringVar(&req.Reason, "reason", "", "why, for those who ask later")
	if ask {
		cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	}
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		if !yes && !a.confirm("%s%s %s?", strings.ToUpper(verb[:1]), verb[1:], plural(int64(len(args)), "restore point")) {
			return usage("nothing is changed")
		}
		req.Names = args
		m, err := call(ctx, to(c), req)
		if err != nil {
			return err
		}
		return a.print(m, func() {
			a.pointTable(m.GetPoints())
			for _, p := range m.GetPoints() {
				if slices.Contains(m.GetUnchanged(), p.GetId()) {
					a.remark("restore point %s %s; it is left as it is", p.GetId()[:min(shortID, len(p.GetId()))], a.standing(p, verb))
				}
			}
		})
	})
	return cmd
}

// standing says how a point already is as a verb would make it.
func (a *app) standing(p *keepwardv1.Point, verb string) string {
	switch verb {
	case "delete":
		return "is deleted already, since " + a.stamp(p.GetDeleted())
	case "undelete":
		return "is not deleted"
	case "hold":
		return "is on hold already: " + p.GetHoldReason()
	}
	return "is not on hold"
}

// pointFate says what becomes of a point, for tables: deleted until when it can be undeleted, on
// hold, or kept until when.
func (a *app) pointFate(p *keepwardv1.Point) string {
	switch {
	case p.GetDeleted() != nil:
		return "deleted, purge after " + a.stamp(p.GetPurgeAfter())
	case p.GetHeld():
		return "on hold"
	case p.GetKeptUntil() != nil:
		return a.stamp(p.GetKeptUntil())
	}
	return ""
}
