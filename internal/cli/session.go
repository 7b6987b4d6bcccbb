package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) sessionCommand() *cobra.Command {
	cmd := a.noun("session", "Runs of jobs: what runs, what ran, and why something waits", "A session is one run of a job, or one restore, check or other work. It has a number.")
	cmd.AddCommand(a.sessionList(), a.sessionShow(), a.sessionLog(), a.sessionErrors(), a.sessionSpeed(), a.sessionWatch(), a.sessionSuspend(), a.sessionResume(), a.sessionPriority(), a.sessionKill(), a.sessionRetry())
	return cmd
}

// why is the reason for delay, or for failure.
func (a *app) why(r *keepwardv1.Reason, f *keepwardv1.Failure) string {
	if f.GetMessage() != "" {
		return a.localTimes(f.GetMessage())
	}
	if r.GetCode() == "NONE" {
		return ""
	}
	return a.reason(r)
}

func computersOf(s *keepwardv1.Session) []string {
	var names []string
	for _, t := range s.GetTasks() {
		if t.GetComputer() != "" {
			names = append(names, t.GetComputer())
		}
	}
	return names
}

// parseSession reads the number of a session.
func parseSession(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, usage("%q is no number of a session; see 'keepward session list'", s)
	}
	return n, nil
}

func (a *app) sessionShow() *cobra.Command {
	return &cobra.Command{
		Use: "show N", Short: "Show a session, its tasks and why they wait", Example: "  keepward session show 12",
		Args: exactly("the number of a session"),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			id, err := parseSession(args[0])
			if err != nil {
				return err
			}
			m, err := call(ctx, c.sessions.GetSession, &keepwardv1.GetSessionRequest{Id: id})
			if err != nil {
				return err
			}
			return a.print(m.GetSession(), func() { a.showSession(m.GetSession()) })
		}),
	}
}

func (a *app) showSession(s *keepwardv1.Session) {
	n := s.GetProgress().GetCounters()
	a.fields("session", sessionNumber(s.GetId()), "job", s.GetJob(), "type", s.GetType(), "status", s.GetStatus(), "phase", s.GetPhase(),
		"reason", a.why(s.GetReason(), nil), "failure", s.GetFailure().GetMessage(), "hint", s.GetFailure().GetHint(), "result", s.GetResult(),
		"repository", s.GetRepository(), "full", onlyYes(s.GetFull()), "retry of", sessionNumber(s.GetOrigin()), "tried again", a.stamp(s.GetRetryAt()), "priority", strconv.Itoa(int(s.GetPriority())), "started by", s.GetUser(),
		"created", a.stamp(s.GetCreated()), "started", a.stamp(s.GetStarted()), "ended", a.stamp(s.GetEnded()), "took", a.took(s.GetStarted(), s.GetEnded()),
		"limited by", limitedBy(s.GetLimits()))
	if lines := reportLines(s.GetReport()); len(lines) > 0 {
		a.section("Report")
		a.fields(lines...)
	}
	if lines := ratesOf(s); len(lines) > 0 {
		a.section("Held to")
		a.fields(lines...)
	}
	a.showWaits(s.GetWaits())
	if proto.Size(n) > 0 {
		a.section("Counters")
		a.showCounters(n)
	}
	a.section("Tasks")
	t := a.newTable("COMPUTER", "STATUS", "PHASE", ">ATTEMPT", ">FILES", ">READ", ">STORED", "REASON", "|", "POINT", "PRIORITY", "LIMITED BY", "TASK")
	for _, k := range s.GetTasks() {
		n := k.GetProgress().GetCounters()
		t.row(k.GetComputer(), k.GetStatus(), k.GetPhase(), strconv.Itoa(int(k.GetAttempt())), count(n.GetDoneFiles()-n.GetDoneDirs()), size(n.GetReadBytes()), size(n.GetStoredBytes()),
			a.why(k.GetReason(), k.GetFailure()), k.GetPoint(), fmt.Sprintf("%03d", k.GetPriority()), limitedBy(k.GetLimits()), k.GetId())
	}
	t.print()
}

// showCounters leaves out what did not happen.
func (a *app) showCounters(n *keepwardv1.Counters) {
	parted := func(all, dirs, bytes int64) string {
		if all == 0 && bytes == 0 {
			return ""
		}
		return entries(all, dirs) + ", " + size(bytes)
	}
	files := func(n, bytes int64) string { return parted(n, 0, bytes) }
	both := func(n, bytes int64) string {
		if n == 0 && bytes == 0 {
			return ""
		}
		return count(n) + " files and directories, " + size(bytes)
	}
	some := func(v int64) string {
		if v == 0 {
			return ""
		}
		return count(v)
	}
	bytes := func(v int64) string {
		if v == 0 {
			return ""
		}
		return size(v)
	}
	a.fields("total", both(n.GetTotalFiles(), n.GetTotalBytes()), "done", parted(n.GetDoneFiles(), n.GetDoneDirs(), n.GetDoneBytes()),
		"read", files(n.GetReadFiles(), n.GetReadBytes()), "unchanged", both(n.GetReusedFiles(), n.GetReusedBytes()),
		"already right", parted(n.GetSkippedFiles(), n.GetSkippedDirs(), n.GetSkippedBytes()),
		"new", some(n.GetNewFiles()), "changed", some(n.GetChangedFiles()), "deleted", some(n.GetDeletedFiles()), "excluded", some(n.GetExcludedFiles()),
		"verified", files(n.GetVerifiedFiles(), n.GetVerifiedBytes()), "differ", some(n.GetMismatchedFiles()),
		"sent", bytes(n.GetSentBytes()), "stored", bytes(n.GetStoredBytes()), "duplicate", bytes(n.GetDuplicateBytes()), "kept in place", bytes(n.GetKeptBytes()),
		"sent again", bytes(n.GetResentBytes()), "read again", bytes(n.GetRereadBytes()),
		"errors", some(n.GetErrors()), "warnings", some(n.GetWarnings()))
}

// printLog prints a log as it comes; as JSON it is one object, or one event per line
// when it is followed.
func (a *app) printLog(ctx context.Context, c *client, id int64, follow bool) error {
	s := &stream{a: a, name: "events"}
	err := receive(ctx, c, c.sessions.ReadLog, &keepwardv1.ReadLogRequest{Id: id, Follow: follow}, func(m *keepwardv1.ReadLogResponse) error {
		for _, e := range m.GetEvents() {
			if err := a.printEvent(s, e, follow); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if follow {
		return nil
	}
	return s.close()
}

func (a *app) printEvent(s *stream, e *keepwardv1.Event, follow bool) error {
	if !a.format.machine() {
		return a.eventLine(a.out, e)
	}
	e.PathText = safe(string(e.GetPath()))
	if follow {
		return a.printLine(e)
	}
	return s.add(e)
}
