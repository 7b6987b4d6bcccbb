package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/config"
)

// retentionFlags are the rules of a retention as flags.
type retentionFlags struct{ want keepwardv1.Retention }

// retentionFlag is one of them: its name, where its value lies, and its use.
type retentionFlag struct {
	name string
	at   func(*keepwardv1.Retention) *int32
	use  string
}

var retentionRules = []retentionFlag{
	{"keep-last", func(r *keepwardv1.Retention) *int32 { return &r.KeepLast }, "keep the newest so many restore points of each computer (0: no such rule)"},
	{"keep-days", func(r *keepwardv1.Retention) *int32 { return &r.KeepDays }, "keep those of the last so many days"},
	{"keep-weekly", func(r *keepwardv1.Retention) *int32 { return &r.Weekly }, "keep the newest of each of so many weeks"},
	{"keep-monthly", func(r *keepwardv1.Retention) *int32 { return &r.Monthly }, "keep the newest of each of so many months"},
	{"keep-yearly", func(r *keepwardv1.Retention) *int32 { return &r.Yearly }, "keep the newest of each of so many years"},
	{"min-points", func(r *keepwardv1.Retention) *int32 { return &r.MinPoints }, "never keep fewer than so many, whatever their age"},
}

func (r *retentionFlags) add(f *pflag.FlagSet) {
	for _, rule := range retentionRules {
		f.Int32Var(rule.at(&r.want), rule.name, 0, rule.use)
	}
}

// changed tells whether any rule was written.
func (r *retentionFlags) changed(f *pflag.FlagSet) bool {
	for _, rule := range retentionRules {
		if f.Changed(rule.name) {
			return true
		}
	}
	return false
}

// apply puts the rules that were written in the place of those of to, which may be nil.
func (r *retentionFlags) apply(f *pflag.FlagSet, to *keepwardv1.Retention) *keepwardv1.Retention {
	if !r.changed(f) {
		return to
	}
	if to == nil {
		to = &keepwardv1.Retention{}
	}
	for _, rule := range retentionRules {
		if f.Changed(rule.name) {
			*rule.at(to) = *rule.at(&r.want)
		}
	}
	return to
}

func (a *app) jobRetention() *cobra.Command {
	cmd := a.noun("retention", "How long the restore points of a job are kept",
		"The rules are settings of the job: see 'keepward job edit --keep-last …'. They run after each backup and with the repository's maintenance.")
	cmd.AddCommand(a.retentionPreview(), a.retentionResume())
	return cmd
}

func (a *app) retentionPreview() *cobra.Command {
	cmd := &cobra.Command{
		Use: "preview JOB", Short: "Show what retention would keep and delete now, and change nothing",
		Long: `Shows every restore point of the job with what keeps it, or why it would go, and what that would free.
With flags other rules are tried in place of the job's own. What would be freed is an estimate from what the
points' sessions stored: chunks that other points need as well stay.`,
		Example: "  keepward job retention preview docs\n  keepward job retention preview docs --keep-last 7 --keep-weekly 4",
		Args:    exactly("JOB"), ValidArgsFunction: a.complete(jobNames),
	}
	flags := &retentionFlags{}
	flags.add(cmd.Flags())
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		m, err := call(ctx, c.jobs.PreviewRetention, &keepwardv1.PreviewRetentionRequest{Job: args[0], Retention: flags.apply(cmd.Flags(), nil)})
		if err != nil {
			return err
		}
		if err := a.print(m, func() { a.showPreview(m) }); err != nil {
			return err
		}
		if m.GetRefused() != "" {
			return usage("such rules are refused: %s", m.GetRefused())
		}
		return nil
	})
	return cmd
}

func (a *app) showPreview(m *keepwardv1.PreviewRetentionResponse) {
	if m.GetRefused() != "" {
		return
	}
	t := a.newTable("POINT", "TIME", "COMPUTER", "STATE", "FATE", ">STORED", "WHY", "|", "UNTIL", "REPOSITORY")
	for _, p := range m.GetPoints() {
		fate, why := "kept", strings.Join(p.GetKeptBecause(), "; ")
		if p.GetDeleted() != nil {
			fate, why = "deleted", p.GetDeletedBecause()
			p.Deleted = nil // as it is, not as it would be
		}
		t.row(p.GetId()[:min(shortID, len(p.GetId()))], a.stamp(p.GetTime()), p.GetComputer(), pointState(p), fate,
			size(p.GetCounters().GetStoredBytes()), why, a.stamp(p.GetKeptUntil()), p.GetRepository())
	}
	t.print()
	a.remark("%s kept, %s would be deleted, about %s would be freed", count(m.GetKept()), count(m.GetDeleted()), size(m.GetFreedBytes()))
}

