package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/internal/words"
)

// listFlags are the flags that choose sessions.
type listFlags struct {
	req          *keepwardv1.ListSessionsRequest
	since, until string
}

func (a *app) sessionList() *cobra.Command {
	l := &listFlags{req: &keepwardv1.ListSessionsRequest{}}
	watch := false
	cmd := &cobra.Command{
		Use: "list", Short: "List sessions, the newest first",
		Long: "Lists the sessions that pass all filters. With --watch it goes on: on a terminal the table is drawn anew when\n" +
			"something changes, elsewhere each change is a line; with -o json each session that changes is one object on a line.",
		Example: "  keepward session list --active\n  keepward session list --job docs --status failed,killed --since -7d\n" +
			"  keepward session list --text \"no space\"\n  keepward session list --active --watch",
		Args: exactly(),
	}
	l.add(a, cmd)
	cmd.Flags().BoolVar(&watch, "watch", false, "go on, and show what changes")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) error {
		if err := l.read(a); err != nil {
			return err
		}
		if watch {
			return a.watchList(ctx, c, l.req, false)
		}
		m, err := call(ctx, c.sessions.ListSessions, l.req)
		if err != nil {
			return err
		}
		return a.print(m, func() { a.sessionTable(m.GetSessions()) })
	})
	return cmd
}

func (l *listFlags) add(a *app, cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&l.req.Active, "active", false, "only those that are not over")
	f.StringVar(&l.req.Job, "job", "", "only of this job")
	f.StringVar(&l.req.Computer, "computer", "", "only with this computer")
	f.StringSliceVar(&l.req.Statuses, "status", nil, "only in this status, or with this result; may be repeated")
	f.StringVar(&l.req.Type, "type", "", "only of this type, for instance backup")
	f.StringVar(&l.since, "since", "", "only those that were not over by this time, for instance -7d or yesterday")
	f.StringVar(&l.until, "until", "", "only those that were there by this time")
	f.StringVar(&l.req.Text, "text", "", "only with this text in a name, the reason, the failure, or a warning or error of the log")
	f.Int64Var(&l.req.Before, "before", 0, "only those of a lower number")
	f.Int32Var(&l.req.Limit, "limit", 50, "how many")
	noError(cmd.RegisterFlagCompletionFunc("job", a.completeFlag(jobNames)))
	noError(cmd.RegisterFlagCompletionFunc("computer", a.completeFlag(computerNames)))
	noError(cmd.RegisterFlagCompletionFunc("status", cobra.FixedCompletions(statusNames(), cobra.ShellCompDirectiveNoFileComp)))
}

func statusNames() []string {
	var names []string
	for _, r := range job.Statuses {
		names = append(names, string(r.Status))
	}
	return names
}

// read turns the times that were written into moments.
func (l *listFlags) read(a *app) (err error) {
	if l.req.Since, err = a.sinceTime(l.since); err != nil || l.until == "" {
		return err
	}
	t, err := parseTime(l.until, a.now(), a.local)
	if err != nil {
		return err
	}
	l.req.Until = timestamppb.New(t)
	if l.req.Since != nil && t.Before(l.req.Since.AsTime()) {
		return usage("--until %s is before --since %s", l.until, l.since)
	}
	return nil
}

func (a *app) sessionTable(list []*keepwardv1.Session) {
	t := a.newTable(">SESSION", "JOB", "TYPE", "STATUS", "PHASE", ">PRIORITY", "STARTED", ">TOOK", ">DONE", ">LEFT", ">FILES", ">READ", ">STORED", "COMPUTERS", "REASON", "|", "REPOSITORY", "BY")
	for _, s := range list {
		n := s.GetProgress().GetCounters()
		t.row(sessionNumber(s.GetId()), s.GetJob(), s.GetType(), s.GetStatus(), s.GetPhase(), fmt.Sprintf("%03d", s.GetPriority()), a.stamp(s.GetStarted()), a.took(s.GetStarted(), s.GetEnded()),
			donePercent(s), a.timeLeft(s), count(n.GetDoneFiles()-n.GetDoneDirs()), size(n.GetReadBytes()), size(n.GetStoredBytes()), few(computersOf(s)), a.why(s.GetReason(), s.GetFailure()),
			s.GetRepository(), s.GetUser())
	}
	t.print()
}

// donePercent is how far a session is; empty where nobody can tell, or it is over.
func donePercent(s *keepwardv1.Session) string {
	percent, ok := words.Percent(s)
	if !ok {
		return ""
	}
	return strconv.Itoa(percent) + " %"
}

// timeLeft is how long a session will take yet; empty where nobody can tell.
func (a *app) timeLeft(s *keepwardv1.Session) string {
	if s.GetDoneAbout() == nil || s.GetEnded() != nil {
		return ""
	}
	return span(max(s.GetDoneAbout().AsTime().Sub(a.now()), 0).Round(time.Second))
}
