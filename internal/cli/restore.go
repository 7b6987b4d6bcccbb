package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) restoreCommand() *cobra.Command {
	cmd := a.noun("restore", "Bring something back", "Restores run on the computer that gets the files.")
	cmd.AddCommand(a.restoreFiles())
	return cmd
}

// overwrites are the policies for what is already there.
var overwrites = []string{"always", "different", "newer", "never"}

func (a *app) restoreFiles() *cobra.Command {
	req := &keepwardv1.RestoreFilesRequest{}
	var paths []string
	var to string
	var original, wait, yes bool
	var again time.Duration
	cmd := &cobra.Command{
		Use: "files --computer C --point P --to DIR", Short: "Restore files",
		Long: `Restores files of a computer, to the same or to another one.

--to DIR lays the chosen paths under DIR by their full names (DIR/srv/docs/...); with --strip the chosen folder itself is laid at DIR. --original brings them back to where they were.

A person is shown first what would be written, and how long it may take; --estimate shows it and ends.`,
		Example: "  keepward restore files --computer web1 --point latest --path /srv/docs --to /tmp/back --wait\n" +
			"  keepward restore files --computer web1 --point yesterday --path /etc/hosts --original --overwrite different\n" +
			"  keepward restore files --computer web1 --point 3fa19c --to /srv/copy --target web2\n" +
			"  keepward restore files --computer web1 --point latest --original --estimate",
		Args: exactly(),
	}
	f := cmd.Flags()
	f.StringVar(&req.Computer, "computer", "", "whose files")
	f.StringVar(&req.Point, "point", "", "id, latest, or a time")
	f.StringArrayVar(&paths, "path", nil, "directory or file to restore; may be repeated (default: everything)")
	f.StringVar(&to, "to", "", "directory on the target, an absolute path")
	f.BoolVar(&original, "original", false, "to the original place")
	f.StringVar(&req.TargetComputer, "target", "", "another computer to restore to")
	f.StringVar(&req.Overwrite, "overwrite", "different", strings.Join(overwrites, ", "))
	f.BoolVar(&req.DeleteExtra, "delete-extra", false, "delete what the point has not")
	f.BoolVar(&req.DryRun, "dry-run", false, "only count what would be done")
	f.BoolVar(&req.Strip, "strip", false, "lay the chosen folder itself at --to")
	f.BoolVar(&req.Verify, "verify", false, "read back from disk what was restored and compare it with the point")
	f.BoolVar(&req.Estimate, "estimate", false, "only tell what would be written and fetched, and how long it may take")
	f.BoolVar(&req.NumericOwner, "numeric-owner", false, "on another computer: owners by number, not by name")
	f.DurationVar(&again, "restart-interval", 0, "from a failed attempt to the next (default 20m)")
	f.BoolVar(&yes, "yes", false, "do not estimate first and do not ask")
	f.BoolVar(&wait, "wait", false, "wait for the end")
	noError(cmd.RegisterFlagCompletionFunc("computer", a.completeFlag(computerNames)))
	noError(cmd.RegisterFlagCompletionFunc("target", a.completeFlag(computerNames)))
	noError(cmd.RegisterFlagCompletionFunc("overwrite", cobra.FixedCompletions(overwrites, cobra.ShellCompDirectiveNoFileComp)))
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) error {
		if err := required(cmd, "computer", "point"); err != nil {
			return err
		}
		switch {
		case to == "" && !original:
			return usage("%s wants --to DIR, or --original", cmd.CommandPath())
		case to != "" && original:
			return usage("--to and --original exclude each other")
		case !slices.Contains(overwrites, req.Overwrite):
			return usage("--overwrite %s is none of %s", req.Overwrite, strings.Join(overwrites, ", "))
		}
		name, err := a.pointName(req.Point)
		if err != nil {
			return err
		}
		req.Point, req.To = name, []byte(to)
		for _, p := range paths {
			req.Paths = append(req.Paths, []byte(p))
		}
		if again < 0 {
			return usage("--restart-interval %s is negative", again)
		}
		if again > 0 {
			req.RestartInterval = durationpb.New(again)
		}
		if req.Estimate {
			e, err := a.estimate(ctx, c, req)
			if err != nil {
				return err
			}
			return a.print(e, func() { a.showEstimate(a.out, e) })
		}
		if !yes && !req.DryRun && a.asks() {
			e, err := a.estimate(ctx, c, req)
			if err != nil {
				return err
			}
			a.showEstimate(a.errOut, e)
			if !a.confirm("Restore it?") {
				return usage("nothing was restored")
			}
		}
		m, err := call(ctx, c.restores.RestoreFiles, req)
		if err != nil {
			return err
		}
		if err := a.started(ctx, c, m, wait); err != nil {
			return err
		}
		if req.DryRun && wait {
			a.remark("nothing was changed; what would be done says 'keepward session log %d'", m.GetSession())
		}
		return nil
	})
	return cmd
}
