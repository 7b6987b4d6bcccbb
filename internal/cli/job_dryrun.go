package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/source"
)

func (a *app) jobDryRun() *cobra.Command {
	cmd := &cobra.Command{
		Use: "dry-run [NAME]", Short: "Say what a backup would take now, and what each rule leaves out",
		Long: "Has the agents look at what a job would take: how much, what each rule leaves out, the largest files and directories, and what cannot be read.\n" +
			"Nothing is read but directories, nothing is stored, and the look yields to all else on the computer. Ctrl-C ends it.\n" +
			"Files are chosen as in 'job create': with NAME in place of the job's own, without NAME for a job that is not there yet.",
		Example: "  keepward job dry-run docs\n  keepward job dry-run docs --computer web1 --only '*.docx'\n  keepward job dry-run --computer web1 --include /srv --exclude '*.tmp'",
		Args:    between(0, "NAME"), ValidArgsFunction: a.complete(jobNames),
	}
	var files fileFlags
	var computers []string
	files.add(cmd.Flags())
	cmd.Flags().StringSliceVar(&computers, "computer", nil, "computer to look at; may be repeated (default: all of the job)")
	noError(cmd.RegisterFlagCompletionFunc("computer", a.completeFlag(computerNames)))
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		req := &keepwardv1.DryRunRequest{Computers: computers}
		switch {
		case len(args) == 0:
			if err := required(cmd, "computer", "include"); err != nil {
				return err
			}
			req.Job, req.Computers = &keepwardv1.Job{Computers: computers, Files: &keepwardv1.FileSelection{}}, nil
			files.apply(cmd.Flags(), req.Job.Files)
		case files.changed(cmd.Flags()):
			got, err := call(ctx, c.jobs.GetJob, &keepwardv1.GetJobRequest{Name: args[0]})
			if err != nil {
				return err
			}
			req.Job = got.GetJob()
			// What is tried holds for the computers that have something of their own, too.
			for _, o := range req.Job.GetOverrides() {
				files.computers = append(files.computers, o.GetComputer())
			}
			files.applyFor(cmd.Flags(), req.Job)
			files.apply(cmd.Flags(), req.Job.Files)
		default:
			req.Name = args[0]
		}
		return a.dryRun(ctx, c, req)
	})
	return cmd
}

// dryRun shows a dry run while it goes on, and what came of it.
func (a *app) dryRun(ctx context.Context, c *client, req *keepwardv1.DryRunRequest) error {
	p := a.newProgress(nil)
	under := map[string]*keepwardv1.Progress{}
	var ends []*keepwardv1.DryRunResponse
	err := receive(ctx, c, c.jobs.DryRun, req, func(m *keepwardv1.DryRunResponse) error {
		under[m.GetComputer()] = m.GetProgress()
		if m.GetResult() != nil || m.GetFailure() != nil {
			ends = append(ends, &keepwardv1.DryRunResponse{Computer: m.GetComputer(), Result: m.GetResult(), Failure: m.GetFailure()})
		}
		if !a.quiet {
			p.draw(a.now(), dryRunLine(under, len(ends)))
		}
		return nil
	})
	p.clear()
	if err != nil {
		return err
	}
	slices.SortFunc(ends, func(a, b *keepwardv1.DryRunResponse) int { return cmp.Compare(a.GetComputer(), b.GetComputer()) })
	for _, e := range ends {
		textPaths(e.GetResult())
	}
	err = a.print(&keepwardv1.DryRuns{Computers: ends}, func() {
		for i, e := range ends {
			if e.GetResult() == nil {
				continue
			}
			if i > 0 {
				fmt.Fprintln(a.out)
			}
			a.showDryRun(e.GetComputer(), e.GetResult())
		}
	})
	if err != nil {
		return err
	}
	return a.dryRunEnd(ends)
}

// dryRunLine is how far all computers are.
func dryRunLine(under map[string]*keepwardv1.Progress, ended int) string {
	var files, dirs, bytes int64
	last := ""
	for _, p := range under {
		n := p.GetCounters()
		files, dirs, bytes = files+n.GetDoneFiles(), dirs+n.GetDoneDirs(), bytes+n.GetDoneBytes()
		last = cmp.Or(p.GetCurrent(), last)
		if n == nil && p.GetPhase() != "" {
			last = p.GetPhase()
		}
	}
	parts := []string{"dry run", entries(files, dirs), size(bytes)}
	if len(under) > 1 {
		parts = append(parts, fmt.Sprintf("%d of %d computers done", ended, len(under)))
	}
	if last != "" {
		parts = append(parts, last)
	}
	return strings.Join(parts, " · ")
}

