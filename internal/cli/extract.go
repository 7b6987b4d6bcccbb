package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"keepward/internal/errs"
	"keepward/internal/extract"
	"keepward/internal/restore"
)

type extractFlags struct {
	secret                           secretFlags
	repository, point, computer, to  string
	overwrite                        string
	paths                            []string
	list, dryRun, strip, deleteExtra bool
	verify                           bool
	lay                              layFlags
}

func (a *app) extractCommand() *cobra.Command {
	var x extractFlags
	cmd := &cobra.Command{
		Use: "extract --repository DIR --recovery-key FILE --point P --to DIR", Short: "Restore from a repository without any server",
		Long: "Reads a repository directory with its recovery key. It needs no server, no database and no network, and writes nothing to the repository.",
		Example: "  keepward extract --repository /srv/keepward/main --recovery-key main.key --list\n" +
			"  keepward extract --repository /srv/keepward/main --recovery-key main.key --point latest --computer web1 --to /tmp/back",
		Args: exactly(),
	}
	f := cmd.Flags()
	f.StringVar(&x.repository, "repository", "", "directory of the repository")
	x.secret.add(cmd)
	f.StringVar(&x.point, "point", "", "id, latest, or a time")
	f.StringVar(&x.computer, "computer", "", "whose point; needed for latest when there are several")
	f.StringVar(&x.to, "to", "", "directory to restore to")
	f.StringArrayVar(&x.paths, "path", nil, "directory or file to restore; may be repeated (default: everything)")
	x.lay.add(cmd)
	f.StringVar(&x.overwrite, "overwrite", "different", strings.Join(overwrites, ", "))
	f.BoolVar(&x.list, "list", false, "only list the restore points")
	f.BoolVar(&x.dryRun, "dry-run", false, "only count what would be done")
	f.BoolVar(&x.strip, "strip", false, "lay the chosen folder itself at --to")
	f.BoolVar(&x.deleteExtra, "delete-extra", false, "delete what the point has not")
	f.BoolVar(&x.verify, "verify", false, "read back from disk what was restored and compare it with the point")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := required(cmd, "repository"); err != nil {
			return err
		}
		u, err := a.unlock(x.secret)
		if err != nil {
			return err
		}
		o := extract.Options{Repository: x.repository, RecoveryKey: u.RecoveryKey, Passphrase: u.Passphrase, Computer: x.computer}
		if x.list {
			return a.extractList(cmd.Context(), o)
		}
		if err := required(cmd, "point", "to"); err != nil {
			return err
		}
		return a.extract(cmd.Context(), o, x)
	}
	return cmd
}

// wrongKey gives a key that does not fit the status of a failure: the words of the
// command were right.
func wrongKey(err error) error {
	if strings.HasPrefix(errs.CodeOf(err), "recovery.") {
		return &statusError{status: exitFailed, err: err}
	}
	return err
}

func (a *app) extractList(ctx context.Context, o extract.Options) error {
	list, err := extract.List(ctx, o)
	if err != nil {
		return wrongKey(err)
	}
	if a.format.machine() {
		return a.printValue(map[string]any{"points": pointValues(list)})
	}
	t := a.newTable("POINT", "TIME", "COMPUTER", "JOB", "KIND", ">FILES", ">SIZE", "STATE", "|", ">SESSION", "FULL ID")
	for _, p := range list {
		kind := "incremental"
		if p.Full {
			kind = "full"
		}
		t.row(p.ID[:min(shortID, len(p.ID))], p.Time.In(a.local).Format("2006-01-02 15:04:05"), p.Computer, p.Job, kind,
			count(p.Files), size(p.Bytes), extractState(p), sessionNumber(p.Session), p.ID)
	}
	t.print()
	return nil
}

func extractState(p extract.Point) string {
	state := p.Completeness
	if p.Deleted {
		state += ", deleted"
	}
	if p.Held {
		state += ", on hold"
	}
	return state
}

