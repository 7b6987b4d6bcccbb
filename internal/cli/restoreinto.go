package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) restoreInto() *cobra.Command {
	req := &keepwardv1.RestoreFilesRequest{}
	var path, run string
	var limit duration
	var wait bool
	cmd := &cobra.Command{
		Use: "command --computer C --point P --path FILE --run COMMAND", Short: "Give a file to a command",
		Long: `Starts a command on a computer and gives it one file of a restore point as its standard input: what a command of the job had printed (/~commands/NAME), or any other file. Nothing is written to a disk on the way.

The command runs as the user of the agent. It is no shell: write one as the command where pipes are wanted. The session fails when the command ends with another exit status than 0, by a signal, after its time, or before it has taken all; what it prints stands in the session's log. It is started once: a session that is interrupted has failed, and never goes on in the middle. What a command did with a part of a file is its own matter.`,
		Example: "  keepward restore command --computer db1 --point latest --path /~commands/shop.sql --run '/usr/bin/psql --set ON_ERROR_STOP=1 --dbname shop_new' --wait\n" +
			"  keepward restore command --computer web1 --point yesterday --path /srv/site.tar --target web2 --limit 1h --run '/usr/bin/tar -x -C /srv/site'",
		Args: exactly(),
	}
	f := cmd.Flags()
	f.StringVar(&req.Computer, "computer", "", "whose file")
	f.StringVar(&req.Point, "point", "", "id, latest, or a time")
	f.StringVar(&path, "path", "", "the file, with its full name")
	f.StringVar(&run, "run", "", "the command with its arguments; the program with its absolute path")
	f.StringVar(&req.TargetComputer, "target", "", "another computer that runs it")
	f.Var(&limit, "limit", "how long it may run (default 12h)")
	f.BoolVar(&wait, "wait", false, "wait for the end")
	noError(cmd.RegisterFlagCompletionFunc("computer", a.completeFlag(computerNames)))
	noError(cmd.RegisterFlagCompletionFunc("target", a.completeFlag(computerNames)))
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) error {
		if err := required(cmd, "computer", "point", "path", "run"); err != nil {
			return err
		}
		line, ok := wordsOf(run)
		if !ok || len(line) == 0 {
			return usage("--run %q: a quote is not closed, or there is no command", run)
		}
		var err error
		if req.Point, err = a.pointName(req.Point); err != nil {
			return err
		}
		req.Paths = [][]byte{[]byte(path)}
		req.Command = &keepwardv1.CommandTarget{Path: line[0], Arguments: line[1:]}
		if limit != 0 {
			req.Command.TimeLimit = durationpb.New(time.Duration(limit))
		}
		m, err := call(ctx, c.restores.RestoreFiles, req)
		if err != nil {
			return err
		}
		return a.started(ctx, c, m, wait)
	})
	return cmd
}