// dryRunEnd is how the command ends: with what went wrong, or with that something would be left out.
func (a *app) dryRunEnd(ends []*keepwardv1.DryRunResponse) error {
	var failed []*keepwardv1.DryRunResponse
	lacking := false
	for _, e := range ends {
		if e.GetFailure() != nil {
			failed = append(failed, e)
		}
		r := e.GetResult()
		lacking = lacking || r.GetErrors()+r.GetWarnings() > 0 || len(r.GetRemarks()) > 0
	}
	if len(failed) == 0 {
		if lacking {
			return &statusError{status: exitLeftOut}
		}
		return nil
	}
	var texts []string
	for _, e := range failed {
		texts = append(texts, e.GetComputer()+": "+e.GetFailure().GetMessage())
	}
	f := failed[0].GetFailure()
	err := errs.New(errs.Kind(f.GetKind()), f.GetCode(), "dry run of %s", strings.Join(texts, "; "))
	if f.GetHint() != "" {
		err = err.WithHint("%s", f.GetHint())
	}
	return &statusError{status: exitFailed, err: err}
}

// textPaths puts paths beside their bytes, as tables show them.
func textPaths(r *keepwardv1.DryRun) {
	for _, l := range append(slices.Clone(r.GetLargestFiles()), r.GetLargestDirs()...) {
		l.PathText = safe(string(l.GetPath()))
	}
	for _, p := range r.GetProblems() {
		p.PathText = safe(string(p.GetPath()))
	}
}

func (a *app) showDryRun(computer string, r *keepwardv1.DryRun) {
	t := r.GetTaken()
	fmt.Fprintf(a.out, "%s: %s, %s would be taken (looked at for %s)\n", safe(computer), entries(t.GetFiles()+t.GetDirs(), t.GetDirs()), size(t.GetBytes()), span(r.GetTook().AsDuration().Round(time.Millisecond)))
	for _, text := range r.GetRemarks() {
		fmt.Fprintf(a.out, "warning: %s\n", safe(text))
	}
	fmt.Fprintln(a.out)
	table := a.newTable("INCLUDE", ">FILES", ">DIRECTORIES", ">SIZE", "NOTE")
	for _, i := range r.GetIncludes() {
		note := i.GetText()
		if i.GetState() != "taken" {
			note = i.GetState() + ": " + note
		}
		table.row(append(append([]string{string(i.GetPath())}, amountCells(i.GetAmount())...), note)...)
	}
	table.print()
	a.showLeftOut(r.GetLeftOut())
	a.showSizes("Largest files", r.GetLargestFiles())
	a.showSizes("Largest directories", r.GetLargestDirs())
	if len(r.GetProblems()) == 0 {
		return
	}
	a.section("Problems")
	for _, p := range r.GetProblems() {
		fmt.Fprintf(a.out, "%-7s  %s: %s\n", p.GetLevel(), safe(string(p.GetPath())), safe(p.GetText()))
	}
	if more := r.GetErrors() + r.GetWarnings() - int64(len(r.GetProblems())); more > 0 {
		fmt.Fprintf(a.out, "and %s more\n", count(more))
	}
}

func amountCells(n *keepwardv1.Amount) []string {
	if n == nil {
		return []string{"", "", ""}
	}
	return []string{count(n.GetFiles()), count(n.GetDirs()), size(n.GetBytes())}
}

func (a *app) showLeftOut(list []*keepwardv1.DryRunRule) {
	if len(list) == 0 {
		return
	}
	a.section("Left out")
	t := a.newTable("BY", ">FILES", ">DIRECTORIES", ">SIZE", "NOTE")
	for _, l := range list {
		note := l.GetWhat()
		switch n := l.GetUnseen(); {
		case n == 1:
			note += "; 1 directory was not looked into"
		case n > 1:
			note += "; " + count(n) + " directories were not looked into"
		}
		note = strings.TrimPrefix(note, "; ")
		t.row(append(append([]string{ruleText(l)}, amountCells(l.GetAmount())...), note)...)
	}
	t.print()
}

// ruleText names a rule.
func ruleText(l *keepwardv1.DryRunRule) string {
	switch source.RuleKind(l.GetKind()) {
	case source.KindExclude:
		return "exclude " + l.GetRule()
	case source.KindOnly:
		return "no mask: " + l.GetRule()
	case source.KindAutomatic:
		return "itself: " + l.GetRule()
	case source.KindTag:
		return "CACHEDIR.TAG"
	case source.KindBorder:
		return "one file system"
	case source.KindSystem:
		return "state of the system"
	case source.KindSnapshots:
		return "own snapshots"
	}
	return l.GetKind()
}

func (a *app) showSizes(title string, list []*keepwardv1.DryRunSize) {
	if len(list) == 0 {
		return
	}
	a.section(title)
	t := a.newTable(">SIZE", "PATH")
	for _, l := range list {
		t.row(size(l.GetBytes()), string(l.GetPath()))
	}
	t.print()
}
