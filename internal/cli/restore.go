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
	cmd.AddCommand(a.restoreFiles(), a.restoreMariaDB(), a.restorePostgreSQL(), a.restoreInto())
	return cmd
}

// overwrites are the policies for what is already there.
var overwrites = []string{"always", "different", "newer", "never"}

func (a *app) restoreFiles() *cobra.Command {
	req := &keepwardv1.RestoreFilesRequest{}
	var paths []string
	var to, pathsFrom, fromFind string
	var lay layFlags
	var original, wait, yes bool
	var again time.Duration
	cmd := &cobra.Command{
		Use: "files --computer C --point P --to DIR", Short: "Restore files",
		Long: `Restores files of a computer, to the same or to another one.

--to DIR lays the chosen paths under DIR by their full names (DIR/srv/docs/...); with --strip the chosen folder itself is laid at DIR. --original brings them back to where they were. --map lays single paths elsewhere.

What is chosen may come from --path, from a list of paths (--paths-from), or from a search (--from-find): then whose files and of which point need not be said, and there is a session for each point.

A person is shown first what would be written, and how long it may take; --estimate shows it and ends.`,
		Example: "  keepward restore files --computer web1 --point latest --path /srv/docs --to /tmp/back --wait\n" +
			"  keepward restore files --computer web1 --point yesterday --path /etc/hosts --original --overwrite different\n" +
			"  keepward restore files --computer web1 --point 3fa19c --to /srv/copy --target web2\n" +
			"  keepward restore files --computer web1 --point latest --original --estimate\n" +
			"  keepward restore files --computer web1 --point latest --to / --target web2 --map /srv/www=/srv/copy --owner-map www-data:nginx\n" +
			"  keepward point find '*.odt' --computer web1 -o json | keepward restore files --from-find - --to /tmp/back --yes",
		Args: exactly(),
	}
	f := cmd.Flags()
	f.StringVar(&req.Computer, "computer", "", "whose files")
	f.StringVar(&req.Point, "point", "", "id, latest, or a time")
	f.StringArrayVar(&paths, "path", nil, "directory or file to restore; may be repeated (default: everything)")
	f.StringVar(&pathsFrom, "paths-from", "", "a file of paths to restore, one a line or each ended by a zero byte; - reads the standard input")
	f.StringVar(&fromFind, "from-find", "", "what 'point find -o json' printed, or a part of it; - reads the standard input")
	lay.add(cmd)
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
		list, err := a.choose(cmd, req, paths, pathsFrom, fromFind)
		if err != nil {
			return err
		}
		switch {
		case to == "" && !original:
			return usage("%s wants --to DIR, or --original", cmd.CommandPath())
		case to != "" && original:
			return usage("--to and --original exclude each other")
		case !slices.Contains(overwrites, req.Overwrite):
			return usage("--overwrite %s is none of %s", req.Overwrite, strings.Join(overwrites, ", "))
		case req.Strip && len(lay.maps) > 0:
			return usage("--strip and --map exclude each other")
		}
		if err := lay.into(req); err != nil {
			return err
		}
		req.To = []byte(to)
		if again < 0 {
			return usage("--restart-interval %s is negative", again)
		}
		if again > 0 {
			req.RestartInterval = durationpb.New(again)
		}
		for _, one := range list {
			req.Point, req.Paths = one.point, one.paths
			if err := a.restoreOne(ctx, c, req, yes, wait); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

// choose makes the list of what is to be restored, of each point.
func (a *app) choose(cmd *cobra.Command, req *keepwardv1.RestoreFilesRequest, paths []string, pathsFrom, fromFind string) ([]choice, error) {
	point := ""
	if req.Point != "" {
		var err error
		if point, err = a.pointName(req.Point); err != nil {
			return nil, err
		}
	}
	if fromFind != "" {
		if len(paths) > 0 || pathsFrom != "" {
			return nil, usage("--from-find says what is restored; leave --path and --paths-from out")
		}
		computer, list, err := a.fromFind(fromFind, point)
		if err == nil && req.Computer != "" && req.Computer != computer {
			err = usage("--from-find %s has files of %s, not of %s", fromFind, computer, req.Computer)
		}
		req.Computer = computer
		return list, err
	}
	if err := required(cmd, "computer", "point"); err != nil {
		return nil, err
	}
	one := choice{point: point}
	for _, p := range paths {
		one.paths = append(one.paths, []byte(p))
	}
	if pathsFrom != "" {
		more, err := a.pathsFrom(pathsFrom)
		if err != nil {
			return nil, err
		}
		one.paths = append(one.paths, more...)
	}
	return []choice{one}, nil
}

// restoreOne restores of one point.
func (a *app) restoreOne(ctx context.Context, c *client, req *keepwardv1.RestoreFilesRequest, yes, wait bool) error {
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
}
