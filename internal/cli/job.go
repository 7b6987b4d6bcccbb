package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/config"
	"keepward/internal/job"
	"keepward/internal/schedule"
)

func (a *app) jobCommand() *cobra.Command {
	cmd := a.noun("job", "What is backed up, to where, and when", "A job is a saved definition. Each run of it is a session; see 'keepward session'.")
	cmd.AddCommand(a.jobCreate(), a.jobList(), a.jobShow(), a.jobEdit(), a.jobDelete(), a.jobRun(),
		a.jobSwitch("enable", "Let the schedule start a job again", false), a.jobSwitch("disable", "Keep the schedule from starting a job", true), a.jobNext(), a.jobStats(), a.jobRetention(), a.jobDryRun())
	return cmd
}

// jobFlags are the settings of a job that create and edit share.
type jobFlags struct {
	job      *keepwardv1.Job
	files    fileFlags
	interval duration
	jitter   duration
	keep     retentionFlags
	verify   jobCheckFlags
	scripts  scriptFlags
	apps     applicationFlags
	commands commandFlags
}

func (a *app) jobFlags(cmd *cobra.Command) *jobFlags {
	j := &jobFlags{job: &keepwardv1.Job{}}
	f := cmd.Flags()
	f.StringVar(&j.job.Type, "type", string(job.Backup), "what it does: "+savedTypes())
	f.StringVar(&j.job.Mode, "mode", "server", "who manages it: server, or agent: each computer runs it by itself, also while the server is away")
	f.StringSliceVar(&j.job.Computers, "computer", nil, "computer to back up; may be repeated")
	f.StringSliceVar(&j.job.Groups, "group", nil, "its members are backed up too; may be repeated")
	f.StringVar(&j.job.Repository, "repository", "", "where to")
	j.files.add(f)
	f.StringVar(&j.job.Schedule, "schedule", "", "when it runs by itself, for instance "+strconv.Quote(schedule.Examples[0]))
	f.Var(&j.jitter, "jitter", "spread the computers of a scheduled run over so long, for instance 1h")
	f.StringVar(&j.job.Missed, "missed", "", "a run missed while the server was down: \"run once\" (default) or skip")
	f.StringVar(&j.job.Compression, "compression", "", "auto (default), none, fast, zstd or high")
	f.BoolVar(&j.job.FullSpeed, "full-speed", false, "do not let other work of the computer go first")
	f.Int32Var(&j.job.Processors, "processors", 0, "how many processors of a computer it may keep busy at once (0: all)")
	f.Int32Var(&j.job.Connections, "connections", 0, "data connections of each task, 1 to 16 (0: as the setting data_connections says)")
	f.StringVar(&j.job.OnBattery, "on-battery", "", "what starts by itself while its computer runs on a battery: run, wait, or a charge down to which it runs (default "+job.DefaultOnBattery+")")
	f.StringVar(&j.job.OnMetered, "on-metered", "", "the same while the network of the computer is metered: run, or wait (default)")
	f.Int32Var(&j.job.FullReadEvery, "full-read-every", 0, "read all files again every so many runs (0: never)")
	f.Int32Var(&j.job.Attempts, "attempts", 0, "tries per phase (0: the default)")
	f.Var(&j.interval, "restart-interval", "time between tries (default 20m)")
	j.keep.add(f)
	j.verify.add(f)
	f.BoolVar(&j.job.Compact, "compact", false, "type sweep: rewrite packs that hold little of use too, whatever the settings say")
	f.StringVar(&j.job.Duplicates, "duplicates", "", "a second session while one is not over: "+strings.Join(job.DuplicatePolicies, ", ")+" (default: as the setting duplicates says)")
	j.scripts.add(f)
	j.apps.add(f)
	j.commands.add(f)
	f.StringVar(&j.job.Description, "description", "", "a remark for people")
	f.BoolVar(&j.job.HighPriority, "high-priority", false, "it goes before other jobs of its kind")
	f.Int32Var(&j.job.Priority, "priority", 0, "of its sessions, 1 (first) to 999 (last); 0: as 'keepward priority list' has it")
	f.BoolVar(&j.job.Disabled, "disabled", false, "the schedule does not start it")
	noError(cmd.RegisterFlagCompletionFunc("computer", a.completeFlag(computerNames)))
	noError(cmd.RegisterFlagCompletionFunc("group", a.completeFlag(groupNames)))
	noError(cmd.RegisterFlagCompletionFunc("repository", a.completeFlag(repositoryNames)))
	noError(cmd.RegisterFlagCompletionFunc("duplicates", cobra.FixedCompletions(job.DuplicatePolicies, cobra.ShellCompDirectiveNoFileComp)))
	noError(cmd.RegisterFlagCompletionFunc("compression", cobra.FixedCompletions([]string{"auto", "none", "fast", "zstd", "high"}, cobra.ShellCompDirectiveNoFileComp)))
	return j
}