func (a *app) retentionResume() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "resume", Short: "Say that the server's clock is right, after it has jumped",
		Long: `When the server's clock is more than a day off what was expected, nothing is deleted by it: with a wrong year
nearly everything would be too old. Set the clock, and retention goes on by itself; or say with this command that
it is right, as after the server was off for long.`,
		Example: "  keepward job retention resume --yes", Args: exactly(),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) error {
		if !yes {
			m, err := call(ctx, c.status.GetStatus, &keepwardv1.GetStatusRequest{})
			if err != nil {
				return err
			}
			if !a.confirm("The server's clock says %s. Is that right?", a.stamp(m.GetTime())) {
				return usage("retention stays as it is")
			}
		}
		m, err := call(ctx, c.jobs.ResumeRetention, &keepwardv1.ResumeRetentionRequest{})
		if err != nil {
			return err
		}
		return a.print(m, func() {
			if m.GetJump() == nil {
				a.remark("retention was not paused")
				return
			}
			a.remark("retention goes on; the clock had jumped by %s", span(m.GetJump().AsDuration()))
		})
	})
	return cmd
}

// retentionText says a job's retention in words.
func retentionText(r *keepwardv1.Retention) string { return config.PolicyOf(r).String() }

// reportLines are what a session of maintenance came to, as names and values.
func reportLines(r *keepwardv1.TaskReport) []string {
	number := func(n int64) string {
		if n == 0 {
			return ""
		}
		return count(n)
	}
	if g := r.GetRetention(); g != nil {
		return []string{
			"points looked at", count(g.GetPoints()), "kept", count(g.GetKept()), "deleted", count(g.GetDeleted()),
			"not deleted", number(g.GetFailed()), "freed by the sweep, about", bytesOf(g.GetFreedBytes()),
		}
	}
	s := r.GetSweep()
	if s == nil {
		return nil
	}
	segments := ""
	if s.GetMergedSegments() > 0 {
		segments = count(s.GetMergedSegments()) + ", " + count(s.GetSegments()) + " are left"
	}
	return []string{
		"generation", strconv.FormatUint(s.GetGeneration(), 10), "purged points", count(s.GetPurgedPoints()),
		"deleted packs", count(s.GetDeletedPacks()), "freed", size(freed(s)), "spared packs", number(s.GetSparedPacks()),
		"rewritten packs", number(s.GetRewrittenPacks()), "read to rewrite", bytesOf(s.GetRewrittenBytes()), "written", bytesOf(s.GetWrittenBytes()),
		"compressed anew", bytesOf(s.GetRecompressedBytes()), "punched", bytesOf(s.GetPunchedBytes()),
		"merged index segments", segments, "removed objects", number(s.GetRemovedObjects()),
		"in use", size(s.GetLiveBytes()), "not in use", size(s.GetDeadBytes()),
	}
}

func bytesOf(n int64) string {
	if n == 0 {
		return ""
	}
	return size(n)
}

// reportText is the end of the last line of a session of maintenance; empty: it is of another
// type.
func reportText(r *keepwardv1.TaskReport) string {
	switch {
	case r.GetRetention() != nil:
		g := r.GetRetention()
		return plural(g.GetDeleted(), "restore point") + " deleted, " + count(g.GetKept()) + " kept"
	case r.GetSweep() != nil:
		s := r.GetSweep()
		text := plural(s.GetPurgedPoints(), "restore point") + " purged, " + size(freed(s)) + " freed, " + plural(s.GetDeletedPacks(), "pack") + " deleted"
		if s.GetRewrittenPacks() > 0 {
			text += ", " + plural(s.GetRewrittenPacks(), "pack") + " rewritten from " + size(s.GetRewrittenBytes()) + " to " + size(s.GetWrittenBytes())
		}
		if s.GetRecompressedBytes() > 0 {
			text += ", " + size(s.GetRecompressedBytes()) + " saved by compressing harder"
		}
		if s.GetMergedSegments() > 0 {
			text += ", " + plural(s.GetMergedSegments(), "index segment") + " joined, " + count(s.GetSegments()) + " left"
		}
		if s.GetDeletedPacks() == 0 && s.GetDeadBytes() > 0 {
			text += ", " + size(s.GetDeadBytes()) + " needed by nothing"
		}
		return text
	}
	return ""
}

// freed is what the repository became smaller by: what was deleted, less what was written anew.
func freed(s *keepwardv1.SweepReport) int64 { return max(0, s.GetDeletedBytes()-s.GetWrittenBytes()) }
