package cli

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/config"
)

// longSpan is a duration that may be zero, in words; empty when it is not known.
func longSpan(d *durationpb.Duration) string {
	switch {
	case d == nil:
		return ""
	case d.AsDuration() == 0:
		return "none"
	}
	return config.FormatDuration(d.AsDuration())
}

func unprotectedText(r *keepwardv1.Repository) string {
	if r.GetUnprotectedAfter().AsDuration() == 0 {
		return "their points are kept"
	}
	return "their points are deleted after " + config.FormatDuration(r.GetUnprotectedAfter().AsDuration())
}

// upkeepFlags are the settings of a repository's upkeep.
type upkeepFlags struct {
	grace, unprotected duration
	maintenance        string
	recompress         string
	read, write        string
}

func (u *upkeepFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var(&u.grace, "undelete-grace", "how long a deleted restore point can be undeleted (default 3d; 0s: not at all)")
	f.Var(&u.unprotected, "unprotected-after", "delete the points of a computer that no job names any more, after so long (0s: never)")
	f.StringVar(&u.maintenance, "maintenance", "", "when retention and sweep run by themselves, as a schedule of a job, or never (default \"daily 03:00\")")
	f.StringVar(&u.recompress, "recompress", "", "compress harder what was compressed fast: idle, while nothing else works on the repository, or never (default idle)")
	f.StringVar(&u.read, "read-limit", "", "what all its tasks together may read from it, such as 100MB/s (\"\": no bound)")
	f.StringVar(&u.write, "write-limit", "", "what all its tasks together may write to it, such as 100MB/s (\"\": no bound)")
}

// apply puts what was written into a request, and tells whether anything was.
func (u *upkeepFlags) apply(cmd *cobra.Command, req *keepwardv1.EditRepositoryRequest) bool {
	f := cmd.Flags()
	if f.Changed("undelete-grace") {
		req.UndeleteGrace = durationpb.New(time.Duration(u.grace))
	}
	if f.Changed("unprotected-after") {
		req.UnprotectedAfter = durationpb.New(time.Duration(u.unprotected))
	}
	if f.Changed("maintenance") {
		req.Maintenance = &u.maintenance
	}
	if f.Changed("recompress") {
		req.Recompress = &u.recompress
	}
	if f.Changed("read-limit") {
		req.ReadLimit = &u.read
	}
	if f.Changed("write-limit") {
		req.WriteLimit = &u.write
	}
	return slices.ContainsFunc([]string{"undelete-grace", "unprotected-after", "maintenance", "recompress", "read-limit", "write-limit"}, f.Changed)
}

// waitFlag is the flag of the commands that start a session of maintenance: these wait, as long as
// nothing else is said.
func waitFlag(cmd *cobra.Command, wait *bool) {
	cmd.Flags().BoolVar(wait, "wait", true, "wait for the end and show what was found or done; --wait=false only starts it")
}

// maintained answers a command that has started a session of maintenance. What such a session
// names is all that it found, so none of it is left out.
func (a *app) maintained(ctx context.Context, c *client, m *keepwardv1.StartSessionResponse, wait bool) error {
	if wait {
		return a.follow(ctx, c, m.GetSession(), allRemarks)
	}
	return a.started(ctx, c, m, false)
}

func (a *app) repositorySweep() *cobra.Command {
	req := &keepwardv1.SweepRepositoryRequest{}
	var wait bool
	cmd := &cobra.Command{
		Use: "sweep NAME", Short: "Give back the space of what no restore point needs",
		Long: `Purges deleted points whose undelete grace is over, and deletes what is needed by no point any more. Backups
and restores go on meanwhile. It runs by itself once a day, see 'repository edit --maintenance'.`,
		Example: "  keepward repository sweep main\n  keepward repository sweep main --dry-run",
		Args:    exactly("NAME"), ValidArgsFunction: a.complete(repositoryNames),
	}
	f := cmd.Flags()
	f.BoolVar(&req.DryRun, "dry-run", false, "only tell what would be done")
	f.BoolVar(&req.Compact, "compact", false, "write anew all packs that hold something dead, and those that were compressed fast, whatever it costs")
	waitFlag(cmd, &wait)
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		req.Name = args[0]
		m, err := call(ctx, c.repositories.SweepRepository, req)
		if err != nil {
			return err
		}
		return a.maintained(ctx, c, m, wait)
	})
	return cmd
}