// check finds what is wrong without asking the server.
func (j *jobFlags) check(cmd *cobra.Command) error {
	if err := j.scripts.check(); err != nil {
		return err
	}
	if err := j.apps.check(); err != nil {
		return err
	}
	if err := j.commands.check(); err != nil {
		return err
	}
	if err := j.files.check(cmd.Flags()); err != nil {
		return err
	}
	if j.job.GetSchedule() == "" {
		return nil
	}
	if _, err := schedule.Parse(j.job.GetSchedule(), time.UTC); err != nil {
		return usage("%w", err)
	}
	return nil
}

// apply puts the flags that were written into an existing job.
func (j *jobFlags) apply(cmd *cobra.Command, to *keepwardv1.Job) {
	if len(j.files.computers) > 0 {
		j.files.applyFor(cmd.Flags(), to)
		return
	}
	if to.Files == nil {
		to.Files = &keepwardv1.FileSelection{}
	}
	j.files.apply(cmd.Flags(), to.Files)
	for name, set := range map[string]func(){
		"type":             func() { to.Type = j.job.Type },
		"mode":             func() { to.Mode = j.job.Mode },
		"computer":         func() { to.Computers = j.job.Computers },
		"group":            func() { to.Groups = j.job.Groups },
		"repository":       func() { to.Repository = j.job.Repository },
		"schedule":         func() { to.Schedule = j.job.Schedule },
		"jitter":           func() { to.Jitter = durationpb.New(time.Duration(j.jitter)) },
		"missed":           func() { to.Missed = j.job.Missed },
		"compression":      func() { to.Compression = j.job.Compression },
		"full-speed":       func() { to.FullSpeed = j.job.FullSpeed },
		"processors":       func() { to.Processors = j.job.Processors },
		"connections":      func() { to.Connections = j.job.Connections },
		"on-battery":       func() { to.OnBattery = j.job.OnBattery },
		"on-metered":       func() { to.OnMetered = j.job.OnMetered },
		"full-read-every":  func() { to.FullReadEvery = j.job.FullReadEvery },
		"attempts":         func() { to.Attempts = j.job.Attempts },
		"restart-interval": func() { to.RestartInterval = durationpb.New(time.Duration(j.interval)) },
		"duplicates":       func() { to.Duplicates = j.job.Duplicates },
		"description":      func() { to.Description = j.job.Description },
		"disabled":         func() { to.Disabled = j.job.Disabled },
		"high-priority":    func() { to.HighPriority = j.job.HighPriority },
		"priority":         func() { to.Priority = j.job.Priority },
		"compact":          func() { to.Compact = j.job.Compact },
	} {
		if cmd.Flags().Changed(name) {
			set()
		}
	}
	if cmd.Flags().Changed("computer") || cmd.Flags().Changed("group") { // both stand now: who is in a group counts
		config.WithoutStrangers(to)
	}
	to.Retention = j.keep.apply(cmd.Flags(), to.Retention)
	to.Check = j.verify.apply(cmd.Flags(), to.Check)
	to.Scripts = j.scripts.apply(cmd.Flags(), to.Scripts)
	to.Applications = j.apps.apply(cmd.Flags(), to.Applications)
	j.commands.apply(cmd.Flags(), to)
}

func (a *app) jobCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME --computer C --include P --repository R", Short: "Make a job",
		Example: `  keepward job create docs --computer web1 --include /srv/docs --exclude '*.tmp' --repository main --schedule "daily 22:00"
  keepward job create dumps --computer db1 --command "name=shop.sql,limit=2h,run=/usr/bin/pg_dump --username backup shop" --repository main
  keepward job create proof --type verify --repository main --read-data --sample-percent 25 --schedule "weekly sat 02:00"
  keepward job create itself --type server-backup --repository main --schedule "daily 12:00" --keep-last 14`,
		Args: exactly("NAME"),
	}
	flags := a.jobFlags(cmd)
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		if err := required(cmd, jobNeeds(flags.job, len(flags.apps.lines)+len(flags.commands.texts) > 0)...); err != nil {
			return err
		}
		if err := flags.check(cmd); err != nil {
			return err
		}
		j := &keepwardv1.Job{Name: args[0], Type: flags.job.Type, Mode: flags.job.Mode}
		flags.apply(cmd, j)
		m, err := call(ctx, c.jobs.CreateJob, &keepwardv1.CreateJobRequest{Job: j})
		if err != nil {
			return err
		}
		a.warnings(m.GetWarnings())
		return a.print(m.GetJob(), func() { a.showJob(m.GetJob()) })
	})
	return cmd
}

