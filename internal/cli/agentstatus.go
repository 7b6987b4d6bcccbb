package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/agent"
	"keepward/internal/job"
)

// byAgentText says that agents manage a job; empty: the server does.
func byAgentText(j *keepwardv1.Job) string {
	if j.GetMode() != job.ModeAgent {
		return ""
	}
	return "the agent of each computer"
}

// agentStatus shows what an agent does by itself. There is no command that starts or changes anything
// at an agent: that is for its server.
func (a *app) agentStatus() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "status --data-dir D", Short: "Show the jobs that the agent of this computer manages",
		Long: `Reads from the data directory of an agent which jobs it manages by itself, when they run next, how many runs it may
begin while the server is away, until when, and how its last runs ended. It needs neither the agent nor the server.

It only shows: nothing can be started or changed at an agent. Jobs are changed at the server, and of those that the
server manages an agent knows nothing.`,
		Example: "  keepward agent status --data-dir /var/lib/keepward/agent", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "data-dir"); err != nil {
				return err
			}
			s, err := agent.ReadStatus(dir, time.Now())
			if err != nil {
				return err
			}
			return a.print(s, func() { a.agentStatusTables(s) })
		},
	}
	cmd.Flags().StringVar(&dir, "data-dir", "", "the agent's directory")
	noError(cmd.MarkFlagDirname("data-dir"))
	return cmd
}

func (a *app) agentStatusTables(s *keepwardv1.AgentStatus) {
	a.fields("computer", s.GetName(), "server", s.GetServer(), "unreported ends", strconv.Itoa(int(s.GetUnreported())))
	fmt.Fprintln(a.out)
	if len(s.GetJobs()) == 0 {
		fmt.Fprintln(a.out, "The backup server manages all jobs of this computer; nothing can be started or changed here.")
	} else {
		t := a.newTable("JOB", "REPOSITORY", "SCHEDULE", "NEXT RUN", "RUNS LEFT", "VALID UNTIL", "NOW", "|", "MISSED", "TRANSPORT", "ISSUED")
		for _, j := range s.GetJobs() {
			now := ""
			switch {
			case j.GetRunning() != "":
				now = "running"
			case j.GetWaits() != nil:
				now = "waits: " + j.GetWaits().GetText()
			}
			t.row(j.GetJob(), j.GetRepository(), j.GetSchedule(), a.stamp(j.GetNextRun()), strconv.Itoa(int(j.GetAttemptsLeft())), a.stamp(j.GetValidUntil()), now,
				j.GetMissed(), j.GetTransport(), a.stamp(j.GetIssued()))
		}
		t.print()
	}
	if len(s.GetRuns()) == 0 {
		return
	}
	fmt.Fprintln(a.out)
	t := a.newTable("STARTED", "ENDED", "JOB", "RESULT", "WHY", "|", "ATTEMPT", "CODE")
	for _, r := range s.GetRuns() {
		t.row(a.stamp(r.GetStarted()), a.stamp(r.GetEnded()), r.GetJob(), r.GetOutcome(), r.GetFailure().GetMessage(), r.GetAttempt(), r.GetFailure().GetCode())
	}
	t.print()
}
