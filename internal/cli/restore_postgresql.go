package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

func (a *app) restorePostgreSQL() *cobra.Command {
	return a.restoreApplication(job.PostgreSQL, &cobra.Command{
		Use: "postgresql --computer C --to DIR", Short: "Bring PostgreSQL back, as of a point or of any time between two",
		Long: `Restores a PostgreSQL server into a new data directory, DIR/files/data.

Without --start it is left as it is to be started: the server recovers then. With it the server is
started there, for nobody else to connect, until it is recovered; all rows of all databases are read,
and it is ended again. With --into, one database is loaded from there into a server that runs.`,
		Example: `  keepward restore postgresql --computer db1 --point latest --to /srv/pg --start --wait
  keepward restore postgresql --computer db1 --to-time "2026-11-01 14:03:20" --to /srv/pg --start
  keepward restore postgresql --computer db1 --to /var/tmp/pg --database shop --as shop_before --into /var/run/postgresql --credential pg`,
	})
}

// restoreApplication gives a command the flags that restores of all kinds have.
func (a *app) restoreApplication(kind string, cmd *cobra.Command) *cobra.Command {
	app := &keepwardv1.ApplicationRestore{Kind: kind}
	req := &keepwardv1.RestoreFilesRequest{Application: app}
	var to, toTime, point string
	var set []string
	var wait bool
	cmd.Args = exactly()
	f := cmd.Flags()
	f.StringVar(&req.Computer, "computer", "", "computer whose application it is")
	f.StringVar(&point, "point", "", "restore point: id, latest or a time (default: the newest that has it; with --to-time the newest before that)")
	f.StringVar(&app.Name, "name", job.DefaultApplicationName, "name of the application in the job")
	f.StringVar(&toTime, "to-time", "", "the state of this time, between the point and the next one of its job")
	f.StringVar(&to, "to", "", "new or empty directory on the target")
	f.StringVar(&req.TargetComputer, "target", "", "another computer to restore to")
	f.BoolVar(&app.Start, "start", false, "start it until it is recovered, look at it, and end it")
	f.StringVar(&app.Into, "into", "", "load a database into the server at this address")
	f.StringVar(&app.Credential, "credential", "", "credential for --into")
	f.StringVar(&app.Database, "database", "", "database for --into")
	f.StringVar(&app.As, "as", "", "its name there (default: as it was)")
	f.StringArrayVar(&set, "set", nil, "a setting of the kind, NAME=VALUE; may be repeated")
	f.BoolVar(&wait, "wait", false, "wait for the end")
	noError(cmd.RegisterFlagCompletionFunc("computer", a.completeFlag(computerNames)))
	noError(cmd.RegisterFlagCompletionFunc("target", a.completeFlag(computerNames)))
	noError(cmd.RegisterFlagCompletionFunc("credential", a.completeFlag(credentialNames)))
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) error {
		if err := required(cmd, "computer", "to"); err != nil {
			return err
		}
		for _, s := range set {
			name, value, ok := strings.Cut(s, "=")
			if !ok {
				return usage("--set %s is no NAME=VALUE", s)
			}
			if app.Settings == nil {
				app.Settings = map[string]string{}
			}
			app.Settings[name] = value
		}
		if toTime != "" {
			t, err := parseTime(toTime, a.now(), a.local)
			if err != nil {
				return usage("--to-time %q: %w", toTime, err)
			}
			app.ToTime = timestamppb.New(t)
		}
		if point != "" && point != "latest" {
			var err error
			if req.Point, err = a.pointName(point); err != nil {
				return err
			}
		}
		req.To = []byte(to)
		m, err := call(ctx, c.restores.RestoreFiles, req)
		if err != nil {
			return err
		}
		return a.started(ctx, c, m, wait)
	})
	return cmd
}