func (a *app) jobEdit() *cobra.Command {
	cmd := &cobra.Command{
		Use: "edit NAME", Short: "Change settings of a job; the others stay",
		Long: "Changes what is named and leaves the rest. --computer, --include, --exclude, --only and --command replace the whole list; an empty text empties it.\n" +
			"With --for, what is taken is changed for that computer alone: what is not named stays as it is for the others.",
		Example: "  keepward job edit docs --schedule \"weekly mon-fri 20:00\"\n  keepward job edit docs --for web2 --include /srv/web2 --exclude '*.log'\n  keepward job edit docs --for web2 --as-others",
		Args:    exactly("NAME"), ValidArgsFunction: a.complete(jobNames),
	}
	flags := a.jobFlags(cmd)
	flags.files.addFor(a, cmd)
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		if err := flags.check(cmd); err != nil {
			return err
		}
		return a.updateJob(ctx, c, args[0], func(j *keepwardv1.Job) { flags.apply(cmd, j) })
	})
	return cmd
}

// updateJob reads a job, changes it and writes it back.
func (a *app) updateJob(ctx context.Context, c *client, name string, change func(*keepwardv1.Job)) error {
	got, err := call(ctx, c.jobs.GetJob, &keepwardv1.GetJobRequest{Name: name})
	if err != nil {
		return err
	}
	change(got.GetJob())
	m, err := call(ctx, c.jobs.UpdateJob, &keepwardv1.UpdateJobRequest{Job: got.GetJob()})
	if err != nil {
		return err
	}
	a.warnings(m.GetWarnings())
	return a.print(m.GetJob(), func() { a.showJob(m.GetJob()) })
}

func (a *app) jobSwitch(verb, short string, disabled bool) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME", Short: short, Example: "  keepward job " + verb + " docs",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(jobNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			return a.updateJob(ctx, c, args[0], func(j *keepwardv1.Job) { j.Disabled = disabled })
		}),
	}
}

func (a *app) jobList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List jobs", Example: "  keepward job list", Args: exactly(),
		RunE: a.withClient(func(ctx context.Context, c *client, _ []string) error {
			m, err := call(ctx, c.jobs.ListJobs, &keepwardv1.ListJobsRequest{})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.jobTable(m.GetJobs()) })
		}),
	}
}

func (a *app) jobTable(list []*keepwardv1.Job) {
	t := a.newTable("NAME", "TYPE", "COMPUTERS", "REPOSITORY", "SCHEDULE", "NEXT RUN", "LAST RUN", "RESULT", "|", ">SESSION", "DESCRIPTION")
	for _, j := range list {
		next := a.stamp(j.GetNextRun())
		if j.GetDisabled() {
			next = "disabled"
		}
		t.row(j.GetName(), j.GetType(), strings.Join(whoOf(j), ", "), j.GetRepository(), j.GetSchedule(), next,
			a.stamp(j.GetLastRun()), j.GetLastResult(), sessionNumber(j.GetLastSession()), j.GetDescription())
	}
	t.print()
}

func sessionNumber(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// shownRuns is how many coming runs a job is shown with.
const shownRuns = 3

func (a *app) jobShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a job, its next runs and its last sessions", Example: "  keepward job show docs",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(jobNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.jobs.GetJob, &keepwardv1.GetJobRequest{Name: args[0], NextRuns: shownRuns})
			if err != nil {
				return err
			}
			return a.print(m, func() {
				a.showJob(m.GetJob())
				a.warnings(m.GetWarnings())
				if len(m.GetRecent()) > 0 {
					a.section("Sessions")
					a.sessionTable(m.GetRecent())
				}
			})
		}),
	}
}