// pointValues are points in the words of the API's JSON.
func pointValues(list []extract.Point) []map[string]any {
	values := []map[string]any{}
	for _, p := range list {
		values = append(values, map[string]any{
			"id": p.ID, "computer": p.Computer, "job": p.Job, "session": fmt.Sprint(p.Session), "time": p.Time.UTC().Format(time.RFC3339),
			"full": p.Full, "partial": p.Partial, "completeness": p.Completeness, "files": fmt.Sprint(p.Files), "bytes": fmt.Sprint(p.Bytes), "errors": fmt.Sprint(p.Errors),
			"deleted": p.Deleted, "held": p.Held,
		})
	}
	return values
}

func (a *app) extract(ctx context.Context, o extract.Options, x extractFlags) error {
	name, err := a.pointName(x.point)
	if err != nil {
		return err
	}
	policy, err := restore.ParseOverwrite(x.overwrite)
	if err != nil {
		return err
	}
	o.Point = name
	renames, owners, err := x.lay.rules()
	if err != nil {
		return err
	}
	counters := &restore.Counters{}
	o.Restore = restore.Options{
		Renames: renames, Owners: owners, To: x.to, Strip: x.strip, Overwrite: policy, DeleteExtra: x.deleteExtra, DryRun: x.dryRun, Verify: x.verify,
		Counters: counters, Event: a.extractEvent,
	}
	for _, p := range x.paths {
		o.Restore.Paths = append(o.Restore.Paths, []byte(p))
	}
	stop := a.extractProgress(ctx, counters)
	p, result, err := extract.Run(ctx, o)
	stop()
	if err != nil {
		return wrongKey(err)
	}
	return a.extractEnd(p, result.Counters)
}

// extractEvent prints what happened to a file. Programs read the counters.
func (a *app) extractEvent(e restore.Event) {
	if a.quiet && e.Level == "info" {
		return
	}
	text := safe(e.Text)
	if len(e.Path) > 0 {
		text = safe(string(e.Path)) + ": " + text
	}
	fmt.Fprintf(a.errOut, "%s: %s\n", e.Level, text)
}

// extractProgress prints a line now and then until its answer is called.
func (a *app) extractProgress(ctx context.Context, c *restore.Counters) (stop func()) {
	if a.quiet || a.format.machine() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() {
		for sleep(ctx, lineEvery) {
			n := c.Snapshot()
			a.remark("%s files and directories · %s", doneOf(count(n.DoneFiles), n.TotalFiles, count), doneOf(size(n.DoneBytes), n.TotalBytes, size))
		}
	})
	return func() { cancel(); wait.Wait() }
}

func (a *app) extractEnd(p extract.Point, n restore.Snapshot) error {
	var err error
	if a.format.machine() {
		err = a.printValue(map[string]any{
			"point": pointValues([]extract.Point{p})[0], "files": fmt.Sprint(n.DoneFiles), "bytes": fmt.Sprint(n.DoneBytes), "dirs": fmt.Sprint(n.DoneDirs),
			"skippedFiles": fmt.Sprint(n.SkippedFiles), "errors": fmt.Sprint(n.Errors), "warnings": fmt.Sprint(n.Warnings),
			"verifiedFiles": fmt.Sprint(n.VerifiedFiles), "verifiedBytes": fmt.Sprint(n.VerifiedBytes), "mismatchedFiles": fmt.Sprint(n.Mismatched),
		})
	} else {
		_, err = fmt.Fprintf(a.out, "point %s of %s, %s: %s, %s; already right %s, %s, %s\n", p.ID, safe(p.Computer),
			p.Time.In(a.local).Format("2006-01-02 15:04:05"), entries(n.DoneFiles, n.DoneDirs), size(n.DoneBytes), entries(n.SkippedFiles, n.SkippedDirs), plural(n.Errors, "error"), plural(n.Warnings, "warning"))
	}
	if n.VerifiedFiles+n.Mismatched > 0 {
		a.remark("verified %s, %s: %s", plural(n.VerifiedFiles, "file"), size(n.VerifiedBytes), differing(n.Mismatched))
	}
	if n.Errors > 0 || n.Warnings > 0 {
		err = errors.Join(err, &statusError{status: exitLeftOut})
	}
	return err
}