func (a *app) showJob(j *keepwardv1.Job) {
	f := j.GetFiles()
	interval := ""
	if j.GetRestartInterval() != nil {
		interval = span(j.GetRestartInterval().AsDuration())
	}
	jitter := ""
	if j.GetJitter().AsDuration() > 0 {
		jitter = span(j.GetJitter().AsDuration())
	}
	attempts := ""
	if j.GetAttempts() > 0 {
		attempts = strconv.Itoa(int(j.GetAttempts()))
	}
	priority := ""
	if n := j.GetPriority(); n > 0 {
		priority = fmt.Sprintf("%03d", n)
	}
	every := ""
	if n := j.GetFullReadEvery(); n > 0 {
		every = "every " + strconv.Itoa(int(n)) + " runs"
	}
	processors := ""
	if n := j.GetProcessors(); n > 0 {
		processors = "at most " + strconv.Itoa(int(n))
	}
	connections := ""
	if n := j.GetConnections(); n > 0 {
		connections = strconv.Itoa(int(n))
	}
	a.fields(append([]string{
		"name", j.GetName(), "type", j.GetType(), "description", j.GetDescription(), "computers", strings.Join(j.GetComputers(), ", "), "groups", strings.Join(j.GetGroups(), ", "),
		"include", strings.Join(f.GetInclude(), ", "), "exclude", strings.Join(f.GetExclude(), ", "),
		"only", strings.Join(f.GetOnly(), ", "), "one file system", onlyYes(f.GetOneFileSystem()), "tagged caches", onlyYes(f.GetIncludeCaches()),
		"temporary files", onlyYes(f.GetIncludeTemporary()), "live file system", onlyYes(f.GetLive()), "no change tracking", onlyYes(f.GetNoTracking()),
		"managed by", byAgentText(j), "repository", j.GetRepository(), "compression", j.GetCompression(), "schedule", j.GetSchedule(), "spread over", jitter, "missed runs", j.GetMissed(), "duplicates", j.GetDuplicates(),
		"retention", retentionText(j.GetRetention()), "applications", applicationsText(j.GetApplications()), "scripts", scriptsText(j.GetScripts()), "commands", commandsText(j.GetCommands()), "all is read", every, "checks", checkText(j), "compact", onlyYes(j.GetCompact()),
		"disabled", onlyYes(j.GetDisabled()), "priority", priority, "full speed", onlyYes(j.GetFullSpeed()), "processors", processors, "data connections", connections, "on battery", j.GetOnBattery(), "on a metered network", j.GetOnMetered(), "high priority", onlyYes(j.GetHighPriority()), "next run", a.stamp(j.GetNextRun()), "attempts", attempts, "restart interval", interval,
		"last run", a.stamp(j.GetLastRun()), "last result", j.GetLastResult(),
	}, overrideFields(j)...)...)
}

// onlyYes leaves out what is not so.
func onlyYes(v bool) string {
	if v {
		return yesNo(v)
	}
	return ""
}

func (a *app) jobDelete() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a job; its restore points stay", Example: "  keepward job delete docs",
		Args: exactly("NAME"), ValidArgsFunction: a.complete(jobNames),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		if !yes && !a.confirm("Delete job %s?", args[0]) {
			return usage("job %s is left as it is", args[0])
		}
		m, err := call(ctx, c.jobs.DeleteJob, &keepwardv1.DeleteJobRequest{Name: args[0]})
		if err != nil {
			return err
		}
		return a.print(m, func() { a.remark("job %s is deleted; its restore points stay", args[0]) })
	})
	return cmd
}

func (a *app) jobRun() *cobra.Command {
	var wait, full, suspended bool
	var at, after string
	cmd := &cobra.Command{
		Use: "run NAME", Short: "Start a job now",
		Long: "Starts a session of the job and prints its number. With --wait it shows the progress and exits with the session's result.\n" +
			"With --at the session stays in the queue until then, with --after until the sessions of that job are over which are there now.\n" +
			"With --suspended it begins with a pause: it queues when 'keepward session resume' ends that.",
		Example: "  keepward job run docs --wait\n  keepward job run docs --full\n  keepward job run docs --at \"2026-11-23 22:00\"\n  keepward job run docs --after mail",
		Args:    exactly("NAME"), ValidArgsFunction: a.complete(jobNames),
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the end")
	cmd.Flags().BoolVar(&full, "full", false, "read everything, not only what changed")
	cmd.Flags().StringVar(&at, "at", "", "when it starts, for instance \"2026-11-23 22:00\" (default: now)")
	cmd.Flags().StringVar(&after, "after", "", "start when the sessions of this job that are there now are over")
	noError(cmd.RegisterFlagCompletionFunc("after", a.completeFlag(jobNames)))
	cmd.Flags().BoolVar(&suspended, "suspended", false, "begin with a pause")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		req := &keepwardv1.RunJobRequest{Name: args[0], Full: full, After: after, Suspended: suspended}
		if at != "" {
			start, err := parseTime(at, a.now(), a.local)
			if err != nil {
				return err
			}
			req.StartAt = timestamppb.New(start)
		}
		m, err := call(ctx, c.jobs.RunJob, req)
		if err != nil {
			return err
		}
		return a.started(ctx, c, m, wait)
	})
	return cmd
}
